import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import NIOCore
import Postgres
import ServiceLifecycle

#if canImport(Glibc)
    import Glibc
#endif

/// What operators ask of a program: `/health`, `/ready`, `/metrics`, `/openapi.json`. Never routed by the gateway.
struct Operations: Sendable {
    static let paths: Set<String> = ["/health", "/ready", "/metrics", "/openapi.json"]

    let service: ServiceName
    let checks: [ReadinessCheck]
    let metrics: Prometheus
    let document: Data

    private struct Readiness: Encodable {
        struct Dependency: Encodable {
            let status: String
            let required: Bool
        }
        let status: String
        let service: String
        let dependencies: [String: Dependency]
    }

    func add(to router: Router<EndpointContext>) {
        router.get("health") { _, _ in
            json(.ok, Data(#"{"status":"alive","service":"\#(service)"}"#.utf8))
        }
        router.get("ready") { _, _ in
            let (status, body) = await readiness()
            return json(status, body)
        }
        router.get("metrics") { _, _ in
            ProcessMetrics.record(service)
            return Response(
                status: .ok, headers: [.contentType: Prometheus.contentType], body: .init(byteBuffer: ByteBuffer(string: metrics.render())))
        }
        router.get("openapi.json") { _, _ in json(.ok, document) }
    }

    private func json(_ status: HTTPResponse.Status, _ data: Data) -> Response {
        Response(status: status, headers: [.contentType: "application/json"], body: .init(byteBuffer: ByteBuffer(bytes: data)))
    }

    private func readiness() async -> (HTTPResponse.Status, Data) {
        var results: [String: Bool] = [:]
        await withTaskGroup(of: (String, Bool).self) { group in
            for check in checks {
                group.addTask { (check.name, (try? await check.check()) != nil) }
            }
            for await (name, answers) in group { results[name] = answers }
        }
        let ready = checks.allSatisfy { !$0.required || results[$0.name] == true }
        let whole = results.values.allSatisfy { $0 }
        let readiness = Readiness(
            status: ready ? (whole ? "ready" : "degraded") : "not ready", service: service.rawValue,
            dependencies: Dictionary(
                checks.map { ($0.name, .init(status: results[$0.name] == true ? "up" : "down", required: $0.required)) },
                uniquingKeysWith: { first, _ in first }))
        return (ready ? .ok : .serviceUnavailable, (try? JSON.encode(readiness)) ?? Data())
    }
}

/// The process as Prometheus' conventions name it, read from /proc when asked.
enum ProcessMetrics {
    static func record(_ service: ServiceName) {
        let labels = [("service", service.rawValue)]
        if let statm = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8),
            let pages = statm.split(separator: " ").dropFirst().first.flatMap({ Int($0) })
        {
            Meter(label: "process_resident_memory_bytes", dimensions: labels).set(pages * Int(sysconf(Int32(_SC_PAGESIZE))))
        }
        if let descriptors = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
            Meter(label: "process_open_fds", dimensions: labels).set(descriptors.count)
        }
        var usage = rusage()
        if getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 {
            let seconds =
                Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
            Meter(label: "process_cpu_seconds_total", dimensions: labels).set(seconds)
        }
    }
}

/// Forgets idempotency keys a day old, a few at a time.
struct IdempotencyPruning: Service {
    let database: Database
    let now: @Sendable () -> Date
    let logger: Logger
    static let pause = Duration.seconds(600)
    static let batch = 5_000

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                if Task.isCancelled { return }
                let before = now().addingTimeInterval(-86_400)
                do {
                    var removed = Self.batch
                    while removed == Self.batch, !Task.isCancelled {
                        removed = try await database.platform(PlatformWork("idempotency pruning")) { tx in
                            try tx.execute(
                                """
                                DELETE FROM idempotency_keys WHERE ctid IN
                                (SELECT ctid FROM idempotency_keys WHERE created_at < \(before) LIMIT \(Self.batch))
                                """)
                        }
                    }
                } catch {
                    logger.warning("old idempotency keys could not be removed", metadata: ["reason": "\(error)"])
                }
            }
        }
    }
}
