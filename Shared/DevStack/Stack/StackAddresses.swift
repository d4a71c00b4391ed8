import Contracts
import Foundation

/// Where a running stack answers. It is written to `.run/stack.json` once everything is ready, for programs such as `trionex-demo`.
package struct StackAddresses: Codable, Sendable, Equatable {
    /// Administrator's address of the database.
    package var database: String
    package var redis: String
    package var kafka: String
    package var smtp: String
    /// Where the mail sink shows its mails; nil when mails go to a relay.
    package var mail: String?
    /// The gateway's own listener.
    package var admin: String
    /// The public address of each program by name; the gateway's is the platform's.
    package var programs: [String: String]
    /// The process that runs it all.
    package var pid: Int32
    /// The process of each program by name, as they were when everything had become ready.
    package var processes: [String: Int32] = [:]

    package var gateway: String { programs[ServiceName.gateway.rawValue] ?? "" }

    package static func path(in runDirectory: String) -> String { runDirectory + "/stack.json" }

    /// Those of the stack that runs from this folder; nil when none is up.
    package static func read(from runDirectory: String) -> StackAddresses? {
        guard StackLock.holder(in: runDirectory) != nil, let data = FileManager.default.contents(atPath: path(in: runDirectory)) else {
            return nil
        }
        return try? JSONDecoder().decode(StackAddresses.self, from: data)
    }

    func write(to runDirectory: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let path = Self.path(in: runDirectory)
        // The administrator's password is in it.
        guard FileManager.default.createFile(atPath: path, contents: try encoder.encode(self), attributes: [.posixPermissions: 0o600])
        else {
            throw StackFailure("\(path) could not be written.")
        }
    }
}
