import Contracts
import Foundation
import Logging
import Metrics
import ServiceKit
import Synchronization
import TestKit
import Testing

@Suite("Telemetry")
struct TelemetryTests {
    private func logged(_ metadata: Logger.Metadata, _ message: Logger.Message = "event") -> String {
        let sink = Lines()
        let logger = Logger(label: "test") { _ in JSONLog(service: "test", level: .trace) { sink.add($0) } }
        logger.info(message, metadata: metadata)
        return sink.text
    }

    private final class Lines: Sendable {
        private let held = Mutex<[String]>([])
        func add(_ line: String) { held.withLock { $0.append(line) } }
        var text: String { held.withLock { $0.joined(separator: "\n") } }
    }

    @Test("a log line is one line of JSON, whatever is in it")
    func oneLine() throws {
        let line = logged(["note": "two\nlines \"quoted\" \u{1F600}"])
        #expect(!line.contains("\n"))
        #expect(try JSON.decode(JSONValue.self, from: Data(line.utf8))["metadata"]["note"].string == "two\nlines \"quoted\" \u{1F600}")
    }

    @Test(
        "secrets never reach the log, under whatever name they come",
        arguments: [
            ("password", "hunter2hunter2"), ("accessToken", "abc.def"), ("note", "Bearer eyJhbGciOiJSUzI1NiJ9.e30.c2ln"),
            ("reason", "key trx_live_123456"),
            ("Authorization", "Basic eDp5"), ("client_secret", "s3cr3t"),
        ])
    func secrets(name: String, value: String) {
        let line = logged([name: "\(value)", "nested": .dictionary([name: "\(value)"])])
        for word in value.split(separator: " ") where word != "Bearer" && word != "key" && word != "Basic" {
            #expect(!line.contains(word))
        }
    }

    @Test("the Prometheus page has cumulative buckets, sums, counts and escaped labels")
    func prometheus() {
        let metrics = Prometheus()
        let timer = metrics.makeTimer(label: "call_seconds", dimensions: [("route", "a\"b")])
        timer.recordNanoseconds(3_000_000)
        timer.recordNanoseconds(300_000_000)
        metrics.makeCounter(label: "calls.total", dimensions: []).increment(by: 3)
        let page = metrics.render()
        #expect(page.contains("call_seconds_bucket{route=\"a\\\"b\",le=\"0.005\"} 1"))
        #expect(page.contains("call_seconds_bucket{route=\"a\\\"b\",le=\"0.5\"} 2"))
        #expect(page.contains("call_seconds_bucket{route=\"a\\\"b\",le=\"+Inf\"} 2"))
        #expect(page.contains("call_seconds_count{route=\"a\\\"b\"} 2"))
        #expect(page.contains("# TYPE calls_total counter\ncalls_total 3"))
    }

    @Test("the page holds no more series of one metric than the limit")
    func cardinality() {
        let metrics = Prometheus()
        for index in 0..<5_000 { metrics.makeCounter(label: "c", dimensions: [("id", "\(index)")]).increment(by: 1) }
        #expect(metrics.render().split(separator: "\n").count <= 2_001)
    }

    @Test("what is counted elsewhere stands on the page with the rest, one series for equal labels, until nobody tells of it any more")
    func collectors() {
        let metrics = Prometheus()
        metrics.makeTimer(label: "call_seconds", dimensions: [("route", "own")]).recordNanoseconds(3_000_000)
        let counts = (0..<14).map { $0 == 0 ? 2 : $0 == 13 ? 1 : 0 }
        for label in ["told", "told", "other \"\n"] {
            metrics.register {
                [
                    MetricFamily("call_seconds", .histogram, [([("route", label)], .histogram(counts: counts, sum: 1.5))]),
                    MetricFamily("open", .gauge, [([], .number(2))]),
                ]
            }
        }
        let isGone = Atomic(false)
        metrics.register { isGone.load(ordering: .relaxed) ? nil : [MetricFamily("open", .gauge, [([], .number(10))])] }
        let page = metrics.render()
        #expect(page.components(separatedBy: "# TYPE call_seconds histogram").count == 2)
        #expect(page.contains("call_seconds_count{route=\"own\"} 1\n"))
        #expect(page.contains("call_seconds_bucket{route=\"told\",le=\"0.001\"} 4\n"))
        #expect(page.contains("call_seconds_bucket{route=\"told\",le=\"10\"} 4\n"))
        #expect(page.contains("call_seconds_bucket{route=\"told\",le=\"+Inf\"} 6\n"))
        #expect(page.contains("call_seconds_sum{route=\"told\"} 3.0\ncall_seconds_count{route=\"told\"} 6\n"))
        #expect(page.contains("call_seconds_count{route=\"other \\\"\\n\"} 3\n"))
        #expect(page.contains("# TYPE open gauge\nopen 16\n"))
        isGone.store(true, ordering: .relaxed)
        #expect(metrics.render().contains("open 6\n"))
        #expect(metrics.render().contains("open 6\n"))
        metrics.register { [MetricFamily("many", .counter, (0..<5_000).map { ([("id", "\($0)")], .number(1)) })] }
        #expect(metrics.render().split(separator: "\n").count(where: { $0.hasPrefix("many{") }) == Prometheus.maximumSeries)
    }

    @Test(
        "a traceparent that is not as the recommendation has it is refused",
        arguments: [
            "", "00-0-0-01", "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ])
    func badTrace(text: String) { #expect(TraceParent(text) == nil) }

    @Test("a good traceparent survives unchanged")
    func goodTrace() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        #expect(TraceParent(text)?.text == text)
    }
}

@Suite("Settings")
struct SettingsTests {
    @Test("every wrong setting is listed at once, and the program does not start")
    func allProblems() throws {
        let refused = #expect(throws: ProgramHost.SettingsRefused.self) {
            try ProgramHost(
                Workshop.self,
                environment: [
                    "TRIONEX_HTTP_PORT": "eighty", "TRIONEX_LOG_LEVEL": "loud", "TRIONEX_DATABASE_PREPARED": "maybe",
                    "TRIONEX_USERS_URL": "users:8082",
                    "TRIONEX_HTTP_IDLE_SECONDS": "0",
                ])
        }
        let problems = refused?.problems ?? []
        for name in ["HTTP_PORT", "LOG_LEVEL", "DATABASE_PREPARED", "USERS_URL", "HTTP_IDLE_SECONDS"] {
            #expect(problems.contains { $0.contains("TRIONEX_\(name)") }, "\(name) in \(problems)")
        }
    }

    @Test(
        "an address whose password would be taken apart at the wrong place is refused without showing it",
        arguments: ["postgres://content:pa/ss@127.0.0.1/x", "postgres://content:a@hunter2:77x@127.0.0.1:5/x", "mysql://a:hunter2@b/c"])
    func passwords(url: String) throws {
        let refused = #expect(throws: ProgramHost.SettingsRefused.self) {
            try ProgramHost(Workshop.self, environment: ["TRIONEX_DATABASE_URL": url])
        }
        #expect(
            refused?.problems.count == 1 && refused?.problems.joined().contains("ss@") == false
                && refused?.problems.joined().contains("hunter2") == false)
    }

    @Test("a value may come from a file")
    func fromFile() throws {
        let file = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try Data("  s3cret\n".utf8).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }
        var reader = SettingsReader(environment: ["TRIONEX_SERVICE_SECRET_FILE": file.path(percentEncoded: false)])
        #expect(reader.optionalText("SERVICE_SECRET", "") == "s3cret")
        var missing = SettingsReader(environment: ["TRIONEX_SERVICE_SECRET_FILE": "/nowhere/at/all"])
        _ = missing.optionalText("SERVICE_SECRET", "")
        #expect(missing.problems.count == 1)
    }

    @Test("help lists every setting with its meaning")
    func help() {
        let settings = ProgramHost.settings(of: Workshop.self)
        #expect(settings.contains { $0.variable == "TRIONEX_DATABASE_URL" } && settings.allSatisfy { !$0.meaning.isEmpty })
    }
}
