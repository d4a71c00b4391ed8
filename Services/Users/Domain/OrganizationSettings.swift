import Contracts
import Foundation

/// What an organization decides for its people. Kept as JSON; what is not set has its default.
struct OrganizationSettings: Sendable, Codable, Equatable {
    /// Nobody gets in without a second factor.
    var requireSecondFactor = false
    /// What somebody becomes who joins without being given a role.
    var defaultRole = RoleName.user
    var timezone = TimeZoneName.utc
    var language = LanguageTag.english

    init() {}

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let standard = OrganizationSettings()
        requireSecondFactor = try container.decodeIfPresent(Bool.self, forKey: .requireSecondFactor) ?? standard.requireSecondFactor
        defaultRole = try container.decodeIfPresent(RoleName.self, forKey: .defaultRole) ?? standard.defaultRole
        timezone = try container.decodeIfPresent(TimeZoneName.self, forKey: .timezone) ?? standard.timezone
        language = try container.decodeIfPresent(LanguageTag.self, forKey: .language) ?? standard.language
    }
}

/// How an organization shows itself: to its own people, and on the page where they sign in.
struct Branding: Sendable, Codable, Equatable {
    var logoURL: SecureWebAddress?
    var faviconURL: SecureWebAddress?
    var primaryColor: Color?
    var accentColor: Color?
    var supportEmail: EmailAddress?
    var displayName: Name?
}

/// An address of a picture: `https` alone, since browsers load it on the page where people sign in.
struct SecureWebAddress: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { WebAddress.schema }
    static func check(_ text: String) throws(TextProblem) -> String {
        let address = try WebAddress.check(text)
        guard address.lowercased().hasPrefix("https://") else { throw TextProblem("invalid-url", "must begin with https://") }
        return address
    }
}

/// A colour as CSS writes it: `#` and six hexadecimal digits.
struct Color: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(pattern: "^#[0-9a-f]{6}$") }
    static func check(_ text: String) throws(TextProblem) -> String {
        let digits = text.lowercased().utf8.dropFirst()
        guard text.hasPrefix("#"), digits.count == 6, digits.allSatisfy({ (48...57).contains($0) || (97...102).contains($0) }) else {
            throw TextProblem("invalid-color", "must be # and six hexadecimal digits, such as #1a73e8")
        }
        return text.lowercased()
    }
}

/// The region an organization's data is to stay in (requirement 2, "Data residency").
enum DataResidency: String, Sendable, Codable, CaseIterable {
    case `default`
    case usEast = "us-east"
    case euWest = "eu-west"
    case apSouth = "ap-south"
}
