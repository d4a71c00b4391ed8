import AuditChain
import Contracts
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import UsersService

@Suite("A long audit log", .serialized)
struct AuditScaleTests {
    @Test("ten thousand entries of one organization come in, are read, held against their hashes and exported in a short while")
    func tenThousand() async throws {
        let chronicle = try await Chronicle.begin()
        let clock = ContinuousClock()
        let filling = try await clock.measure {
            // The tests' broker keeps 5 MB of a partition (Decisions/0007), so it is not left to pile up there.
            for start in stride(from: 1, through: 10_000, by: 2_000) {
                try await chronicle.write(start...(start + 1_999))
                try await chronicle.settle(start + 1_999, within: .seconds(120))
            }
        }
        let client = try await chronicle.reader()
        var pages: [Duration] = []
        for query in [
            "", "?person=\(chronicle.tenant.owner.id)", "?action=test.entry", "?resourceType=entry&resourceId=entry-5000", "?risk=high",
        ] {
            let path = "/api/v1/audit-logs\(query)"
            let answer = try await clock.measure {
                let page = try await client.get(path)
                #expect(page.status == 200)
            }
            pages.append(answer)
        }
        let verifying = try await clock.measure {
            let answer = try await chronicle.whole("verify")
            #expect(answer["valid"] == true && answer["entries"].int ?? 0 >= 10_000, "\(answer.text.prefix(500))")
        }
        let exporting = try await clock.measure {
            let answer = try await chronicle.whole("export")
            #expect(answer.text.split(separator: "\n").count >= 10_002)
        }
        print("10,000 audit entries: in \(filling), a page \(pages), verified \(verifying), exported \(exporting)")
        // Wide enough for a machine that does much else, and far from what a scan for each entry would take.
        #expect(filling < .seconds(240) && verifying < .seconds(60) && exporting < .seconds(60))
    }

    @Test("what is older than what is kept is removed by the platform's role, and the rest still holds")
    func retention() async throws {
        let chronicle = try await Chronicle.begin()
        let host = chronicle.host, caller = Caller.service(.users, for: chronicle.tenant.id)
        try await host.database.transaction(as: caller) { tx in
            let log = AuditLogStore(tx: tx)
            for number in 1...20 {
                let old = number <= 12
                let time = tx.now.addingTimeInterval(old ? -3_000 * 86_400 + Double(number) : Double(number))
                let entry = AuditEntry(
                    Chronicle.entry(number), id: .make(), organization: chronicle.tenant.id, source: "/services/content", occurredAt: time,
                    recordedAt: time)
                try log.append([entry], after: try log.lockHead())
            }
        }
        let keys = try #require(
            AuditKeys.read(Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()))
        #expect(try await chronicle.findings() == [])
        // With the service's own keys, as its worker has them.
        let own = try AuditKeys.open(
            try #require(try await TestServers.shared.value.environment(for: "users")["TRIONEX_USERS_AUDIT_KEY_DIRECTORY"]),
            sealing: host.host.foundations.sealing(), now: Date())
        let retention = AuditRetention(database: host.database, keys: own, days: 2_557, now: { Date() }, logger: host.host.logger)
        try await retention.removeOld()
        let kept = try await chronicle.count()
        #expect((8..<20).contains(kept))
        #expect(try await chronicle.findings() == [])
        #expect(own.published.keys.count == 1 && own.published != keys.published)
        // The statement is what makes it so.
        try await chronicle.tamper("DELETE FROM users.audit_checkpoints WHERE $T AND kind = 'pruned'")
        #expect(try await chronicle.findings() == ["removed 1-12"])
    }

    @Test("keys are sealed in their file, made once, and refused when they cannot be opened")
    func keys() throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "audit-keys-\(UUID().uuidString)").path(
            percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: directory) }
        func sealing() throws -> Sealing {
            try #require(Sealing(keys: Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()))
        }
        let one = try sealing()
        let made = try AuditKeys.open(directory, sealing: one, now: Date())
        let again = try AuditKeys.open(directory, sealing: one, now: Date())
        #expect(made.published == again.published && made.published.keys.count == 1)
        let files = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".sealed") }
        #expect(files.count == 1)
        let bytes = try Data(contentsOf: URL(filePath: "\(directory)/\(files[0])"))
        #expect(bytes.range(of: made.signing.rawRepresentation) == nil)
        #expect(throws: AuditKeys.Unusable.self) { try AuditKeys.open(directory, sealing: try sealing(), now: Date()) }
        #expect(AuditKeys.read("rubbish") == nil)
    }
}
