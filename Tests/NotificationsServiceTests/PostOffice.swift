import Contracts
import DevStack
import Foundation
import TestKit
import Testing

@testable import NotificationsService

/// The service with a mail server that keeps every mail, shared by the tests of this process.
///
/// One of them, because every host of the service takes whatever mail is due.
struct PostOffice: Sendable {
    let host: TestHost
    let sink: MailSink
    let cable: MailCable

    private static let opened = Task {
        let sink = try await MailSink.start()
        let cable = try await MailCable.plug(into: sink.smtpPort)
        let host = try await TestHost.start(
            Notifications.self,
            environment: [
                "TRIONEX_SMTP_URL": "smtp://somebody:secret-word@127.0.0.1:\(cable.port)",
                "TRIONEX_SMTP_FROM": "Trionex <post@trionex.example>",
                "TRIONEX_NOTIFICATIONS_RETRY_SECONDS": "1", "TRIONEX_NOTIFICATIONS_MAX_ATTEMPTS": "8",
            ])
        return PostOffice(host: host, sink: sink, cable: cable)
    }

    static func open() async throws -> PostOffice { try await opened.value }

    /// An address that no other test uses.
    static func address(at domain: String = "example.org") -> String { "p\(UUID().uuidString.lowercased().prefix(13))@\(domain)" }

    /// The mails to an address, once there are as many; a failed expectation when they do not come.
    func mails(to address: String, count: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [MailMessage] {
        try await host.eventually("\(count) mail(s) arrive", within: .seconds(40), sourceLocation: sourceLocation) {
            sink.messages(to: address).count >= count
        }
        return sink.messages(to: address)
    }

    func deliveries(_ tenant: TestTenant, _ query: String = "") async throws -> [JSONValue] {
        let response = try await host.client(tenant.owner).get("/api/v1/notifications/deliveries\(query)")
        #expect(response.status == 200, "\(response.text)")
        return response["data"].array
    }
}
