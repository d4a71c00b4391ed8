package import Foundation

/// What notifications is asked to send for another program: `PUT /internal/v1/letters/{id}`. May be repeated under the same id.
///
/// Unlike a notification it may hold secrets (a link, a code): it is shown nowhere and forgotten when it is sent.
package struct LetterRequest: Codable, Sendable, Equatable {
    package enum Channel: String, Codable, Sendable, CaseIterable {
        case email, sms
    }

    package let channel: Channel
    /// An e-mail address, or a telephone number in E.164.
    package let to: String
    /// Such as `verify-email`: notifications' README lists them with their data.
    package let template: String
    /// A language tag; English where there is no text in it.
    package let language: String
    /// Nil for the platform's own, which belong to no organization.
    package let tenant: TenantID?
    package let data: [String: String]
    /// After this it is not sent any more: a code that has expired helps nobody.
    package let expiresAt: Date?

    package init(
        channel: Channel, to: String, template: String, language: String = "en", tenant: TenantID?, data: [String: String],
        expiresAt: Date? = nil
    ) {
        self.channel = channel
        self.to = to
        self.template = template
        self.language = language
        self.tenant = tenant
        self.data = data
        self.expiresAt = expiresAt
    }
}
