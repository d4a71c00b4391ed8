import Contracts
import Foundation
import ServiceKit

/// A merge patch of what an organization's admins may set.
struct OrganizationPatch: Decodable, Sendable {
    let name: Change<Name>
    let slug: Change<OrganizationSlug>
    let dataResidency: Change<DataResidency>
    let settings: Change<SettingsPatch>

    func applied(to form: Organization.Form) throws(ValidationFailure) -> Organization.Form {
        var form = form
        form.name = try Self.required("/name", name, form.name)
        form.slug = try Self.required("/slug", slug, form.slug)
        form.dataResidency = dataResidency.applied(to: form.dataResidency) ?? .default
        switch settings {
        case .keep: break
        case .clear: form.settings = OrganizationSettings()
        case .set(let patch): form.settings = patch.applied(to: form.settings)
        }
        return form
    }

    static func required<Value>(_ field: String, _ change: Change<Value>, _ current: Value) throws(ValidationFailure) -> Value {
        guard let value = change.applied(to: current) else { throw ValidationFailure(field, "null", "must not be null") }
        return value
    }
}

/// A merge patch of the settings: what is null gets its default.
struct SettingsPatch: Codable, Sendable {
    let requireSecondFactor: Change<Bool>
    let defaultRole: Change<RoleName>
    let timezone: Change<TimeZoneName>
    let language: Change<LanguageTag>

    func applied(to settings: OrganizationSettings) -> OrganizationSettings {
        let standard = OrganizationSettings()
        var settings = settings
        settings.requireSecondFactor = requireSecondFactor.applied(to: settings.requireSecondFactor) ?? standard.requireSecondFactor
        settings.defaultRole = defaultRole.applied(to: settings.defaultRole) ?? standard.defaultRole
        settings.timezone = timezone.applied(to: settings.timezone) ?? standard.timezone
        settings.language = language.applied(to: settings.language) ?? standard.language
        return settings
    }
}

extension Decoder {
    /// A whole number in a range; refuses any other by name.
    func bounded(_ range: ClosedRange<Int>) throws -> Int {
        let container = try singleValueContainer()
        let value = try container.decode(Int.self)
        guard range.contains(value) else {
            let sentence = "must be from \(range.lowerBound) to \(range.upperBound)"
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: sentence, underlyingError: TextProblem("out-of-range", sentence)))
        }
        return value
    }
}

/// The whole branding anew: what is left out is cleared.
struct BrandingBody: Decodable, Sendable {
    let displayName: Name?
    let logoUrl: SecureWebAddress?
    let faviconUrl: SecureWebAddress?
    let primaryColor: Color?
    let accentColor: Color?
    let supportEmail: EmailAddress?

    var branding: Branding {
        Branding(
            logoURL: logoUrl, faviconURL: faviconUrl, primaryColor: primaryColor, accentColor: accentColor, supportEmail: supportEmail,
            displayName: displayName)
    }
}
