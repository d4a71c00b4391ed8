import DevStack
import Foundation
import ServiceKit
import TestKit
import Testing

@testable import NotificationsService

@Suite("SMTP")
struct SMTPTests {
    private func send(_ settings: SMTPSettings, to address: String, _ content: String = "Subject: x\r\n\r\n.dot\r\n..two\r\n") -> Result<
        Void, DeliveryRefusal
    > {
        SMTPConnection(settings, greetingName: "trionex.example")
            .send(MailEnvelope(from: "post@trionex.example", to: address, content: Array(content.utf8)))
    }

    private func settings(_ url: String, _ security: SMTPSettings.Security = .opportunistic) throws -> SMTPSettings {
        try SMTPSettings(url: url, security: security, authorities: nil)
    }

    @Test("Lines that begin with a dot arrive unchanged, with and without a password, several mails over one connection")
    func dots() async throws {
        let sink = try await MailSink.start()
        let address = PostOffice.address()
        for credentials in ["", "name:pass%40word@"] {
            let connection = SMTPConnection(
                try settings("smtp://\(credentials)127.0.0.1:\(sink.smtpPort)"), greetingName: "trionex.example")
            for _ in 0..<2 {
                let mail = MailEnvelope(
                    from: "post@trionex.example", to: address, content: Array("Subject: x\r\n\r\n.dot\r\n..two\r\n.\r\nend\r\n".utf8))
                #expect(throws: Never.self) { try connection.send(mail).get() }
            }
        }
        let mails = sink.messages(to: address)
        #expect(mails.count == 4)
        #expect(mails.allSatisfy { $0.body == ".dot\n..two\n.\nend" })
        await sink.stop()
    }

    @Test("A refusal for good is final, one for now is not, and neither repeats the address")
    func refusals() async throws {
        let sink = try await MailSink.start()
        let server = try settings("smtp://127.0.0.1:\(sink.smtpPort)")
        guard case .failure(let final) = send(server, to: "a@refused.test"), case .failure(let passing) = send(server, to: "a@busy.test")
        else {
            Issue.record("both are refused")
            return
        }
        #expect(final.isFinal)
        #expect(final.reason.hasPrefix("550"))
        #expect(!passing.isFinal)
        #expect(passing.reason.hasPrefix("451"))
        await sink.stop()
    }

    @Test("A server that is not there, and one without the TLS that is required, are tried again later")
    func away() async throws {
        let sink = try await MailSink.start()
        guard case .failure(let plain) = send(try settings("smtp://127.0.0.1:\(sink.smtpPort)", .required), to: "a@example.org") else {
            Issue.record("nothing goes out in clear text")
            return
        }
        #expect(!plain.isFinal)
        #expect(sink.messages().isEmpty)
        let port = sink.smtpPort
        await sink.stop()
        guard case .failure(let gone) = send(try settings("smtp://127.0.0.1:\(port)"), to: "a@example.org") else {
            Issue.record("nobody is there")
            return
        }
        #expect(!gone.isFinal)
    }

    @Test(
        "Settings that cannot work are refused without repeating the password",
        arguments: [
            ["SMTP_URL": "smtp://user:hunter2@mail.example.org"], ["SMTP_URL": "http://user:hunter2@mail.example.org"],
            ["SMTP_URL": "mail"],
            ["SMTP_FROM": "nobody"], ["SMTP_FROM": "A\r\nB <a@example.org>"], ["SMTP_TLS": "maybe"], ["NOTIFICATIONS_SENDERS": "0"],
        ])
    func badSettings(_ values: [String: String]) {
        var reader = SettingsReader(environment: Dictionary(uniqueKeysWithValues: values.map { ("TRIONEX_\($0.key)", $0.value) }))
        _ = NotificationsSettings(&reader)
        #expect(reader.problems.count == 1)
        #expect(reader.problems.allSatisfy { !$0.contains("hunter2") })
    }

    @Test(
        "A password goes to a distant server when TLS is required",
        arguments: ["smtps://u:p@mail.example.org", "smtp://u:p@mail.example.org:587"])
    func goodSettings(_ url: String) throws {
        let settings = try settings(url, .required)
        #expect(settings.user == "u" && settings.password == "p")
        #expect(!settings.server.contains("@"))
    }
}
