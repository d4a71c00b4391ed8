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
        /// Kept for a while, so that it can be restored; nobody gets in.
        case deleted
    }

    /// How long a deleted organization can be restored, and its slug is given to nobody else.
    static let graceAfterDeletion: TimeInterval = 30 * 86_400

    let id: TenantID
    private(set) var name: Name
    private(set) var slug: OrganizationSlug
    private(set) var domain: String?
    private(set) var status: Status
    private(set) var plan: Plan
    private(set) var limits: Limits
    /// Granted by the plan or by a platform admin; a trial adds to them for its time.
    private(set) var granted: Set<Feature>
    private(set) var subscription: SubscriptionStatus
    private(set) var trialEndsAt: Date?
    private(set) var dataResidency: DataResidency
    private(set) var settings: OrganizationSettings
    private(set) var branding: Branding
    private(set) var claim: DomainClaim?
    private(set) var suspendedReason: String?
    private(set) var erasedAfter: Date?
    let createdAt: Date
    private(set) var updatedAt: Date
    private(set) var version: Int

    init(
        id: TenantID, name: Name, slug: OrganizationSlug, domain: String?, status: Status, plan: Plan, limits: Limits,
        granted: Set<Feature>, subscription: SubscriptionStatus, trialEndsAt: Date?, dataResidency: DataResidency,
        settings: OrganizationSettings, branding: Branding, claim: DomainClaim?, suspendedReason: String?, erasedAfter: Date?,
        createdAt: Date, updatedAt: Date, version: Int
    ) {
        self.id = id
        self.name = name
        self.slug = slug
        self.domain = domain
        self.status = status
        self.plan = plan
        self.limits = limits
        self.granted = granted
        self.subscription = subscription
        self.trialEndsAt = trialEndsAt
        self.dataResidency = dataResidency
        self.settings = settings
        self.branding = branding
        self.claim = claim
        self.suspendedReason = suspendedReason
        self.erasedAfter = erasedAfter
        self.createdAt = createdAt
        self.updatedAt = updatedAt
        self.version = version
    }

    /// As it is founded: the smallest plan, and a trial of what a larger one can do.
    init(new id: TenantID, name: Name, slug: OrganizationSlug, at now: Date) {
        self.init(
            id: id, name: name, slug: slug, domain: nil, status: .active, plan: .starter, limits: Plan.starter.limits,
            granted: Plan.starter.features, subscription: .trialing, trialEndsAt: now.addingTimeInterval(Trial.length),
            dataResidency: .default, settings: OrganizationSettings(), branding: Branding(), claim: nil, suspendedReason: nil,
            erasedAfter: nil, createdAt: now, updatedAt: now, version: 1)
    }

    func features(at now: Date) -> Set<Feature> {
        guard let trialEndsAt, trialEndsAt > now else { return granted }
        return granted.union(Trial.plan.features)
    }

    func require(_ feature: Feature, at now: Date) throws(OrganizationFailure) {
        guard features(at: now).contains(feature) else { throw .featureNotInPlan }
    }

    /// Throws unless somebody can work in it.
    func requireActive() throws(MemberFailure) {
        switch status {
        case .active: return
        case .suspended: throw .organizationSuspended
        case .deleted: throw .organizationDeleted
        }
    }

    // MARK: - What its own people change

    /// What an admin of the organization may set.
    struct Form: Sendable, Equatable {
        var name: Name
        var slug: OrganizationSlug
        var dataResidency: DataResidency
        var settings: OrganizationSettings
    }

    var form: Form { Form(name: name, slug: slug, dataResidency: dataResidency, settings: settings) }

    /// Nil when nothing is different from before.
    mutating func change(_ form: Form, at now: Date) -> OrganizationUpdated? {
        guard form != self.form else { return nil }
        name = form.name
        slug = form.slug
        dataResidency = form.dataResidency
        settings = form.settings
        return touched(at: now)
    }

    mutating func change(_ branding: Branding, at now: Date) throws(OrganizationFailure) -> OrganizationUpdated? {
        guard branding != self.branding else { return nil }
        try require(.customBranding, at: now)
        self.branding = branding
        return touched(at: now)
    }

    /// Another domain takes the place of the one before, and is to be shown to be theirs anew. Nil when it is the same.
    mutating func claim(_ domain: DomainName, challenge: String, at now: Date) -> OrganizationUpdated? {
        guard claim?.domain != domain else { return nil }
        claim = DomainClaim(domain: domain, challenge: challenge)
        self.domain = nil
        return touched(at: now)
    }

    mutating func check(_ records: [String], at now: Date) -> (DomainClaim.Outcome, OrganizationUpdated?) {
        guard var checked = claim else { return (.notFound, nil) }
        let outcome = checked.check(against: records, at: now)
        claim = checked
        switch outcome {
        case .verified: domain = checked.domain.rawValue
        case .lost: domain = nil
        case .stillVerified, .notFound: return (outcome, nil)
        }
        return (outcome, touched(at: now))
    }

    mutating func dropDomain(at now: Date) -> OrganizationUpdated? {
        guard claim != nil || domain != nil else { return nil }
        claim = nil
        domain = nil
        return touched(at: now)
    }

    /// Everybody's sessions end; the slug is held back and the data kept until the time for second thoughts is over.
    mutating func delete(confirmedBy slug: String, at now: Date) throws(OrganizationFailure) -> OrganizationDeleted {
        guard slug == self.slug.rawValue else { throw .notConfirmed }
        let erased = now.addingTimeInterval(Self.graceAfterDeletion)
        status = .deleted
        erasedAfter = erased
        _ = touched(at: now)
        return OrganizationDeleted(organizationID: id, erasedAfter: erased)
    }

    /// After the time for second thoughts: others may have the slug and the domain. False when that is done, or too early.
    mutating func releaseSlug(at now: Date) -> Bool {
        let released = OrganizationSlug(checked: "erased-\(id.description.suffix(12))")
        guard status == .deleted, let erasedAfter, erasedAfter <= now, slug != released else { return false }
        slug = released
        _ = dropDomain(at: now)
        _ = touched(at: now)
        return true
    }

    // MARK: - What a platform admin changes

    struct Terms: Sendable, Equatable {
        var plan: Plan
        var limits: Limits
        var granted: Set<Feature>
        var subscription: SubscriptionStatus
        var trialEndsAt: Date?
    }

    var terms: Terms { Terms(plan: plan, limits: limits, granted: granted, subscription: subscription, trialEndsAt: trialEndsAt) }

    mutating func change(_ terms: Terms, at now: Date) -> [any Event] {
        guard terms != self.terms else { return [] }
        let previous = plan
        plan = terms.plan
        limits = terms.limits
        granted = terms.granted
        subscription = terms.subscription
        trialEndsAt = terms.trialEndsAt
        let updated = touched(at: now)
        guard plan != previous else { return [updated] }
        return [updated, PlanChanged(organizationID: id, plan: plan.rawValue, previous: previous.rawValue)]
    }

    mutating func suspend(because reason: String, at now: Date) throws(OrganizationFailure) -> OrganizationSuspended {
        guard status == .active else { throw .notActive }
        status = .suspended
        suspendedReason = reason
        _ = touched(at: now)
        return OrganizationSuspended(organizationID: id, reason: reason)
    }

    mutating func reactivate(at now: Date) throws(OrganizationFailure) -> OrganizationReactivated {
        guard status == .suspended else { throw .notSuspended }
        return back(at: now)
    }

    mutating func restore(at now: Date) throws(OrganizationFailure) -> OrganizationReactivated {
        guard status == .deleted else { throw .notDeleted }
        guard let erasedAfter, erasedAfter > now else { throw .erased }
        return back(at: now)
    }

    private mutating func back(at now: Date) -> OrganizationReactivated {
        status = .active
        suspendedReason = nil
        erasedAfter = nil
        _ = touched(at: now)
        return OrganizationReactivated(organizationID: id)
    }

    private mutating func touched(at now: Date) -> OrganizationUpdated {
        updatedAt = now
        version += 1
        return OrganizationUpdated(
            organizationID: id, name: name.rawValue, slug: slug.rawValue, plan: plan.rawValue, status: status.rawValue)
    }

    func created(by user: UserID) -> OrganizationCreated {
        OrganizationCreated(organizationID: id, name: name.rawValue, slug: slug.rawValue, plan: plan.rawValue, createdBy: user)
    }
}

enum OrganizationFailure: String, Failure {
    case slugTaken = "slug-taken"
    /// Two registrations say that they make one organization; ids are made so that it cannot happen by chance.
    case exists = "organization-exists"
    case featureNotInPlan = "feature-not-in-plan"
    case notConfirmed = "not-confirmed"
    case notActive = "organization-not-active"
    case notSuspended = "organization-not-suspended"
    case notDeleted = "organization-not-deleted"
    case erased = "organization-erased"
    case tooMany = "too-many-organizations"

    var kind: FailureKind {
        switch self {
        case .featureNotInPlan: .forbidden
        case .erased: .gone
        default: .conflict
        }
    }

    var detail: String? {
        switch self {
        case .slugTaken: "Another organization has this slug: choose another."
        case .exists: "This organization exists already."
        case .featureNotInPlan: "The organization's plan does not include this."
        case .notConfirmed: "Send the organization's slug as confirmation: deleting ends everybody's sessions."
        case .notActive: "Only an active organization can be suspended."
        case .notSuspended: "This organization is not suspended."
        case .notDeleted: "This organization is not deleted."
        case .erased: "The time in which this organization could be restored is over."
        case .tooMany: "One person owns at most \(Membership.ownedLimit) organizations."
        }
    }
}
