import Contracts
import DevStack
import Foundation
import Messaging
import Postgres
import TestKit
import Testing

@testable import NotificationsService

@Suite("Sending")
struct SendingTests {
    let tenant = TestTenant()

    private func request(_ more: [String: JSONValue], to address: String? = nil) -> JSONValue {
        var body: [String: JSONValue] = ["channels": ["email"], "subject": "Hello", "body": "A message."]
        body["to"] = ["email": .string(address ?? PostOffice.address())]
        for (key, value) in more { body[key] = value == .null ? nil : value }
        return .object(body)
    }

    @Test("Somebody's own words arrive as they were written")
    func ownWords() async throws {
        let post = try await PostOffice.open()
        let address = PostOffice.address()
        let body = "Line one\n\n.a line with a dot\n.\nÜmläut & <script>alert(1)</script>"
        let response = try await post.host.client(tenant.owner).post(
            "/api/v1/notifications",
            request(
                [
                    "subject": "A long subject with Ümläuten that needs more than one encoded word, at least two of them",
                    "body": .string(body),
                ], to: address))
        #expect(response.status == 202)
        #expect(response["deliveries"][0]["status"] == "queued")
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.subject == "A long subject with Ümläuten that needs more than one encoded word, at least two of them")
        #expect(mail.body == body)
        try await post.host.eventually("it is marked as sent") { try await post.deliveries(tenant).first?["status"] == "sent" }
        let delivery = try #require(await post.deliveries(tenant).first)
        #expect(delivery["notificationId"] == response["id"])
        #expect(!delivery["finishedAt"].isNull)
        let kept = try await post.host.database.query(
            Query<Bool>("SELECT body_text IS NULL AND body_html IS NULL AND subject IS NULL AS gone FROM deliveries", column: "gone"),
            as: .service(.notifications, for: tenant.id))
        #expect(kept == [true])
    }

    @Test("A template takes its data, and names every value that is missing, wrong or not its own")
    func templates() async throws {
        let post = try await PostOffice.open()
        let address = PostOffice.address()
        let client = try await post.host.client(tenant.owner)
        let notice: [String: JSONValue] = ["template": "notice", "subject": .null, "body": .null]
        let good: JSONValue = ["heading": "Disk 90% full", "message": "On <db1>.", "link": "https://example.org/a?b=1&c=2"]
        let sent = try await client.post("/api/v1/notifications", request(notice.merging(["data": good]) { $1 }, to: address))
        #expect(sent.status == 202, "\(sent.text)")
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.subject == "Disk 90% full")
        #expect(mail.body == "Disk 90% full\n\nOn <db1>.\n\nhttps://example.org/a?b=1&c=2")

        let bad: JSONValue = ["heading": "a\r\nBcc: x@example.org", "link": "javascript:alert(1)", "colour": "red"]
        let refused = try await client.post("/api/v1/notifications", request(notice.merging(["data": bad]) { $1 }))
        #expect(refused.status == 400)
        #expect(Set(refused.badFields) == ["/data/heading", "/data/message", "/data/link", "/data/colour"])
    }

    @Test(
        "What cannot be sent is refused by name",
        arguments: [
            (["subject": "a\r\nBcc: x@example.org"], ["/subject"]),
            (["to": ["email": "a@example.org\r\nBcc: x@example.org"]], ["/to/email"]),
            (["to": [:]], ["/to"]), (["channels": []], ["/channels"]), (["channels": ["email", "sms"]], ["/channels/1"]),
            (["channels": ["inApp"]], ["/to/userId"]), (["subject": .null], ["/subject"]), (["body": "nul\u{0}"], ["/body"]),
            (["template": "welcome"], ["/subject", "/body"]), (["template": "unknown"], ["/template"]), (["data": ["a": 1]], ["/data"]),
            (["to": ["userId": "0197b1c0-0000-7000-8000-000000000001"]], ["/to/email"]), (["cc": "x@example.org"], ["/cc"]),
        ] as [([String: JSONValue], [String])])
    func refused(_ change: [String: JSONValue], _ fields: [String]) async throws {
        let post = try await PostOffice.open()
        let response = try await post.host.client(tenant.owner).post("/api/v1/notifications", request(change))
        #expect(response.status == 400, "\(response.text)")
        #expect(response.badFields == fields, "\(response.text)")
        #expect(try await post.deliveries(tenant).isEmpty)
    }

    @Test("A channel that is not there is refused with those that are")
    func channels() async throws {
        let post = try await PostOffice.open()
        let response = try await post.host.client(tenant.owner).post("/api/v1/notifications", request(["channels": ["slack"]]))
        #expect(response["errors"][0]["detail"].string == "must be one of email, inApp")
    }

    @Test("A mailbox that the mail server refuses for good fails with the reason, without the address, and is announced")
    func refusedMailbox() async throws {
        let post = try await PostOffice.open()
        let address = PostOffice.address(at: "refused.test")
        _ = try await post.host.client(tenant.owner).post("/api/v1/notifications", request([:], to: address))
        try await post.host.eventually("it has failed") {
            try await post.deliveries(tenant).first?["status"] == "failed"
        }
        let delivery = try #require(await post.deliveries(tenant, "?status=failed").first)
        #expect(delivery["lastError"].string?.hasPrefix("550 5.1.1") == true)
        #expect(delivery["nextAttemptAt"].isNull)
        let failed = try await post.host.outbox(tenant.id).filter { $0.type == NotificationFailed.type }
        #expect(failed.count == 1)
        #expect(failed.first?.payload["reason"].string?.contains("550") == true)
        #expect(post.host.log.lines.allSatisfy { !$0.contains(address) && !$0.contains("secret-word") })
    }

    @Test("A mailbox that is busy is tried again and not given up at once")
    func busyMailbox() async throws {
        let post = try await PostOffice.open()
        _ = try await post.host.client(tenant.owner).post("/api/v1/notifications", request([:], to: PostOffice.address(at: "busy.test")))
        try await post.host.eventually("it was tried twice") {
            (try await post.deliveries(tenant).first?["attempts"].int ?? 0) >= 2
        }
        let delivery = try #require(await post.deliveries(tenant).first)
        #expect(delivery["status"] == "queued")
        #expect(delivery["lastError"].string?.hasPrefix("451") == true)
        #expect(try await post.host.outbox(tenant.id).allSatisfy { $0.type == AuditEntryRecorded.type }, "nothing is said of it yet")
    }

    @Test("While the mail server is away mail waits; when it is back each is delivered once")
    func serverAway() async throws {
        let post = try await PostOffice.open()
        let client = try await post.host.client(tenant.owner)
        let addresses = (0..<6).map { _ in PostOffice.address() }
        // A mail before, so that there is a connection to lose.
        _ = try await client.post("/api/v1/notifications", request([:], to: addresses[0]))
        _ = try await post.mails(to: addresses[0])
        await post.cable.cut()
        for address in addresses.dropFirst() {
            #expect(try await client.post("/api/v1/notifications", request([:], to: address)).status == 202)
        }
        try await post.host.eventually("all have been tried in vain") {
            try await post.deliveries(tenant, "?status=queued").count { !$0["lastError"].isNull } == 5
        }
        try await post.cable.mend()
        for address in addresses { _ = try await post.mails(to: address) }
        try await post.host.eventually("all are marked as sent") {
            try await post.deliveries(tenant, "?status=sent").count == 6
        }
        for address in addresses { #expect(post.sink.messages(to: address).count == 1) }
        #expect(try await post.host.outbox(tenant.id).count { $0.type == NotificationDelivered.type } == 6)
    }

    @Test("However much one organization has queued, another one's mail is taken next")
    func fairness() async throws {
        let post = try await PostOffice.open()
        let small = TestTenant()
        let later = Date(timeIntervalSince1970: 4_102_444_800)
        func queue(_ tenant: TestTenant, _ count: Int) async throws {
            try await post.host.database.transaction(as: .service(.notifications, for: tenant.id)) { tx in
                let message = Message(subject: "s", text: "t", html: "h")
                let address = EmailAddress(checked: "a@example.org")
                try DeliveryStore(tx: tx).add((0..<count).map { _ in .mail(of: .make(), to: address, nil, message, nil, at: later) })
            }
        }
        try await queue(tenant, 20)
        try await queue(small, 1)
        let mine = [tenant.id, small.id]
        // Nothing of this is to stay, since other tests have mail that is due: what was seen leaves with an error.
        struct Undone: Error {
            let rounds: [[TakenDelivery]]
        }
        let undone = await #expect(throws: Undone.self) {
            try await post.host.database.platform(PlatformWork("test of fairness")) { tx in
                let store = DeliveryStore(tx: tx)
                let lease = later.addingTimeInterval(100)
                var last: TenantID?
                var rounds: [[TakenDelivery]] = []
                for moment in [1.0, 1, 101] {
                    let round = try store.take(
                        1_000, after: last, now: later.addingTimeInterval(moment), until: lease.addingTimeInterval(moment))
                    last = round.last?.tenant
                    rounds.append(round.filter { mine.contains($0.tenant) })
                }
                throw Undone(rounds: rounds)
            }
        }
        let rounds = try #require(undone).rounds
        #expect(Set(rounds[0].map(\.tenant)) == Set(mine))
        #expect(rounds[0].count == 2)
        #expect(rounds[1].map(\.tenant) == [tenant.id])
        #expect(rounds[1].first?.delivery.id != rounds[0].first { $0.tenant == tenant.id }?.delivery.id)
        #expect(rounds.prefix(2).joined().allSatisfy { $0.delivery.attempts == 1 && $0.delivery.message != nil })
        // The worker that had it is gone: when its lease is over somebody else takes it.
        #expect(rounds[2].first { $0.tenant == small.id }?.delivery.attempts == 2)
    }

    @Test("An outcome is written only by whoever took the mail last")
    func staleOutcome() async throws {
        let post = try await PostOffice.open()
        let later = Date(timeIntervalSince1970: 4_102_444_800)
        let settled = try await post.host.database.transaction(as: .service(.notifications, for: tenant.id)) { tx in
            let store = DeliveryStore(tx: tx)
            let address = EmailAddress(checked: "a@example.org")
            var delivery = Delivery.mail(of: .make(), to: address, nil, Message(subject: "s", text: "t", html: "h"), nil, at: later)
            try store.add([delivery])
            try tx.execute("UPDATE deliveries SET attempts = 2")
            _ = delivery.succeed(at: later)
            return try store.settle(delivery)
        }
        #expect(!settled)
        #expect(try await post.deliveries(tenant).first?["status"] == "queued")
    }
}
