import Contracts
import DevStack
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import NotificationsService

@Suite("Letters")
struct LetterTests {
    let tenant = TestTenant()
    private let link = "https://app.example.org/verify?token=6uO4zJ-secret"

    @Test("A letter reaches the mailbox once, however often it is asked for, and leaves no secret behind")
    func once() async throws {
        let post = try await PostOffice.open()
        let (address, id) = (PostOffice.address(), LetterID.make())
        let data = ["link": link, "code": "493017", "minutes": "15"]
        for _ in 0..<3 {
            let answer = try await post.letter("verify-email", to: address, data, id: id)
            #expect(answer.status == 202, "\(answer.text)")
            #expect(answer["id"].string == id.description)
            #expect(!answer.text.contains("493017") && !answer.text.contains(address))
        }
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.subject == "Confirm your e-mail address")
        #expect(mail.body.contains("\n\(link)\n"))
        #expect(mail.body.contains("    493017\n"))
        let row = try #require(await post.fate(of: id))
        #expect(row.status == .sent && !row.isSealed)
        #expect(try await post.letter("verify-email", to: address, data, id: id)["status"] == "sent")
        try await Task.sleep(for: .milliseconds(300))
        #expect(post.sink.messages(to: address).count == 1)

        // Nothing of it in events, lists, inbox or log.
        let told = try await post.host.outbox(.platform).filter { $0.payload["notificationID"].string == id.description }
        #expect(told.map(\.type) == [NotificationDelivered.type])
        #expect(told[0].payload["template"] == "verify-email" && told[0].payload["channel"] == "email")
        let secrets = [address, "493017", "6uO4zJ-secret"]
        for text in told.map({ "\($0.payload)" }) + post.host.log.lines { for secret in secrets { #expect(!text.contains(secret)) } }
    }

    @Test("While it waits, a letter is sealed in the database, bound to its row, and shown in no list")
    func sealed() async throws {
        let post = try await PostOffice.open()
        let (address, id) = (PostOffice.address(at: "busy.test"), LetterID.make())
        #expect(
            try await post.letter("sign-in-code", to: address, ["code": "493017", "minutes": "5"], id: id, tenant: tenant.id).status == 202)
        try await post.host.eventually("it was tried") { try await post.row(of: id, tenant.id)?.error != nil }
        let sealed = try #require(
            await post.host.database.first(
                Query<Data>("SELECT sealed FROM letters WHERE id = \(id)", column: "sealed"), as: .service(.notifications, for: tenant.id)))
        for secret in ["493017", address, "code"] { #expect(sealed.range(of: Data(secret.utf8)) == nil) }
        let sealing = try post.host.host.foundations.sealing()
        let opened = try JSON.decode(
            LetterContent.self, from: try sealing.open(sealed, context: LetterContent.sealContext(id, tenant.id)))
        #expect(opened.to == address && opened.text.contains("493017"))
        #expect(throws: (any Error).self) { try sealing.open(sealed, context: LetterContent.sealContext(.make(), tenant.id)) }
        #expect(throws: (any Error).self) { try sealing.open(sealed, context: LetterContent.sealContext(id, .make())) }
        // Another organization's caller sees no row, and the organization's own owner no text.
        #expect(try await post.row(of: id, .make()) == nil)
        #expect(try await post.deliveries(tenant).isEmpty)
        #expect(try await post.host.client(tenant.owner).get("/api/v1/notifications")["data"].array.isEmpty)
        #expect(post.host.log.lines.allSatisfy { !$0.contains(address) && !$0.contains("493017") })
    }

    @Test("A letter belongs to its organization: its events are the organization's")
    func organization() async throws {
        let post = try await PostOffice.open()
        let (address, id) = (PostOffice.address(), LetterID.make())
        _ = try await post.letter(
            "invitation", to: address,
            ["organization": "Engines <1>", "inviter": "Ada", "role": "editor", "link": "https://app.example.org/i/1", "days": "7"], id: id,
            language: "de-CH", tenant: tenant.id)
        let mail = try #require(await post.mails(to: address).first)
        #expect(mail.subject == "Einladung zu Engines <1>")
        #expect(mail.body.contains("Ada lädt Sie in die Organisation Engines <1> ein, als editor."))
        _ = try await post.fate(of: id, tenant.id)
        #expect(try await post.host.outbox(tenant.id).map(\.type) == [NotificationDelivered.type])
    }

    @Test("What cannot be sent is refused at once with every fault, and nothing is kept")
    func refused() async throws {
        let post = try await PostOffice.open()
        let id = LetterID.make()
        let bad = try await post.letter("verify-email", to: "nobody", ["link": "javascript:alert(1)"], id: id)
        #expect(bad.status == 400)
        #expect(Set(bad.badFields) == ["/data/link", "/data/minutes", "/to"])
        #expect(try await post.letter("welcome", to: "a@example.org", [:], id: id).badFields == ["/template"])
        let code = ["code": "493017", "minutes": "5"]
        #expect(try await post.letter("sign-in-code", to: "030 123", code, id: id, channel: .sms).badFields == ["/to"])
        let noShort = try await post.letter("account-exists", to: "+4930123456", ["link": link], id: id, channel: .sms)
        #expect(noShort.badFields == ["/channel"])
        #expect(try await post.row(of: id) == nil)
    }

    @Test("Only the platform's own programs send letters")
    func access() async throws {
        let post = try await PostOffice.open()
        let path = "/internal/v1/letters/\(LetterID.make())"
        #expect(try await post.host.client(tenant.owner).put(path, [:]).status == 403)
        #expect(try await post.host.client(nil as TestPerson?).put(path, [:]).status == 401)
        let channels = try await post.host.client(service: .auth).get("/internal/v1/letters/channels")
        #expect(channels["channels"].array.compactMap(\.string) == ["email", "sms"])
    }

    @Test("A letter that is too old is not sent: it has failed")
    func expired() async throws {
        let post = try await PostOffice.open()
        let (address, id) = (PostOffice.address(), LetterID.make())
        let answer = try await post.letter(
            "sign-in-code", to: address, ["code": "493017", "minutes": "5"], id: id, tenant: tenant.id,
            expires: Date().addingTimeInterval(-1))
        #expect(answer.status == 202)
        let row = try #require(await post.fate(of: id, tenant.id))
        #expect(row.status == .failed && !row.isSealed && row.error == "it was too old to be sent")
        #expect(post.sink.messages(to: address).isEmpty)
        #expect(try await post.host.outbox(tenant.id).map(\.type) == [NotificationFailed.type])
    }

    @Test("A mailbox that refuses for good fails the letter, without the address in the reason")
    func refusedMailbox() async throws {
        let post = try await PostOffice.open()
        let id = LetterID.make()
        _ = try await post.letter(
            "recovery-code-used", to: PostOffice.address(at: "refused.test"), ["left": "2"], id: id, tenant: tenant.id)
        let row = try #require(await post.fate(of: id, tenant.id))
        #expect(row.status == .failed && !row.isSealed && row.error?.hasPrefix("550 5.1.1") == true)
        let failed = try await post.host.outbox(tenant.id)
        #expect(failed.map(\.type) == [NotificationFailed.type])
        #expect(failed[0].payload["template"] == "recovery-code-used")
    }

    @Test("A letter whose key is gone fails and says so")
    func lostKey() async throws {
        let post = try await PostOffice.open()
        let id = LetterID.make()
        let other = try #require(Sealing(keys: Data(repeating: 7, count: 32).base64EncodedString()))
        let sealed = try other.seal(Data("{}".utf8), context: LetterContent.sealContext(id, tenant.id))
        let letter = Letter.queued(id, for: tenant.id, .email, .signInCode, sealed: sealed, expires: nil, at: Date())
        let added = try await post.host.database.transaction(as: .service(.notifications, for: tenant.id)) { tx in
            try LetterStore(tx: tx).add(letter)
        }
        #expect(added)
        let row = try #require(await post.fate(of: id, tenant.id))
        #expect(row.status == .failed && row.error?.contains("key") == true)
    }

    @Test("Codes go first, then the others, one of each organization in turn")
    func order() async throws {
        let post = try await PostOffice.open()
        let small = TestTenant()
        let later = Date(timeIntervalSince1970: 4_102_444_800)
        func queue(_ tenant: TenantID, _ template: LetterTemplate, _ count: Int) async throws {
            try await post.host.database.transaction(as: .service(.notifications, for: tenant)) { tx in
                for _ in 0..<count {
                    _ = try LetterStore(tx: tx).add(
                        .queued(.make(), for: tenant, .email, template, sealed: Data([1]), expires: nil, at: later))
                }
            }
        }
        try await queue(tenant.id, .invitation, 5)
        try await queue(small.id, .invitation, 1)
        try await queue(small.id, .signInCode, 2)
        // Nothing of this is to stay taken, since the shared worker looks after letters that are due: what was seen leaves with an error.
        struct Undone: Error {
            let rounds: [[TakenLetter]]
        }
        let mine = [tenant.id, small.id]
        let undone = await #expect(throws: Undone.self) {
            try await post.host.database.platform(PlatformWork("test of the order")) { tx in
                let store = LetterStore(tx: tx)
                let lease = later.addingTimeInterval(100)
                var rounds: [[TakenLetter]] = []
                for moment in [1.0, 1, 101] {
                    let round = try store.take(
                        1_000, over: .email, after: nil, now: later.addingTimeInterval(moment), until: lease.addingTimeInterval(moment))
                    rounds.append(round.filter { mine.contains($0.letter.tenant) })
                }
                #expect(try store.take(1_000, over: .sms, after: nil, now: later, until: lease).allSatisfy { $0.letter.channel == .sms })
                throw Undone(rounds: rounds)
            }
        }
        let rounds = try #require(undone).rounds
        #expect(rounds[0].map(\.letter.template) == ["sign-in-code", "invitation", "invitation"])
        #expect(Set(rounds[0].map(\.letter.tenant)) == Set(mine))
        #expect(rounds[1].map(\.letter.template) == ["sign-in-code", "invitation"])
        #expect(rounds[0].allSatisfy { !$0.wasInDoubt && $0.letter.attempts == 1 })
        // Whoever had it is gone: when the lease is over it is taken again, and known to be in doubt.
        #expect(rounds[2].first?.wasInDoubt == true)
        #expect(rounds[2].first?.letter.attempts == 2)
    }

    @Test("Letters are forgotten a week after their fate was known, and not before")
    func pruning() async throws {
        let post = try await PostOffice.open()
        let ids = [LetterID.make(), LetterID.make(), LetterID.make()]
        let now = Date()
        try await post.host.database.transaction(as: .service(.notifications, for: tenant.id)) { tx in
            for (id, age) in zip(ids, [8.0, 6, 30]) {
                let created = now.addingTimeInterval(-age * 86_400)
                var letter = Letter.queued(id, for: tenant.id, .email, .signInCode, sealed: Data([1]), expires: nil, at: created)
                // The last one still waits, however old it is; far ahead, so that no worker takes it.
                if age == 30 {
                    let far = now.addingTimeInterval(86_400)
                    letter = Letter.queued(id, for: tenant.id, .email, .signInCode, sealed: Data([1]), expires: nil, at: far)
                }
                _ = try LetterStore(tx: tx).add(letter)
                guard age < 30 else { continue }
                _ = letter.succeed(at: created)
                #expect(try LetterStore(tx: tx).settle(letter))
            }
        }
        try await PruneLetters(database: post.host.database, now: { now }, logger: Logger(label: "test")).prune()
        #expect(try await post.row(of: ids[0], tenant.id) == nil)
        #expect(try await post.row(of: ids[1], tenant.id) != nil)
        #expect(try await post.row(of: ids[2], tenant.id) != nil)
    }
}
