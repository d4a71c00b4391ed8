import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1

/// Waiting until programs answer `/ready` with 200.
struct Readiness: Sendable {
    let limit: Duration
    private static let pause: Duration = .milliseconds(50)
    private static let askLimit: TimeAmount = .seconds(5)
    /// Bytes of an answer that are shown.
    private static let answerLimit = 2_048

    /// Throws a `StackFailure` with the program's own words when it exits or is not ready in time.
    func wait(for program: Supervised, at url: String) async throws {
        guard let process = program.process else { return }
        let log = LogFile(process.launch.log)
        let deadline = ContinuousClock.now + limit
        var answer = "no answer at \(url)/ready"
        while true {
            if let exit = process.exit {
                throw StackFailure("\(program.name) \(exit) while starting. Its log \(log.path) ends:\n\(log.lastLines(6))")
            }
            do {
                let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: url + "/ready"), timeout: Self.askLimit)
                let body = String(buffer: try await response.body.collect(upTo: Self.answerLimit))
                if response.status == .ok { return }
                answer = "\(url)/ready answers \(response.status.code): \(body)"
            } catch is CancellationError {
                throw CancellationError()
            } catch {
                // Not listening yet, or too slow: what counts is the deadline.
            }
            guard ContinuousClock.now < deadline else {
                throw StackFailure(
                    "\(program.name) was not ready within \(limit.components.seconds) s (\(answer)). Its log \(log.path) ends:\n\(log.lastLines(6))"
                )
            }
            try await Task.sleep(for: Self.pause)
        }
    }
}
