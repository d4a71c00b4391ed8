import Contracts
import Foundation
import Testing

@testable import NotificationsService

@Suite("Rules of letters")
struct LetterRuleTests {
    private let now = Date(timeIntervalSince1970: 1_768_473_000)

    /// Good values for every parameter there is.
    private let values = [
        "link": "https://app.example.org/verify?token=abc&x=1", "code": "QK7-493", "minutes": "15", "when": "2026-01-15T10:30:00Z",
        "address": "203.0.113.7", "agent": "Firefox on Linux", "organization": "Analytical Engines", "inviter": "Ada Lovelace",
        "role": "editor", "days": "7", "until": "2026-03-01T09:05:00.000Z", "method": "totp", "change": "added", "left": "3",
        "message": "Come and weave with us",
    ]

    @Test(
        "In every language every place is a parameter, and every required parameter stands somewhere", arguments: LetterTemplate.allCases,
        LetterLanguage.allCases)
    func places(_ template: LetterTemplate, _ language: LetterLanguage) {
        let places = Set(template.words(in: language).places)
        #expect(places.isSubset(of: template.parameters.map(\.name)))
        #expect(Set(template.parameters.filter(\.required).map(\.name)).isSubset(of: places))
    }

    @Test(
        "Text and HTML say the same, in the language that is asked for", arguments: LetterTemplate.allCases, LetterLanguage.allCases)
    func rendering(_ template: LetterTemplate, _ language: LetterLanguage) throws {
        let letter = try template.render(values, in: language)
        let message = letter.message
        #expect(Title(rawValue: message.subject) != nil)
        #expect(message.html.contains("<html lang=\"\(language.rawValue)\">"))
        #expect(message.html.contains("<h1"))
        for text in [message.subject, message.text, message.html, letter.short ?? ""] { #expect(!text.contains("{{")) }
        for parameter in template.parameters {
            let value = try #require(values[parameter.name])
            let shown =
                switch parameter.kind {
                case .moment: try #require(language.moment(value))
                case .term: try #require(language.term(value))
                case .minutes: language == .german ? "15 Minuten" : "15 minutes"
                case .days: language == .german ? "7 Tage" : "7 days"
                default: value
                }
            #expect(message.text.contains(shown), "\(parameter.name) in \(message.text)")
            #expect(message.html.contains(MarkupText.escape(shown)), "\(parameter.name)")
        }
        let mail = OutgoingMail(
            delivery: .make(), from: try #require(MailSender("Trionex <post@trionex.example>")), to: EmailAddress(checked: "a@example.org"),
            date: now, message: message)
        #expect(throws: Never.self) { try mail.content() }
    }

    @Test("Languages that share a code have different words, and the one with a code fits a short message")
    func languages() throws {
        for template in LetterTemplate.allCases {
            #expect(try template.render(values, in: .english).message.subject != template.render(values, in: .german).message.subject)
        }
        for language in LetterLanguage.allCases {
            let short = try #require(try LetterTemplate.signInCode.render(values, in: language).short)
            #expect(short.contains("QK7-493") && short.contains("15"))
            #expect(short.count <= 160)
            #expect(LetterTemplate.allCases.filter { $0.words(in: language).short != nil } == [.signInCode])
        }
    }

    @Test(
        "A tag finds its language by look-up; without one it is English",
        arguments: [
            ("de", LetterLanguage.german), ("de-AT", .german), ("de-Latn-DE", .german), ("DE_ch", .german), ("en-GB", .english),
            ("fr", .english), ("", .english), ("deutsch", .english), ("x-de", .english),
        ])
    func tags(_ tag: String, _ language: LetterLanguage) {
        #expect(LetterLanguage(tag: tag) == language)
    }

    @Test(
        "Links are http or https only, codes and numbers are what they say, and all that is wrong is named at once",
        arguments: [
            ("link", "javascript:alert(1)"), ("link", "data:text/html,x"), ("link", "ftp://example.org/"), ("link", "//example.org"),
            ("link", "https://example.org/\"onclick=\"x"), ("link", "https://example.org/\r\nBcc: x"), ("code", "123"), ("code", "12 34"),
            ("code", "<b>12</b>"), ("minutes", "soon"), ("minutes", "1234567"), ("minutes", ""), ("link", ""),
        ])
    func refused(_ name: String, _ value: String) throws {
        let failure = #expect(throws: ValidationFailure.self) {
            try LetterTemplate.verifyEmail.render(values.merging([name: value]) { $1 }, in: .english)
        }
        #expect(failure?.fields.map(\.pointer) == ["/data/\(name)"])
        #expect(value.isEmpty || failure?.fields.allSatisfy { !$0.detail.contains(value) } == true)
    }

    @Test("What is missing is named, and what a letter has no place for is not looked at")
    func missing() throws {
        let failure = #expect(throws: ValidationFailure.self) { try LetterTemplate.verifyEmail.render(["colour": "red"], in: .german) }
        #expect(failure?.fields.map(\.pointer) == ["/data/link", "/data/minutes"])
        #expect(throws: Never.self) {
            try LetterTemplate.signInCode.render(["code": "493017", "minutes": "5", "colour": "red"], in: .german)
        }
        let bare = try LetterTemplate.invitation.render(
            ["organization": "Engines", "link": "https://example.org/i", "days": "7"], in: .german
        ).message
        #expect(bare.text.hasPrefix("Jemand lädt Sie in die Organisation Engines ein.\n\n"))
    }

    @Test("Names that others chose cannot become markup, links, headers or another direction of writing, and are never refused")
    func foreign() throws {
        let hostile =
            "Click https://evil.example/now?x=1 or www.evil.example, mail me@evil.example\r\nBcc: victim@example.org <script>alert(1)</script>\u{202E}gnp"
        var data = values
        data["organization"] = hostile
        data["inviter"] = String(repeating: "x", count: 5_000)
        let message = try LetterTemplate.invitation.render(data, in: .english).message
        for text in [message.subject, message.text, message.html] {
            #expect(!text.contains("https://evil"))
            #expect(!text.contains("evil.example"))
            #expect(!text.contains("victim@"))
            #expect(!text.unicodeScalars.contains("\u{202E}"))
        }
        #expect(!message.html.contains("<script>"))
        #expect(!message.subject.contains("\n") && !message.subject.contains("\r"))
        #expect(!message.text.contains(String(repeating: "x", count: 200)))
        #expect(Title(rawValue: message.subject) != nil)
    }

    @Test(
        "Addresses and ordinary names are shown as they are",
        arguments: [
            "203.0.113.7", "2001:db8::7", "Dr. Müller & Söhne GmbH", "Zoë Ёлка 🎈", "Firefox 144.0 on Linux", "日本語の会社", "A/B: test",
        ])
    func ordinary(_ text: String) {
        #expect(ForeignText.presentable(text) == text)
    }

    @Test("Minutes and days are shown as people say them")
    func durations() {
        #expect(
            [1, 15, 90, 120, 1_440].map { LetterLanguage.english.duration(minutes: $0) } == [
                "1 minute", "15 minutes", "90 minutes", "2 hours", "24 hours",
            ])
        #expect([1, 15, 120].map { LetterLanguage.german.duration(minutes: $0) } == ["1 Minute", "15 Minuten", "2 Stunden"])
        #expect([1, 7].map { LetterLanguage.german.duration(days: $0) } == ["1 Tag", "7 Tage"])
    }

    @Test("Times are shown in words and UTC; what is no time is shown as it is")
    func moments() {
        #expect(LetterLanguage.english.moment("2026-03-01T09:05:00+02:00") == "1 March 2026, 07:05 UTC")
        #expect(LetterLanguage.german.moment("2026-03-01T09:05:00.000Z") == "1. März 2026, 09:05 UTC")
        #expect(LetterLanguage.german.moment("tomorrow") == nil)
    }

    private func letter(attempts: Int, expires: Date? = nil, urgent: Bool = true) -> Letter {
        Letter(
            id: .make(), tenant: .platform, channel: .sms, template: "sign-in-code", isUrgent: urgent, sealed: Data([1]), status: .queued,
            attempts: attempts, nextAttemptAt: now, isInDoubt: true, expiresAt: expires, lastError: nil, createdAt: now, finishedAt: nil)
    }

    @Test("A letter is tried again while it is young enough, at least each minute where somebody waits, and its text goes with its fate")
    func fate() throws {
        let schedule = RetrySchedule(first: 2, maxAttempts: 12)
        let busy = DeliveryRefusal("451 later", isFinal: false)
        var young = letter(attempts: 1, expires: now.addingTimeInterval(600))
        #expect(young.refuse(busy, inDoubt: false, at: now, schedule, jitter: 0) == nil)
        #expect(young.status == .queued && young.nextAttemptAt == now.addingTimeInterval(2) && young.sealed != nil && !young.isInDoubt)
        var waiting = letter(attempts: 6)
        #expect(waiting.refuse(busy, inDoubt: true, at: now, schedule, jitter: 0) == nil)
        #expect(waiting.nextAttemptAt == now.addingTimeInterval(60) && waiting.isInDoubt)
        var patient = letter(attempts: 6, urgent: false)
        #expect(patient.refuse(busy, inDoubt: false, at: now, schedule, jitter: 0) == nil)
        #expect(patient.nextAttemptAt == now.addingTimeInterval(2_048))
        var old = letter(attempts: 1, expires: now.addingTimeInterval(1))
        let event = old.refuse(busy, inDoubt: false, at: now, schedule, jitter: 0)
        #expect(event?.template == "sign-in-code" && event?.channel == "sms" && event?.reason == "451 later")
        #expect(old.status == .failed && old.sealed == nil && old.finishedAt == now)
        var final = letter(attempts: 1)
        #expect(final.refuse(DeliveryRefusal("550 no", isFinal: true), inDoubt: false, at: now, schedule, jitter: 0) != nil)
        #expect(final.status == .failed && final.sealed == nil)
        var sent = letter(attempts: 1)
        #expect(sent.succeed(at: now).notificationID.uuid == sent.id.uuid)
        #expect(sent.status == .sent && sent.sealed == nil && !sent.isInDoubt)
    }

    @Test("Telephone numbers are kept in E.164, and what is none is refused")
    func numbers() {
        #expect(PhoneNumber(rawValue: "+49 (30) 123-456.7")?.rawValue == "+49301234567")
        for bad in ["030 1234567", "+0301234567", "+12", "+1234567890123456", "+49abc3012345", "", "+", "++4930123456", "+４９30123456"] {
            #expect(PhoneNumber(rawValue: bad) == nil, "\(bad)")
        }
    }
}
