import DevStack
import Foundation

/// The administrator of the test servers, through psql: our own client refuses a superuser, as it should.
package enum Psql {
    /// The rows of one statement, or of several in a transaction; each field as text.
    @discardableResult
    package static func rows(_ sql: String) async throws -> [[String]] {
        let servers = try await TestServers.shared.value
        return try await rows(sql, servers.postgres.url())
    }

    /// As whoever the URL says.
    @discardableResult
    package static func rows(_ sql: String, _ url: String) async throws -> [[String]] {
        guard let psql = ["/usr/bin/psql", "/usr/local/bin/psql"].first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
            throw StackFailure("psql is not installed: it comes with the package postgresql")
        }
        let log = FileManager.default.temporaryDirectory.appending(path: "trionex-psql-\(UUID().uuidString)").path(percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: log) }
        let launch = ProcessLaunch(psql, ["-X", "-q", "-A", "-t", "-F", "\u{1F}", "-v", "ON_ERROR_STOP=1", "-c", sql, url], log: log)
        let (exit, output) = try await ManagedProcess.run(launch, atMost: .seconds(30))
        guard exit == .code(0) else { throw StackFailure("psql: \(output)") }
        return output.split(separator: "\n").map { $0.split(separator: "\u{1F}", omittingEmptySubsequences: false).map(String.init) }
    }
}
