import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

/// What somebody with every right in the database does to a log, and what the verification says of it.
@Suite("An audit log that is tampered with")
struct AuditTamperTests {
    @Test("nothing is found where nothing was done")
    func untouched() async throws {
        let chronicle = try await Chronicle.of(30, signed: true)
        #expect(try await chronicle.findings() == [])
    }

    @Test(
        "an edit of any field is found and named",
        arguments: [
            "new_values = '{\"number\": 700}'", "old_values = NULL", "actor = 'person:0197b1c0-0000-7000-8000-000000000001'",
            "action = 'test.entry.read'", "occurred_at = occurred_at - interval '1 hour'",
            "occurred_at = occurred_at + interval '7 microseconds'",
            "recorded_at = recorded_at + interval '1 day'", "ip_address = '198.51.100.1'", "user_agent = NULL", "risk_level = 'high'",
            "outcome = 'refused'", "service = 'files'", "resource_type = 'x'", "resource_id = NULL", "request_id = 'x'",
            "location = '{\"city\": \"Paris\"}'", "user_id = gen_random_uuid()", "impersonator = gen_random_uuid()",
            "id = gen_random_uuid()",
            "hash = sha256('x')",
        ])
    func edits(assignment: String) async throws {
        let chronicle = try await Chronicle.of(12)
        try await chronicle.tamper("UPDATE users.audit_logs SET \(assignment) WHERE $T AND sequence = 7")
        #expect(try await chronicle.findings() == ["edited 7"])
    }

    @Test("removed entries are found, one and several, the first ones too")
    func removals() async throws {
        let chronicle = try await Chronicle.of(20, signed: true)
        try await chronicle.tamper("DELETE FROM users.audit_logs WHERE $T AND sequence IN (1, 2, 9, 15, 16, 17)")
        #expect(try await chronicle.findings() == ["removed 1-2", "removed 9", "removed 15-17"])
    }

    @Test("a removed entry is found when the rest has moved up, the head and the checkpoints with it")
    func closedGap() async throws {
        let chronicle = try await Chronicle.of(20)
        try await chronicle.tamper(
            """
            DELETE FROM users.audit_logs WHERE $T AND sequence = 9;
            UPDATE users.audit_logs SET sequence = sequence + 1000 WHERE $T AND sequence > 9;
            UPDATE users.audit_logs SET sequence = sequence - 1001 WHERE $T AND sequence > 1000;
            UPDATE users.audit_heads SET sequence = 19 WHERE $T
            """)
        #expect(try await chronicle.findings() == ["removed 9"])
    }

    @Test("entries that changed places are both named")
    func swaps() async throws {
        let chronicle = try await Chronicle.of(20, signed: true)
        try await chronicle.tamper(
            """
            UPDATE users.audit_logs SET sequence = 1000 WHERE $T AND sequence = 4;
            UPDATE users.audit_logs SET sequence = 4 WHERE $T AND sequence = 13;
            UPDATE users.audit_logs SET sequence = 13 WHERE $T AND sequence = 1000
            """)
        #expect(try await chronicle.findings() == ["reordered 4", "reordered 13"])
    }

    @Test("a cut tail is found by the head; by the checkpoint, when the head was set back; and without either, by what was exported before")
    func cutTail() async throws {
        let chronicle = try await Chronicle.of(20, signed: true)
        try await chronicle.tamper("DELETE FROM users.audit_logs WHERE $T AND sequence > 16")
        #expect(try await chronicle.findings() == ["cut-tail 17-20"])
        let other = try await Chronicle.of(20, signed: true)
        try await other.tamper(
            """
            DELETE FROM users.audit_logs WHERE $T AND sequence > 16;
            UPDATE users.audit_heads SET sequence = 16, hash = (SELECT hash FROM users.audit_logs WHERE $T AND sequence = 16) WHERE $T
            """)
        #expect(try await other.findings() == ["cut-tail 17-20"])
    }

    @Test("a checkpoint that was changed, or made by somebody else, is named")
    func checkpoints() async throws {
        let chronicle = try await Chronicle.of(10, signed: true)
        try await chronicle.tamper(
            "UPDATE users.audit_checkpoints SET hash = encode(sha256('x'), 'hex') WHERE $T",
            """
            INSERT INTO users.audit_checkpoints (tenant_id, sequence, kind, hash, signed_at, key_id, signature)
            SELECT tenant_id, 4, kind, hash, signed_at, 'mine', signature FROM users.audit_checkpoints WHERE $T
            """)
        #expect(try await chronicle.findings() == ["bad-checkpoint 4", "bad-checkpoint 10"])
    }

    @Test("entries written anew by somebody who knows how hashes are made, head included, are found by the checkpoint")
    func rewritten() async throws {
        let chronicle = try await Chronicle.of(10)
        try await chronicle.sign()
        try await chronicle.write(11...14)
        try await chronicle.settle(14)
        try await chronicle.sign()
        try await chronicle.forge(from: 12, through: 14)
        #expect(try await chronicle.findings() == ["edited 11-14"])
    }

    @Test("goes on after its head was removed or set back, and what had happened stays visible")
    func headGone() async throws {
        let chronicle = try await Chronicle.of(5)
        try await chronicle.tamper("DELETE FROM users.audit_heads WHERE $T")
        try await chronicle.write(6...8)
        try await chronicle.settle(8)
        #expect(try await chronicle.findings() == [])
        try await chronicle.tamper("UPDATE users.audit_heads SET sequence = 2 WHERE $T")
        try await chronicle.write(9...10)
        try await chronicle.host.eventually("the log goes on") { try await chronicle.count() >= 10 }
        #expect(try await chronicle.findings() == [])
    }

    @Test("one that was broken is an alarm when it is next signed")
    func alarm() async throws {
        let chronicle = try await Chronicle.of(6, signed: true)
        try await chronicle.write(7...12)
        try await chronicle.settle(12)
        try await chronicle.tamper("UPDATE users.audit_logs SET actor = 'nobody' WHERE $T AND sequence = 9")
        try await chronicle.sign()
        #expect(
            chronicle.host.log.lines.contains {
                $0.contains("audit-chain-broken") && $0.contains(chronicle.tenant.id.description) && $0.contains("edited 9")
            })
        #expect(try await chronicle.findings() == ["edited 9"])
    }
}
