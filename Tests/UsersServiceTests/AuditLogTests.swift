import AuditChain
import Contracts
import DevStack
import Foundation
import Messaging
import Postgres
import ServiceKit
import TestKit
import Testing
import UsersService

@Suite("The audit log")
struct AuditLogTests {
    @Test("holds what any service announces, with every field, chained from the first entry on")
    func fields() async throws {
        let chronicle = try await Chronicle.begin()
        let id = EventID.make()
        let entry = AuditEntryRecorded(
            action: "content.article.publish", resourceType: "article", resourceID: "a1", actor: "key:0197b1c0-0000-7000-8000-000000000003",
            outcome: "allowed", riskLevel: "medium", address: "203.0.113.7", userAgent: "Mozilla/5.0",
            changed: ["plan": "pro", "weight": .number(1.25)],
            previous: ["plan": "starter"], requestID: "request-1", impersonator: chronicle.tenant.admin.id, user: chronicle.tenant.owner.id)
        try await TestEvents.publish(entry, for: chronicle.tenant.id, eventID: id)
        try await chronicle.settle(1)
        let answer = try await chronicle.reader().get("/api/v1/audit-logs/\(id)")
        #expect(answer.status == 200)
        #expect(answer["sequence"] == 1 && answer["id"].string == id.description)
        #expect(answer["organizationId"].string == chronicle.tenant.id.description)
        #expect(answer["action"] == "content.article.publish" && answer["resourceType"] == "article" && answer["resourceId"] == "a1")
        #expect(answer["userId"].string == chronicle.tenant.owner.id.description)
        #expect(answer["impersonatorId"].string == chronicle.tenant.admin.id.description)
        #expect(answer["oldValues"] == ["plan": "starter"] && answer["newValues"] == ["plan": "pro", "weight": .number(1.25)])
        #expect(answer["ipAddress"] == "203.0.113.7" && answer["userAgent"] == "Mozilla/5.0" && answer["requestId"] == "request-1")
        #expect(answer["riskLevel"] == "medium" && answer["outcome"] == "allowed" && answer["service"] == "audit")
        #expect(answer["occurredAt"].string != nil && answer["recordedAt"].string != nil)
        #expect(answer["previousHash"].string == String(repeating: "0", count: 64))
        // The hash is over the answer itself.
        guard case .object(let members) = answer.json else { return }
        let link = try #require(ChainLink(entry: members))
        #expect(link.hash == ChainLink.hash(chronicle.tenant.id, 1, .none, link.content))
    }

    @Test("keeps the order in which a service wrote, and takes an entry once however often it comes")
    func order() async throws {
        let chronicle = try await Chronicle.begin()
        try await chronicle.write(1...300)
        try await chronicle.settle(300)
        let again = EventID.make()
        for _ in 0..<5 { try await TestEvents.publish(Chronicle.entry(301), for: chronicle.tenant.id, eventID: again) }
        try await chronicle.write(302...310)
        try await chronicle.settle(310)
        var seen: [Int] = []
        var path: String? = "/api/v1/audit-logs?limit=100&sort=sequence&action=test."
        while let next = path {
            let page = try await chronicle.reader().get(next)
            seen += page["data"].array.compactMap { $0["newValues"]["number"].int }
            path = page["nextCursor"].string.map { "/api/v1/audit-logs?limit=100&sort=sequence&action=test.&cursor=\($0)" }
        }
        // The repeated one came on another way, so only its own place is free.
        #expect(seen.filter { $0 != 301 } == Array(1...300) + Array(302...310))
        #expect(seen.filter { $0 == 301 }.count == 1)
        #expect(try await chronicle.findings() == [])
    }

    @Test("an inbox that has forgotten does not double an entry")
    func forgottenInbox() async throws {
        let chronicle = try await Chronicle.begin()
        let id = EventID.make()
        try await TestEvents.publish(Chronicle.entry(1), for: chronicle.tenant.id, eventID: id)
        try await chronicle.settle(1)
        try await chronicle.tamper("DELETE FROM users.inbox WHERE $T")
        try await TestEvents.publish(Chronicle.entry(1), for: chronicle.tenant.id, eventID: id)
        try await TestEvents.publish(Chronicle.entry(2), for: chronicle.tenant.id)
        try await chronicle.settle(2)
        #expect(try await chronicle.count() == 2)
    }

    @Test("is queried by person, actor, action, resource, time, risk and outcome")
    func filters() async throws {
        let chronicle = try await Chronicle.begin()
        let (ada, bob) = (chronicle.tenant.editor, chronicle.tenant.user)
        for entry in [
            Chronicle.entry(1, by: ada), Chronicle.entry(2, by: bob, risk: "high"), Chronicle.entry(3, by: bob, outcome: "refused"),
            AuditEntryRecorded(
                action: "other_thing", resourceType: "thing", resourceID: "t", actor: "service:files", outcome: "allowed", riskLevel: "low",
                address: nil, userAgent: nil, changed: [:]),
        ] { try await TestEvents.publish(entry, for: chronicle.tenant.id) }
        try await chronicle.settle(4)
        let client = try await chronicle.reader()
        func numbers(_ query: String) async throws -> [Int] {
            try await client.get("/api/v1/audit-logs?resourceType=entry&\(query)")["data"].array.compactMap {
                $0["newValues"]["number"].int
            }
            .sorted()
        }
        #expect(try await numbers("person=\(ada.id)") == [1])
        #expect(try await numbers("actor=person:\(bob.id)") == [2, 3])
        #expect(try await numbers("risk=high") == [2])
        #expect(try await numbers("outcome=refused") == [3])
        #expect(try await numbers("resourceId=entry-2") == [2])
        #expect(try await numbers("action=test.entry") == [1, 2, 3])
        #expect(try await numbers("action=test%25") == [])
        #expect(try await numbers("service=audit") == [1, 2, 3])
        #expect(try await numbers("service=content") == [])
        #expect(try await numbers("from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z") == [])
        #expect(try await numbers("from=2020-01-01T00:00:00Z") == [1, 2, 3])
        #expect(try await client.get("/api/v1/audit-logs?action=other_")["data"].array.count == 1)
        #expect(try await client.get("/api/v1/audit-logs?risk=huge").status == 400)
    }

    @Test("reading it is in it: once for a query and not for each of its pages; the cursor of one query opens no other")
    func readings() async throws {
        let chronicle = try await Chronicle.of(5)
        let client = try await chronicle.reader()
        let first = try await client.get("/api/v1/audit-logs?limit=2&resourceType=entry")
        let cursor = try #require(first["nextCursor"].string)
        #expect(try await client.get("/api/v1/audit-logs?limit=2&resourceType=entry&cursor=\(cursor)").status == 200)
        #expect(try await client.get("/api/v1/audit-logs?limit=2&cursor=\(cursor)").status == 400)
        #expect(try await client.get("/api/v1/audit-logs?limit=2&resourceType=entry&cursor=WyIxMDAwIl0").status == 400)
        #expect(
            try await chronicle.host.client(chronicle.tenant.admin).get("/api/v1/audit-logs?limit=2&resourceType=entry&cursor=\(cursor)")
                .status == 400)
        try await chronicle.settle(6)
        let readings = try await client.get("/api/v1/audit-logs?action=users.audit.read")["data"].array
        #expect(readings.count == 1)
        #expect(readings.first?["newValues"] == ["resourceType": "entry"])
        #expect(readings.first?["userId"].string == chronicle.tenant.owner.id.description)
    }

    @Test("is read by those who were given the right by name, and by those who may do everything; not by those who may merely read all")
    func rights() async throws {
        let chronicle = try await Chronicle.of(1)
        let tenant = chronicle.tenant
        for path in ["", "/verify", "/export", "/key", "/\(EventID.make())"] {
            for person in [tenant.viewer, tenant.editor, tenant.user, tenant.person(may: "*:read"), tenant.person(may: "audit:write")] {
                let answer = try await chronicle.host.client(person).get("/api/v1/audit-logs\(path)")
                #expect(answer.status == 403 && answer.problem == "missing-permission", "\(path)")
            }
        }
        for person in [tenant.owner, tenant.admin, tenant.person(may: "audit:read"), tenant.person(may: "audit:*")] {
            #expect(try await chronicle.host.client(person).get("/api/v1/audit-logs").status == 200)
        }
    }

    @Test("shows one organization nothing of another's")
    func isolation() async throws {
        let (one, other) = (try await Chronicle.of(3), try await Chronicle.of(2))
        let client = try await other.reader()
        #expect(try await !other.whole("export").text.contains(one.tenant.id.description))
        let id = try await one.reader().get("/api/v1/audit-logs?action=test.")["data"][0]["id"].string
        #expect(try await client.get("/api/v1/audit-logs/\(try #require(id))").status == 404)
        #expect(try await !client.get("/api/v1/audit-logs?limit=100").text.contains(one.tenant.id.description))
    }

    @Test("takes what the gateway has seen, from programs alone")
    func securityEvents() async throws {
        let chronicle = try await Chronicle.begin()
        let event: JSONValue = [
            "tenant": .string(chronicle.tenant.id.description), "actor": .string("person:\(chronicle.tenant.user.id)"),
            "action": "gateway.tenant.mismatch", "resourceType": "organization",
            "address": "203.0.113.8", "requestID": "request-9", "details": ["slug": "other"],
        ]
        #expect(try await chronicle.reader().post("/internal/v1/security-events", event).status == 403)
        #expect(try await chronicle.host.client(service: .gateway).post("/internal/v1/security-events", event).status == 204)
        try await chronicle.host.eventually("the entry is there") {
            let found = try await chronicle.reader().get("/api/v1/audit-logs?action=gateway.")["data"][0]
            return found["userId"].string == chronicle.tenant.user.id.description && found["newValues"] == ["slug": "other"]
                && found["riskLevel"] == "high" && found["service"] == "users"
        }
    }

    @Test("cannot be changed, shortened or emptied by the service itself; its platform role removes nothing younger than a year")
    func appendOnly() async throws {
        let chronicle = try await Chronicle.of(2)
        let caller = Caller.service(.users, for: chronicle.tenant.id)
        let statements: [SQL] = [
            "UPDATE audit_logs SET action = 'forged'", "DELETE FROM audit_logs", "TRUNCATE audit_logs", "DELETE FROM audit_heads",
            "UPDATE audit_checkpoints SET hash = ''", "DELETE FROM audit_checkpoints",
        ]
        for statement in statements {
            await #expect(throws: PostgresFailure.self) { try await chronicle.host.database.execute(statement, as: caller) }
        }
        let removed = try await chronicle.host.database.platform(PlatformWork("test")) { tx in
            try tx.execute("DELETE FROM audit_logs")
        }
        #expect(removed == 0)
        #expect(try await chronicle.count() == 2)
    }

    @Test("is exported with its checkpoints and keys, and the program alone tells whether it is whole")
    func export() async throws {
        let chronicle = try await Chronicle.of(40, signed: true)
        let client = try await chronicle.reader()
        let export = try await chronicle.whole("export?format=ndjson")
        #expect(export.status == 200 && export.header("content-type") == "application/x-ndjson")
        let lines = export.text.split(separator: "\n")
        #expect(lines.count >= 43)
        #expect(lines.first?.contains(#""kind":"log""#) == true && lines.last?.contains(#""kind":"end""#) == true)

        let folder = FileManager.default.temporaryDirectory.appending(path: "audit-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        func file(_ name: String, _ data: Data) throws -> String {
            let url = folder.appending(path: name)
            try data.write(to: url)
            return url.path(percentEncoded: false)
        }
        let keys = try file("key.json", try await client.get("/api/v1/audit-logs/key").body)
        let whole = try file("whole.ndjson", export.body)
        let (code, report) = try await verify(whole, "--key", keys)
        #expect(
            code == 0 && report["valid"] == true && report["entries"].int ?? 0 >= 40 && report["signedThrough"].int ?? 0 >= 40, "\(report)")

        let edited = try file("edited.ndjson", Data(export.text.replacingOccurrences(of: "\"entry-17\"", with: "\"entry-18\"").utf8))
        #expect(try await names(edited, keys) == ["edited 17"])
        let removed = try file("removed.ndjson", Data(lines.filter { !$0.contains("\"entry-5\"") }.joined(separator: "\n").utf8))
        #expect(try await names(removed, keys) == ["removed 5"])
        let short = try file(
            "short.ndjson",
            Data(lines.filter { !$0.contains("\"kind\":\"entry\"") || !$0.contains("\"sequence\":40,") }.joined(separator: "\n").utf8))
        #expect(try await names(short, keys).contains { $0.hasSuffix(" 40") })
        let foreign = try file("foreign.json", try JSON.encode(AuditKeySet([AuditSigningKey().publicKey])))
        #expect(try await names(whole, foreign).allSatisfy { $0.hasPrefix("bad-checkpoint") })
        #expect(try await verify(foreign, "--key", keys).0 == 2)

        // A whole log made anew and signed with a key of one's own holds against itself, and not against what was exported before.
        let earlier = try await verify(whole, "--key", keys, "--witness", whole)
        #expect(earlier.0 == 0)
    }

    private func names(_ file: String, _ keys: String) async throws -> [String] {
        let (code, report) = try await verify(file, "--key", keys)
        #expect(code == 1)
        return report["problems"].array.map { "\($0["kind"].string ?? "") \($0["sequence"].int ?? 0)" }
    }

    private func verify(_ arguments: String...) async throws -> (Int, JSONValue) {
        let program = try #require(BuildFolder.program("trionex-audit"), "swift build --product trionex-audit")
        let log = FileManager.default.temporaryDirectory.appending(path: "audit-\(UUID().uuidString).log").path(percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: log) }
        let launch = ProcessLaunch(program, ["verify", "--json"] + arguments, log: log)
        let (exit, output) = try await ManagedProcess.run(launch, atMost: .seconds(30))
        guard case .code(let code) = exit else { throw Unexpected(answer: output) }
        return (Int(code), (try? JSON.decode(JSONValue.self, from: Data(output.utf8))) ?? .null)
    }
}
