import AuditChain
import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

/// The audit log of a fresh organization, and what can be done to it from the front and from behind.
struct Chronicle: Sendable {
    let host: TestHost
    let tenant = TestTenant()

    static func begin() async throws -> Chronicle { Chronicle(host: try await TestHost.start(Users.self)) }

    func reader() async throws -> TestClient { try await host.client(tenant.owner) }

    static func entry(_ number: Int, by actor: TestPerson? = nil, risk: String = "low", outcome: String = "allowed") -> AuditEntryRecorded {
        AuditEntryRecorded(
            action: "test.entry.write", resourceType: "entry", resourceID: "entry-\(number)",
            actor: actor.map { "person:\($0.id)" } ?? "service:content", outcome: outcome, riskLevel: risk, address: "203.0.113.9",
            userAgent: "test", changed: ["number": .integer(number), "half": .number(Double(number) + 0.5)],
            previous: ["number": .integer(number - 1)], requestID: "request-\(number)")
    }

    /// Announces entries as a service would: in its outbox, in one transaction.
    func write(_ numbers: ClosedRange<Int>, by actor: TestPerson? = nil) async throws {
        try await host.database.transaction(as: actor?.caller ?? .service(.users, for: tenant.id)) { tx in
            try Outbox(tx).append(numbers.map { Self.entry($0, by: actor) })
        }
    }

    /// Waits until the log has so many entries.
    func settle(_ count: Int, within timeout: Duration = .seconds(60)) async throws {
        try await host.eventually("the log has \(count) entries", within: timeout) { try await self.count() >= count }
    }

    func count() async throws -> Int {
        let query: Query<Int> = Query("SELECT count(*) AS count FROM audit_logs", column: "count")
        return try await host.database.first(query, as: .service(.users, for: tenant.id)) ?? 0
    }

    /// A log of so many entries.
    static func of(_ count: Int, signed: Bool = false) async throws -> Chronicle {
        let chronicle = try await begin()
        try await chronicle.write(1...count)
        try await chronicle.settle(count)
        if signed { try await chronicle.sign() }
        return chronicle
    }

    func sign() async throws {
        let answer = try await reader().post("/api/v1/audit-logs/checkpoints")
        guard answer.status == 200 else { throw Unexpected(answer: "\(answer.status) \(answer.text)") }
    }

    /// What a superuser does behind the service's back; `$T` stands for the organization's rows.
    func tamper(_ statements: String...) async throws {
        for statement in statements {
            try await Psql.rows(statement.replacingOccurrences(of: "$T", with: "tenant_id = '\(tenant.id)'"))
        }
    }

    /// `verify` or `export`. Few logs are read from end to end at a time, and these tests read many: it waits for its turn.
    func whole(_ path: String) async throws -> TestResponse {
        var answer = try await reader().get("/api/v1/audit-logs/\(path)")
        for _ in 0..<300 where answer.status == 429 {
            try await Task.sleep(for: .milliseconds(100))
            answer = try await reader().get("/api/v1/audit-logs/\(path)")
        }
        return answer
    }

    /// `edited 7`, `removed 3-5`: what the verification names, in its order.
    func findings() async throws -> [String] {
        let answer = try await whole("verify")
        guard answer.status == 200 else { throw Unexpected(answer: "\(answer.status) \(answer.text)") }
        let found = answer["problems"].array.map { problem in
            "\(problem["kind"].string ?? "") \(problem["sequence"].int ?? 0)" + (problem["lastSequence"].int.map { "-\($0)" } ?? "")
        }
        guard answer["valid"].bool == found.isEmpty else { throw Unexpected(answer: answer.text) }
        return found
    }

    /// Another actor in these entries, with hashes that fit, in the entries and in the head.
    func forge(from first: Int, through last: Int) async throws {
        let rows = try await host.database.query(
            AuditLogStore.run(after: first - 1, through: last, limit: 1_000), as: .service(.users, for: tenant.id))
        var previous: ChainHash?
        for row in rows {
            var entry = row.members
            entry["actor"] = "nobody"
            let content = ChainLink.contentHash(entry)
            let hash = ChainLink.hash(tenant.id, row.sequence, previous ?? row.previous, content)
            try await tamper(
                """
                UPDATE users.audit_logs SET actor = 'nobody', previous_hash = decode('\(previous ?? row.previous)', 'hex'),
                    hash = decode('\(hash)', 'hex') WHERE $T AND sequence = \(row.sequence);
                UPDATE users.audit_heads SET hash = decode('\(hash)', 'hex') WHERE $T AND sequence = \(row.sequence)
                """)
            previous = hash
        }
    }
}
