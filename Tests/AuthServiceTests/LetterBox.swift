import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit

/// The letters that are on their way: with nobody to take them, they wait in auth's table, and the tests read them there.
struct LetterBox: Sendable {
    let host: TestHost

    private struct Waiting: Sendable {
        let id: UUID
        let sealed: Data
    }

    /// Everything written to an address or number so far, oldest first.
    func letters(to recipient: String, _ template: String? = nil) async throws -> [Letter] {
        let sealing = try host.host.foundations.sealing()
        let rows = try await host.database.platform(PlatformWork("letters to hand over")) { tx in
            try tx.query(
                Query("SELECT id, sealed FROM letters ORDER BY created_at, id") { row in
                    Waiting(id: try row("id"), sealed: try row("sealed"))
                })
        }
        return rows.compactMap { row in
            let plain = try? sealing.open(row.sealed, context: "letter \(row.id.uuidString.lowercased())")
            return plain.flatMap { try? JSON.decode(Letter?.self, from: $0) } ?? nil
        }.filter { $0.to == recipient && (template == nil || $0.template == template) }
    }

    /// The last one of its kind.
    func letter(to recipient: String, _ template: String) async throws -> Letter {
        guard let last = try await letters(to: recipient, template).last else {
            throw Unexpected(answer: "no letter \(template) was written to \(recipient)")
        }
        return last
    }
}

extension Letter {
    /// What follows `token=` in the link.
    var token: String { data["link"]?.components(separatedBy: "token=").last ?? "" }
    var code: String { data["code"] ?? "" }
}
