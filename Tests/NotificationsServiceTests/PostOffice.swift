import Contracts
import DevStack
import Foundation
import Postgres
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
                "TRIONEX_SMS_PER_NUMBER_PER_HOUR": "3",
            ].merging(sink.shortMessageSettings) { own, _ in own })
        return PostOffice(host: host, sink: sink, cable: cable)
    }

    static func open() async throws -> PostOffice { try await opened.value }

    /// An address that no other test uses.
    static func address(at domain: String = "example.org") -> String { "p\(UUID().uuidString.lowercased().prefix(13))@\(domain)" }

    /// A telephone number that no other test uses.
    static func number(_ prefix: String = "+4930") -> String { prefix + String(UInt64.random(in: 1_000_000_000...9_999_999_999)) }

    /// Asks for a letter as another of the platform's programs would.
    func letter(
        _ template: String, to: String, _ data: [String: String], id: LetterID = .make(), channel: LetterChannel = .email,
        language: String = "en", tenant: TenantID? = nil, expires: Date? = nil
    ) async throws -> TestResponse {
        let request = LetterRequest(
            channel: channel, to: to, template: template, language: language, tenant: tenant, data: data, expiresAt: expires)
        let body = try JSON.decode(JSONValue.self, from: try JSON.encode(request))
        return try await host.client(service: .auth).put("/internal/v1/letters/\(id)", body)
    }

    /// A letter's row, as far as tests look at it.
    struct LetterRow: Sendable {
        let status: DeliveryStatus
        let isSealed: Bool
        let attempts: Int
        let error: String?
    }

    func row(of id: LetterID, _ tenant: TenantID = .platform) async throws -> LetterRow? {
        try await host.database.first(
            Query("SELECT status, sealed IS NOT NULL AS is_sealed, attempts, last_error FROM letters WHERE id = \(id)") { row in
                LetterRow(
                    status: try row("status"), isSealed: try row("is_sealed"), attempts: try row("attempts"), error: try row("last_error"))
            }, as: .service(.notifications, for: tenant))
    }

    /// The row, once the letter's fate is known.
    func fate(
        of id: LetterID, _ tenant: TenantID = .platform, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> LetterRow? {
        try await host.eventually("the letter's fate is known", sourceLocation: sourceLocation) {
            try await row(of: id, tenant)?.status != .queued
        }
        return try await row(of: id, tenant)
    }

    /// The mails to an address, once there are as many; a failed expectation when they do not come.
    func mails(to address: String, count: Int = 1, sourceLocation: SourceLocation = #_sourceLocation) async throws -> [MailMessage] {
        try await host.eventually("\(count) mail(s) arrive", sourceLocation: sourceLocation) {
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
