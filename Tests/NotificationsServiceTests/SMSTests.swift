import Contracts
import DevStack
import Foundation
import Postgres
import ServiceKit
import TestKit
import Testing

@testable import NotificationsService

@Suite("Short messages")
struct SMSTests {
    let tenant = TestTenant()
    private let data = ["code": "493017", "minutes": "5"]

    private func send(_ post: PostOffice, to number: String, language: String = "en") async throws -> LetterID {
        let id = LetterID.make()
        let answer = try await post.letter(
            "sign-in-code", to: number, data, id: id, channel: .sms, language: language, tenant: tenant.id)
        #expect(answer.status == 202, "\(answer.text)")
        return id
    }

    @Test("A code arrives as a short message, in the language that is asked for, at the number in its one form")
    func arrives() async throws {
        let post = try await PostOffice.open()
        let number = PostOffice.number()
        let id = try await send(post, to: number.prefix(3) + " (0)-".filter { $0 != "0" } + number.dropFirst(3), language: "de")
        let row = try #require(await post.fate(of: id, tenant.id))
        #expect(row.status == .sent && !row.isSealed && row.attempts == 1)
        let messages = post.sink.shortMessages(to: number)
        #expect(messages.map(\.body) == ["493017 ist Ihr Code für Trionex. Er gilt einmal und 5 Minuten lang. Sagen Sie ihn niemandem."])
        #expect(messages.first?.from == "+15005550006")
        let told = try await post.host.outbox(tenant.id)
        #expect(told.map(\.type) == [NotificationDelivered.type])
        #expect(told[0].payload["channel"] == "sms")
        #expect(post.host.log.lines.allSatisfy { !$0.contains(number) && !$0.contains("493017 ") })
    }

    @Test("When the provider takes a message and its answer is lost, the message is not sent twice")
    func lostAnswer() async throws {
        let post = try await PostOffice.open()
        let before = post.sink.shortMessages(to: "+15005550008").count
        let id = try await send(post, to: "+15005550008")
        let row = try #require(await post.fate(of: id, tenant.id))
        #expect(row.status == .sent)
        #expect(row.attempts == 2)
        #expect(post.sink.shortMessages(to: "+15005550008").count == before + 1)
    }

    @Test("When the program died after the provider had taken a message, whoever takes the letter next does not send it again")
    func crash() async throws {
        let post = try await PostOffice.open()
        let (id, number) = (LetterID.make(), try #require(PhoneNumber(rawValue: PostOffice.number())))
        let settings = try SMSSettings(url: post.sink.httpURL, account: "AC1", token: "local", sender: "Trionex")
        let content = LetterContent.shortMessage(to: number, "493017 is your code")
        #expect(await TwilioMessages(settings: settings).send(content.text, to: number) == .taken)
        let sealed = try post.host.host.foundations.sealing().seal(
            try JSON.encode(content), context: LetterContent.sealContext(id, tenant.id))
        try await post.host.database.transaction(as: .service(.notifications, for: tenant.id)) { tx in
            let letter = Letter.queued(id, for: tenant.id, .sms, .signInCode, sealed: sealed, expires: nil, at: Date())
            #expect(try LetterStore(tx: tx).add(letter))
            // As the dead program left it.
            try tx.execute("UPDATE letters SET attempts = 1, in_doubt = true WHERE id = \(id)")
        }
        let row = try #require(await post.fate(of: id, tenant.id))
        #expect(row.status == .sent && row.attempts == 2)
        #expect(post.sink.shortMessages(to: number.rawValue).count == 1)
    }

    @Test("A number that the provider refuses for good fails the letter, with their code and without the number")
    func refused() async throws {
        let post = try await PostOffice.open()
        for (number, code) in [("+15005550004", "21610"), ("+15005550009", "21614")] {
            let row = try #require(await post.fate(of: try await send(post, to: number), tenant.id))
            #expect(row.status == .failed && row.attempts == 1)
            #expect(row.error == "the SMS provider answered 400, code \(code)")
        }
        #expect(try await post.host.outbox(tenant.id).allSatisfy { !"\($0.payload)".contains("15005550") })
    }

    @Test("A provider that is away or limits us is tried again", arguments: ["+15005550003", "+15005550007"])
    func away(_ number: String) async throws {
        let post = try await PostOffice.open()
        let id = try await send(post, to: number)
        try await post.host.eventually("it was tried twice") {
            (try await post.row(of: id, tenant.id)?.attempts ?? 0) >= 2
        }
        #expect(try await post.row(of: id, tenant.id)?.status == .queued)
        #expect(post.sink.shortMessages(to: number).isEmpty)
    }

    @Test("One number gets so many messages in an hour and no more")
    func quota() async throws {
        let post = try await PostOffice.open()
        let number = PostOffice.number()
        for index in 1...4 {
            let row = try #require(await post.fate(of: try await send(post, to: number), tenant.id))
            #expect(row.status == (index <= 3 ? .sent : .failed))
        }
        #expect(post.sink.shortMessages(to: number).count == 3)
    }

    @Test("Without settings the channel is refused with the settings' names; mail goes on")
    func withoutSettings() async throws {
        let post = try await PostOffice.open()
        let host = try await TestHost.start(Notifications.self, environment: ["TRIONEX_SMTP_URL": post.sink.smtpURL], following: false)
        let office = PostOffice(host: host, sink: post.sink, cable: post.cable)
        let answer = try await office.letter("sign-in-code", to: "+4930123456", data, channel: .sms)
        #expect(answer.status == 422)
        #expect(answer.problem == "sms-not-configured")
        #expect(answer["detail"].string?.contains("TRIONEX_SMS_URL") == true)
        #expect(
            try await host.client(service: .auth).get("/internal/v1/letters/channels")["channels"].array.compactMap(\.string) == ["email"])
        #expect(try await office.letter("sign-in-code", to: PostOffice.address(), data).status == 202)
        try await host.stop()
    }

    @Test("An unknown outcome is looked up before another try, and nothing is sent while it cannot be told")
    func doubt() async throws {
        let post = try await PostOffice.open()
        let settings = try SMSSettings(
            url: post.sink.httpURL, account: "AC1", token: "local", sender: "Trionex", prefixes: ["+4930"])
        let number = try #require(PhoneNumber(rawValue: PostOffice.number()))
        let provider = TwilioMessages(settings: settings)
        let foundations = post.host.host.foundations
        let carrier = SMSCarrier(settings, provider, redis: foundations.redis, sealing: try foundations.sealing())
        let letter = Letter.queued(.make(), for: .platform, .sms, .signInCode, sealed: Data([1]), expires: nil, at: Date())
        let content = LetterContent.shortMessage(to: number, "493017 is your code")
        #expect(await carrier.carry(content, of: letter, inDoubt: true) == .taken)
        #expect(await carrier.carry(content, of: letter, inDoubt: true) == .taken)
        #expect(post.sink.shortMessages(to: number.rawValue).count == 1)
        #expect(await provider.has("another text", to: number, since: letter.createdAt) == false)
        // The same words of long ago are another letter's.
        #expect(await provider.has(content.text, to: number, since: Date().addingTimeInterval(600)) == false)

        let stopped = try await MailSink.start()
        let gone = TwilioMessages(
            settings: try SMSSettings(url: stopped.httpURL, account: "AC1", token: "local", sender: "Trionex"))
        await stopped.stop()
        #expect(await gone.has(content.text, to: number, since: letter.createdAt) == nil)
        let away = SMSCarrier(gone.settings, gone, redis: foundations.redis, sealing: try foundations.sealing())
        guard case .unknown = await away.carry(content, of: letter, inDoubt: true) else {
            Issue.record("nothing is known")
            return
        }
        // Nobody listens, so nothing can have been taken.
        guard case .refused(let refusal) = await gone.send(content.text, to: number) else {
            Issue.record("it was not sent")
            return
        }
        #expect(!refusal.isFinal && !refusal.reason.contains(number.rawValue))

        let abroad = try #require(PhoneNumber(rawValue: PostOffice.number("+8821")))
        guard case .refused(let region) = await carrier.carry(.shortMessage(to: abroad, "x"), of: letter, inDoubt: false) else {
            Issue.record("the country is not written to")
            return
        }
        #expect(region.isFinal)
    }

    @Test("A wrong token is our settings' fault: it is tried again, and shows in readiness")
    func wrongToken() async throws {
        let post = try await PostOffice.open()
        let settings = try SMSSettings(url: post.sink.httpURL, account: "AC1", token: "wrong", sender: "+15005550006")
        let foundations = post.host.host.foundations
        let carrier = SMSCarrier(
            settings, TwilioMessages(settings: settings), redis: foundations.redis, sealing: try foundations.sealing())
        let letter = Letter.queued(.make(), for: .platform, .sms, .signInCode, sealed: Data([1]), expires: nil, at: Date())
        let number = try #require(PhoneNumber(rawValue: PostOffice.number()))
        #expect(carrier.trouble == nil)
        guard case .refused(let refusal) = await carrier.carry(.shortMessage(to: number, "x"), of: letter, inDoubt: false) else {
            Issue.record("refused")
            return
        }
        #expect(!refusal.isFinal)
        #expect(carrier.trouble == "the SMS provider answered 401, code 20003")
    }

    @Test(
        "Settings that cannot work are refused, without repeating the token",
        arguments: [
            ["SMS_URL": "https://sms.example.org"],
            ["SMS_URL": "http://sms.example.org", "SMS_ACCOUNT": "AC1", "SMS_TOKEN": "hunter2", "SMS_FROM": "+15005550006"],
            ["SMS_URL": "https://u:p@sms.example.org", "SMS_ACCOUNT": "AC1", "SMS_TOKEN": "hunter2", "SMS_FROM": "+15005550006"],
            ["SMS_URL": "https://sms.example.org", "SMS_ACCOUNT": "../x", "SMS_TOKEN": "hunter2", "SMS_FROM": "+15005550006"],
            ["SMS_URL": "https://sms.example.org", "SMS_ACCOUNT": "AC1", "SMS_TOKEN": "hunter2", "SMS_FROM": "a name that is too long"],
            [
                "SMS_URL": "https://sms.example.org", "SMS_ACCOUNT": "AC1", "SMS_TOKEN": "hunter2", "SMS_FROM": "Trionex",
                "SMS_PREFIXES": "49",
            ],
        ])
    func badSettings(_ settings: [String: String]) {
        var reader = SettingsReader(environment: Dictionary(uniqueKeysWithValues: settings.map { ("TRIONEX_\($0.key)", $0.value) }))
        #expect(SMSSettings.read(&reader) == nil)
        #expect(!reader.problems.isEmpty)
        #expect(reader.problems.allSatisfy { !$0.contains("hunter2") && $0.contains("TRIONEX_SMS_") })
    }

    @Test("Senders are a number, a short name or a messaging service")
    func senders() {
        let service = "MG" + String(repeating: "a", count: 32)
        #expect(SMSSender("+1 500 555 0006") == .from("+15005550006"))
        #expect(SMSSender("Trionex") == .from("Trionex"))
        #expect(SMSSender(service) == .service(service))
        #expect(SMSSender("12345") == nil)
        #expect(TwilioMessages.form([("To", "+49 & ü")]) == "To=%2B49%20%26%20%C3%BC")
    }
}
