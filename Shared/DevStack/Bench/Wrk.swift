import DevStack
import Foundation

/// What wrk found out: requests a second, and milliseconds.
struct WrkFigures {
    let perSecond: Double
    let median: Double
    /// 95 of 100 requests took no longer.
    let late: Double
}

/// wrk, one thread, keep-alive, with percentiles by its own script interface.
enum Wrk {
    static func perSecond(_ url: String, token: String, seconds: Int) async throws -> Double {
        try await run(url, token: token, connections: 32, seconds: seconds).perSecond
    }

    /// `script` is Lua that says what is asked; without it the URL is read with the token.
    static func run(
        _ url: String, token: String? = nil, connections: Int, seconds: Int, script: String = ""
    ) async throws -> WrkFigures {
        let percentiles = """
            done = function(summary, latency, requests)
              io.write(string.format("Percentiles: %d %d\\n", latency:percentile(50), latency:percentile(95)))
            end
            """
        let file = FileManager.default.temporaryDirectory.appending(path: "trionex-wrk-\(UUID().uuidString).lua").path(
            percentEncoded: false)
        try (script + "\n" + percentiles).write(toFile: file, atomically: true, encoding: .utf8)
        defer { try? FileManager.default.removeItem(atPath: file) }
        var arguments = ["-t1", "-c\(connections)", "-d\(seconds)s", "-s", file]
        if let token { arguments += ["-H", "Authorization: Bearer \(token)"] }
        let output = try await Command.output("wrk", arguments + [url])
        let lines = output.split(separator: "\n")
        if let bad = lines.first(where: { $0.contains("Non-2xx") || $0.contains("Socket errors") }) { throw StackFailure("\(url):\(bad)") }
        guard let line = lines.first(where: { $0.hasPrefix("Requests/sec:") }),
            let rate = line.split(separator: " ").last.flatMap({ Double($0) }),
            let times = lines.first(where: { $0.hasPrefix("Percentiles:") })?.split(separator: " ").dropFirst().compactMap({ Double($0) }),
            times.count == 2
        else { throw StackFailure("wrk said: \(output.suffix(300))") }
        return WrkFigures(perSecond: rate, median: times[0] / 1000, late: times[1] / 1000)
    }
}
