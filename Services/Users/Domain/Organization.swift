import Contracts
import Foundation

/// A part of an address (`<slug>.example.org`): a slug that fits into a DNS label and is no word of the platform's own.
struct OrganizationSlug: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let lengths = 2...63
    static var schema: Schema { .string(minLength: 2, maxLength: 63, pattern: "^[a-z0-9]+(-[a-z0-9]+)*$") }

    private static let reserved: Set<String> = [
        "about", "account", "accounts", "admin", "api", "app", "assets", "auth", "billing", "blog", "cdn", "console", "dashboard", "dev",
        "docs", "email", "files", "ftp", "gateway", "grafana", "health", "help", "internal", "localhost", "login", "mail", "media",
        "metrics", "ns1", "ns2", "oauth", "oauth2", "platform", "root", "scim", "search", "security", "signup", "smtp", "sso", "staging",
        "static", "status", "support", "system", "test", "trionex", "users", "webhooks", "www",
    ]

    static func check(_ text: String) throws(TextProblem) -> String {
        let slug = try Slug.check(text)
        guard lengths.contains(slug.utf8.count) else {
            throw TextProblem("invalid-slug", "must have \(lengths.lowerBound) to \(lengths.upperBound) characters")
        }
        guard !reserved.contains(slug) else { throw TextProblem("reserved-slug", "is a word of the platform's own: choose another") }
        return slug
    }

    /// What to try, in order, for an organization that names no slug: its name, then its name with more and more of its id.
    static func candidates(for name: Name, id: TenantID) -> [OrganizationSlug] {
        var stem = ""
        for word in Slug.make(from: name.rawValue, fallback: "organization").rawValue.prefix(200).split(separator: "-") {
            let next = stem.isEmpty ? String(word.prefix(48)) : "\(stem)-\(word)"
            if next.utf8.count > 48 { break }
            stem = next
        }
        // The last twelve digits of a UUID are random in version 7 too.
        let digits = id.description.suffix(12)
        return [stem, "\(stem)-\(digits.suffix(4))", "\(stem)-\(digits)"].compactMap { OrganizationSlug(rawValue: $0) }
    }
}

/// The tenant.
struct Organization: Sendable, Equatable {
    enum Status: String, Sendable, Codable, CaseIterable {
        case active, suspended
    }

    let id: TenantID
    private(set) var name: Name
    private(set) var slug: OrganizationSlug
    let domain: String?
    let status: Status
    let plan: String
    let maxUsers: Int
    let storageLimitGB: Int
    let trialEndsAt: Date?
    let dataResidency: String
    let createdAt: Date
    private(set) var updatedAt: Date
    private(set) var version: Int

    /// Nil when nothing is different from before.
    mutating func change(name: Name, slug: OrganizationSlug, at now: Date) -> OrganizationUpdated? {
        guard name != self.name || slug != self.slug else { return nil }
        self.name = name
        self.slug = slug
        updatedAt = now
        version += 1
        return OrganizationUpdated(
            organizationID: id, name: name.rawValue, slug: slug.rawValue, plan: plan, status: status.rawValue)
    }

    func created(by user: UserID) -> OrganizationCreated {
        OrganizationCreated(organizationID: id, name: name.rawValue, slug: slug.rawValue, plan: plan, createdBy: user)
    }
}

enum OrganizationFailure: String, Failure {
    case slugTaken = "slug-taken"
    /// Two registrations say that they make one organization; ids are made so that it cannot happen by chance.
    case exists = "organization-exists"

    var kind: FailureKind { .conflict }

    var detail: String? {
        switch self {
        case .slugTaken: "Another organization has this slug: choose another."
        case .exists: "This organization exists already."
        }
    }
}
