import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// What the platform's admins do. Each step is in the audit trail of the organization it is about, and in the platform's own.
struct PlatformRoutes {
    let database: Database
    let access: AccessEnding

    static let adminLimit = 100

    var endpoints: Endpoints {
        Endpoints("platform") {
            Endpoint.get("organizations", "List the organizations of the platform", may: .superadmin, list)
            Endpoint.get("organizations/:id", "Read an organization", may: .superadmin, read)
            Endpoint.patch("organizations/:id", "Change an organization's plan and limits", may: .superadmin, patch)
            Endpoint.post("organizations/:id/suspend", "Suspend an organization", may: .superadmin, suspend)
            Endpoint.post("organizations/:id/reactivate", "Lift the suspension of an organization", may: .superadmin, reactivate)
            Endpoint.post("organizations/:id/restore", "Restore a deleted organization", may: .superadmin, restore)
            Endpoint.get("plans", "List the plans", may: .superadmin, plans)
            Endpoint.get("admins", "List the platform's admins", may: .superadmin, admins)
            Endpoint.post("admins", "Make somebody a platform admin", may: .superadmin, grant)
            Endpoint.delete("admins/:userID", "Make somebody no platform admin any more", may: .superadmin, revoke)
        }
    }

    struct PlatformQuery: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
        /// A part of the name, the slug or the domain.
        let q: Label?
        let status: Organization.Status?
        let plan: Plan?
    }

    struct Suspension: Decodable, Sendable {
        let reason: Label
    }

    struct NewAdmin: Decodable, Sendable {
        let userId: UserID
    }

    // MARK: - Organizations

    func list(_ request: CallerRequest, _ query: PlatformQuery) async throws -> Page<PlatformOrganizationView> {
        _ = try await admin(request)
        let limit = query.limit ?? .standard, now = request.now
        let after = try query.cursor?.newestFirst()
        let found = try await database.platform(PlatformWork("organizations for a platform admin")) { tx in
            try tx.query(
                PlatformOrganizationStore.page(
                    text: query.q?.rawValue, status: query.status, plan: query.plan, after: after, limit: limit.value + 1))
        }
        return Page(found.map { PlatformOrganizationView($0.organization, people: $0.people, at: now) }, limit: limit) {
            Cursor(time: $0.createdAt, id: $0.id.uuid)
        }
    }

    func read(_ request: CallerRequest) async throws -> PlatformOrganizationView {
        _ = try await admin(request)
        return try await view(try request.path("id"), request)
    }

    private func view(_ id: TenantID, _ request: CallerRequest) async throws -> PlatformOrganizationView {
        let found = try await database.platform(PlatformWork("organizations for a platform admin")) { tx in
            try tx.first(PlatformOrganizationStore.find(id))
        }
        guard let found else { throw ResourceFailure.notFound }
        return PlatformOrganizationView(found.organization, people: found.people, at: request.now)
    }

    /// Another plan brings its limits and features, where the same request does not say others.
    func patch(_ request: CallerRequest, _ body: TermsPatch) async throws -> PlatformOrganizationView {
        try await change(request, "platform.organization.update", risk: "medium") { organization, now in
            organization.change(try body.applied(to: organization.terms), at: now)
        }
    }

    /// Nobody signs in to it, and everybody's sessions end.
    func suspend(_ request: CallerRequest, _ body: Suspension) async throws -> PlatformOrganizationView {
        try Self.requireRecentProof(request)
        let view = try await change(
            request, "platform.organization.suspend", risk: "high", saying: ["reason": .string(body.reason.rawValue)]
        ) { organization, now in [try organization.suspend(because: body.reason.rawValue, at: now)] }
        await access.end(.organizationSuspended, nil, in: view.id)
        return view
    }

    func reactivate(_ request: CallerRequest) async throws -> PlatformOrganizationView {
        try Self.requireRecentProof(request)
        return try await change(request, "platform.organization.reactivate", risk: "high") { organization, now in
            [try organization.reactivate(at: now)]
        }
    }

    func restore(_ request: CallerRequest) async throws -> PlatformOrganizationView {
        try Self.requireRecentProof(request)
        return try await change(request, "platform.organization.restore", risk: "high") { organization, now in
            [try organization.restore(at: now)]
        }
    }

    private func change(
        _ request: CallerRequest, _ action: String, risk: String, saying: [String: JSONValue] = [:],
        _ body: @escaping @Sendable (inout Organization, Date) throws -> [any Event]
    ) async throws -> PlatformOrganizationView {
        let user = try await admin(request)
        let id = try request.path("id", as: TenantID.self)
        guard id != .platform else { throw ResourceFailure.notFound }
        // In the organization by the admin's name: the audit trail that sees it is theirs.
        let differences = try await database.transaction(as: Caller(.person(user), tenant: id)) { tx in
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            try request.requireMatch(EntityTag(version: organization.version))
            let before = organization
            let events = try body(&organization, tx.now)
            let (was, changed) = before.differences(organization)
            guard !events.isEmpty else { return (was, changed) }
            try organizations.save(organization)
            try Outbox(tx).append(events)
            try Audit(tx, request.http).record(
                action, "organization", id.description, risk: risk, was: was, changed: changed.merging(saying) { $1 })
            return (was, changed.merging(saying) { $1 })
        }
        if !differences.1.isEmpty {
            try await database.transaction(as: Caller(.person(user), tenant: .platform)) { tx in
                try Audit(tx, request.http).record(
                    action, "organization", id.description, risk: risk, was: differences.0, changed: differences.1)
            }
        }
        return try await view(id, request)
    }

    func plans(_ request: CallerRequest) async throws -> Page<PlanView> {
        Page(Plan.allCases.map { PlanView($0) }, next: nil)
    }

    // MARK: - Admins

    func admins(_ request: CallerRequest) async throws -> Page<PlatformAdminView> {
        _ = try await admin(request)
        let all = try await database.query(PlatformAdminStore.all(limit: Self.adminLimit), as: PlatformAdminStore.caller)
        return Page(all.map { PlatformAdminView($0) }, next: nil)
    }

    /// Somebody who is a member somewhere. They are one from their next token on.
    func grant(_ request: CallerRequest, _ body: NewAdmin) async throws -> Created<PlatformAdminView> {
        try Self.requireRecentProof(request)
        let user = try await admin(request)
        let known = try await database.platform(PlatformWork("organizations for a platform admin")) { tx in
            try tx.first(PlatformOrganizationStore.email(of: body.userId))
        }
        guard let email = known else { throw ResourceFailure.notFound }
        return try await database.transaction(as: Caller(.person(user), tenant: .platform)) { tx in
            let store = PlatformAdminStore(tx: tx)
            let all = try store.lockAll()
            if let one = all.first(where: { $0.user == body.userId }) {
                return Created(PlatformAdminView(one), at: Self.location(one.user))
            }
            guard all.count < Self.adminLimit else { throw PlatformFailure.tooManyAdmins }
            let new = PlatformAdminStore.Admin(user: body.userId, email: email, grantedBy: user, createdAt: tx.now)
            guard try store.insert(new) else { throw ResourceFailure.notFound }
            try Audit(tx, request.http).record("platform.admin.grant", "user", body.userId.description, risk: "high")
            return Created(PlatformAdminView(new), at: Self.location(new.user))
        }
    }

    /// Their tokens die at once: a refresh gives one that does not say it any more. There is always one.
    func revoke(_ request: CallerRequest) async throws -> NoContent {
        try Self.requireRecentProof(request)
        let user = try await admin(request), id = try request.path("userID", as: UserID.self)
        try await database.transaction(as: Caller(.person(user), tenant: .platform)) { tx in
            let store = PlatformAdminStore(tx: tx)
            let all = try store.lockAll()
            guard all.contains(where: { $0.user == id }) else { throw ResourceFailure.notFound }
            guard all.count > 1 else { throw PlatformFailure.lastAdmin }
            _ = try store.remove(id)
            try Audit(tx, request.http).record("platform.admin.revoke", "user", id.description, risk: "high")
        }
        await access.endTokens(of: id)
        return NoContent()
    }

    private static func location(_ user: UserID) -> String { "/api/v1/platform/admins/\(user)" }

    // MARK: - Who asks

    /// An admin now, whatever the token says.
    private func admin(_ request: CallerRequest) async throws -> UserID {
        let user = try request.person()
        guard try await database.first(PlatformAdminStore.isOne(user), as: PlatformAdminStore.caller) ?? false else {
            throw AccessFailure.superadminOnly
        }
        return user
    }

    /// The same rule as `.recently`: a token that lies about is not enough.
    private static func requireRecentProof(_ request: CallerRequest) throws(AccessFailure) {
        guard let proven = request.caller.authenticatedAt,
            request.now.timeIntervalSince(proven) <= TimeInterval(Access.recentSeconds)
        else { throw .authenticationTooOld(maxAge: Access.recentSeconds) }
    }
}

/// A merge patch of what an organization has bought.
struct TermsPatch: Decodable, Sendable {
    let plan: Change<Plan>
    let maxUsers: Change<SeatCount>
    let storageLimitGb: Change<StorageSize>
    let ssoEnabled: Change<Bool>
    let customBranding: Change<Bool>
    let apiAccess: Change<Bool>
    let subscriptionStatus: Change<SubscriptionStatus>
    let trialEndsAt: Change<Date>

    func applied(to terms: Organization.Terms) throws(ValidationFailure) -> Organization.Terms {
        var terms = terms
        let plan = try OrganizationPatch.required("/plan", plan, terms.plan)
        if plan != terms.plan {
            terms.plan = plan
            terms.limits = plan.limits
            terms.granted = plan.features
        }
        // Null goes back to what the plan has.
        terms.limits.seats = maxUsers.applied(to: SeatCount(terms.limits.seats))?.value ?? plan.limits.seats
        terms.limits.storageGB = storageLimitGb.applied(to: StorageSize(terms.limits.storageGB))?.value ?? plan.limits.storageGB
        for (feature, change) in [(Feature.sso, ssoEnabled), (.customBranding, customBranding), (.apiAccess, apiAccess)] {
            let has = change.applied(to: terms.granted.contains(feature)) ?? plan.features.contains(feature)
            if has { terms.granted.insert(feature) } else { terms.granted.remove(feature) }
        }
        terms.subscription = subscriptionStatus.applied(to: terms.subscription) ?? .none
        terms.trialEndsAt = trialEndsAt.applied(to: terms.trialEndsAt)
        return terms
    }
}

struct SeatCount: Sendable, Codable, Described {
    let value: Int
    init(_ value: Int) { self.value = value }
    static var schema: Schema { .integer(minimum: Limits.seats.lowerBound, maximum: Limits.seats.upperBound) }
    static var placeholder: SeatCount { SeatCount(Limits.seats.lowerBound) }
    init(from decoder: any Decoder) throws { value = try decoder.bounded(Limits.seats) }
    func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}

struct StorageSize: Sendable, Codable, Described {
    let value: Int
    init(_ value: Int) { self.value = value }
    static var schema: Schema { .integer(minimum: Limits.storageGB.lowerBound, maximum: Limits.storageGB.upperBound) }
    static var placeholder: StorageSize { StorageSize(Limits.storageGB.lowerBound) }
    init(from decoder: any Decoder) throws { value = try decoder.bounded(Limits.storageGB) }
    func encode(to encoder: any Encoder) throws { try value.encode(to: encoder) }
}

enum PlatformFailure: String, Failure {
    case lastAdmin = "last-platform-admin"
    case tooManyAdmins = "too-many-platform-admins"

    var kind: FailureKind { .conflict }

    var detail: String? {
        switch self {
        case .lastAdmin: "The platform always has an admin: make somebody else one first."
        case .tooManyAdmins: "There are at most \(PlatformRoutes.adminLimit) platform admins."
        }
    }
}
