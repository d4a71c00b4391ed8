import Contracts
import Foundation
import Testing

@testable import NotificationsService

@Suite("Rules of notifications")
struct RuleTests {
    private let now = Date(timeIntervalSince1970: 1_768_473_000)

    private func mail(_ message: Message) throws -> OutgoingMail {
        let sender = try #require(MailSender("Trionex <post@trionex.example>"))
        return OutgoingMail(delivery: .make(), from: sender, to: EmailAddress(checked: "ada@example.org"), date: now, message: message)
    }

    @Test("A mail is ASCII with short lines, and says the same in text and HTML")
    func content() throws {
        let message = Message(subject: "Grüße " + String(repeating: "ä", count: 200), text: "Tëxt", html: "<p>Tëxt</p>")
        let mail = try mail(message)
        let text = String(decoding: try mail.content(), as: UTF8.self)
        #expect(text.utf8.allSatisfy { $0 < 128 })
        #expect(text.components(separatedBy: "\r\n").allSatisfy { $0.utf8.count <= 78 && !$0.contains("\n") && !$0.contains("\r") })
        #expect(text.contains("Message-ID: <\(mail.delivery)@trionex.example>\r\n"))
        #expect(text.contains("Date: Thu, 15 Jan 2026 10:30:00 +0000\r\n"))
        #expect(text.contains(Data("Tëxt".utf8).base64EncodedString()))
        #expect(text.contains(Data("<p>Tëxt</p>".utf8).base64EncodedString()))
        #expect(text.contains("From: \"Trionex\" <post@trionex.example>\r\n"))
    }

    @Test("A mail that is made again has the same Message-ID")
    func messageID() throws {
        let message = Message(subject: "s", text: "t", html: "h")
        let mail = try mail(message)
        let again = OutgoingMail(delivery: mail.delivery, from: mail.from, to: mail.to, date: now.addingTimeInterval(60), message: message)
        #expect(mail.messageID == again.messageID)
    }

    @Test("No header takes a line end", arguments: ["a\r\nBcc: x@example.org", "a\nb", "a\rb", "a\u{0}b"])
    func headers(_ subject: String) throws {
        #expect(throws: DeliveryRefusal.self) { try mail(Message(subject: subject, text: "t", html: "h")).content() }
        #expect(throws: DeliveryRefusal.self) { try HeaderText.phrase(subject) }
        #expect(Title(rawValue: subject) == nil)
    }

    @Test("Quotes in a sender's name are escaped")
    func phrase() throws {
        #expect(try HeaderText.phrase(#"The "Post" \ Office"#) == #""The \"Post\" \\ Office""#)
    }

    @Test("Every place of every template is one of its parameters, and only lines stand in subjects", arguments: TemplateName.allCases)
    func places(_ name: TemplateName) {
        let template = name.template
        let kinds = Dictionary(uniqueKeysWithValues: template.parameters.map { ($0.name, $0.kind) })
        #expect(template.name == name)
        #expect((template.text.places + template.html.places).allSatisfy { kinds[$0] != nil })
        #expect(template.subject.places.allSatisfy { kinds[$0] == .line })
        #expect(template.parameters.filter(\.required).allSatisfy { (template.text.places + template.html.places).contains($0.name) })
    }

    @Test("Values are escaped in HTML, and are not read as templates")
    func escaping() throws {
        let message = try TemplateName.notice.template.render([
            "heading": "{{link}} <i>&\"'", "message": "a\n\nb\nc<script>",
            "link": "https://example.org/?a=1&b=\"x\"".replacingOccurrences(of: "\"", with: "%22").json,
        ])
        #expect(message.subject == "{{link}} <i>&\"'")
        #expect(message.html.contains("<h1 style=\"font-size:20px\">{{link}} &lt;i&gt;&amp;&quot;&#39;</h1>"))
        #expect(message.html.contains("<p>a</p><p>b<br>c&lt;script&gt;</p>"))
        #expect(message.html.contains("href=\"https://example.org/?a=1&amp;b=%22x%22\""))
        #expect(!message.html.contains("<script>"))
        let bare = try TemplateName.notice.template.render(["heading": "h", "message": "m"])
        #expect(bare.text == "h\n\nm")
        #expect(!bare.html.contains("href"))
    }

    @Test("Pauses grow fourfold up to six hours, and end")
    func schedule() {
        let schedule = RetrySchedule(first: 2, maxAttempts: 12)
        #expect((1...4).map { schedule.pause(after: $0, jitter: 0) } == [2, 8, 32, 128])
        #expect(schedule.pause(after: 11, jitter: 0) == 21_600)
        #expect(schedule.pause(after: 11, jitter: 1) == 21_600 * 1.1)
        #expect(schedule.pause(after: 12, jitter: 0) == nil)
    }

    @Test("A delivery that is refused for now is queued again, for good has failed, and after the last try has failed")
    func refusing() throws {
        let schedule = RetrySchedule(first: 2, maxAttempts: 3)
        func delivery(_ attempts: Int) -> Delivery {
            Delivery(
                id: .make(), notificationID: .make(), channel: .email, recipient: "a@example.org", userID: nil, template: nil,
                message: Message(subject: "s", text: "t", html: "h"), status: .queued, attempts: attempts, nextAttemptAt: now,
                lastError: nil,
                createdAt: now, finishedAt: nil)
        }
        var passing = delivery(1)
        #expect(passing.refuse(DeliveryRefusal("451 later", isFinal: false), at: now, schedule, jitter: 0) == nil)
        #expect(passing.status == .queued && passing.nextAttemptAt == now.addingTimeInterval(2) && passing.message != nil)
        var final = delivery(1)
        #expect(final.refuse(DeliveryRefusal("550 no", isFinal: true), at: now, schedule, jitter: 0)?.reason == "550 no")
        #expect(final.status == .failed && final.finishedAt == now && final.message == nil)
        var last = delivery(3)
        #expect(last.refuse(DeliveryRefusal("451 later", isFinal: false), at: now, schedule, jitter: 0) != nil)
        #expect(last.status == .failed)
    }

    @Test("A reason has no address in it, is one line and is not long")
    func reasons() {
        let refusal = DeliveryRefusal("550 5.1.1 <ada@example.org>: Recipient\r\naddress rejected", isFinal: true)
        #expect(refusal.reason == "550 5.1.1 <address> Recipient address rejected")
        #expect(DeliveryRefusal(String(repeating: "x", count: 1_000), isFinal: true).reason.count == DeliveryRefusal.maximumLength)
    }

    @Test("Senders are an address, perhaps with a name")
    func senders() {
        #expect(MailSender("post@example.org")?.name == nil)
        #expect(MailSender(" The Post <Post@Example.org> ")?.address.rawValue == "post@example.org")
        #expect(MailSender("The Post <post>") == nil)
        #expect(MailSender("a\r\nb <post@example.org>") == nil)
        #expect(MailSender("") == nil)
    }
}

extension String {
    fileprivate var json: JSONValue { .string(self) }
}
