import Contracts
import Foundation
import ServiceKit

struct OrganizationView: View {
    let id: TenantID
    let name: String
    let slug: String
    /// Verified to be the organization's.
    let domain: String?
    let status: Organization.Status
    let plan: Plan
    let level: Int
    let maxUsers: Int
    let storageLimitGb: Int
    let subscriptionStatus: SubscriptionStatus
    let trialEndsAt: Date?
    /// What the plan, or the trial, allows now.
    let ssoEnabled: Bool
    let customBranding: Bool
    let apiAccess: Bool
    let dataResidency: DataResidency
    let settings: OrganizationSettings
    let createdAt: Date
    let updatedAt: Date
    let version: Int
    /// The caller's role in it, in the list of their organizations.
    let role: String?

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ organization: Organization, at now: Date, role: RoleName? = nil) {
        let features = organization.features(at: now)
        id = organization.id
        name = organization.name.rawValue
        slug = organization.slug.rawValue
        domain = organization.domain
        status = organization.status
        plan = organization.plan
        level = organization.plan.level
        maxUsers = organization.limits.seats
        storageLimitGb = organization.limits.storageGB
        subscriptionStatus = organization.subscription
        trialEndsAt = organization.trialEndsAt
        ssoEnabled = features.contains(.sso)
        customBranding = features.contains(.customBranding)
        apiAccess = features.contains(.apiAccess)
        dataResidency = organization.dataResidency
        settings = organization.settings
        createdAt = organization.createdAt
        updatedAt = organization.updatedAt
        version = organization.version
        self.role = role?.rawValue
    }
}

struct BrandingView: View {
    let displayName: String?
    let logoUrl: String?
    let faviconUrl: String?
    let primaryColor: String?
    let accentColor: String?
    let supportEmail: String?

    init(_ branding: Branding) {
        displayName = branding.displayName?.rawValue
        logoUrl = branding.logoURL?.rawValue
        faviconUrl = branding.faviconURL?.rawValue
        primaryColor = branding.primaryColor?.rawValue
        accentColor = branding.accentColor?.rawValue
        supportEmail = branding.supportEmail?.rawValue
    }

    init(_ organization: Organization) { self.init(organization.branding) }
}

/// How much of its plan an organization uses.
struct UsageView: View {
    struct Seats: Codable, Sendable {
        let limit: Int
        /// Members and those invited; who is suspended takes none.
        let used: Int
        let active: Int
        let invited: Int
        let suspended: Int
    }

    struct Storage: Codable, Sendable {
        let limitBytes: Int
        let usedBytes: Int
        let files: Int
    }

    let plan: Plan
    let seats: Seats
    let storage: Storage

    static let bytesPerGB = 1_000_000_000

    init(_ organization: Organization, _ seats: UsageStore.Seats?, _ storage: UsageStore.Storage?) {
        let active = seats?.active ?? 0, invited = seats?.invited ?? 0
        plan = organization.plan
        self.seats = Seats(
            limit: organization.limits.seats, used: active + invited, active: active, invited: invited, suspended: seats?.suspended ?? 0)
        self.storage = Storage(
            limitBytes: organization.limits.storageGB * Self.bytesPerGB, usedBytes: max(0, storage?.bytes ?? 0),
            files: max(0, storage?.files ?? 0))
    }
}

struct DomainView: View {
    enum Status: String, Codable, Sendable, CaseIterable { case pending, verified }

    /// What to publish.
    struct Record: Codable, Sendable {
        let type: String
        let name: String
        let value: String
    }

    let domain: String
    let status: Status
    let record: Record
    let verifiedAt: Date?
    let checkedAt: Date?

    init(_ claim: DomainClaim) {
        domain = claim.domain.rawValue
        status = claim.verifiedAt == nil ? .pending : .verified
        record = Record(type: "TXT", name: claim.recordName, value: claim.recordValue)
        verifiedAt = claim.verifiedAt
        checkedAt = claim.checkedAt
    }
}

/// An invitation as the organization sees it. The token is in the letter alone.
struct InvitationView: View {
    let id: InvitationID
    let email: String
    let role: String
    let message: String?
    let status: Invitation.State
    let invitedBy: UserID?
    let createdAt: Date
    let expiresAt: Date
    let sentAt: Date
    let sends: Int
    let settledAt: Date?

    init(_ invitation: Invitation, at now: Date) {
        id = invitation.id
        email = invitation.email.rawValue
        role = invitation.role.rawValue
        message = invitation.message?.rawValue
        status = invitation.state(at: now)
        invitedBy = invitation.invitedBy
        createdAt = invitation.createdAt
        expiresAt = invitation.expiresAt
        sentAt = invitation.sentAt
        sends = invitation.sends
        settledAt = invitation.settledAt
    }
}

/// An invitation as the one who holds its letter sees it.
struct InvitationPreview: View {
    struct Inviting: Codable, Sendable {
        let name: String
        let slug: String
        let logoUrl: String?
        let primaryColor: String?
    }

    let organization: Inviting
    let email: String
    let role: String
    let inviter: String?
    let message: String?
    let expiresAt: Date

    init(_ invitation: Invitation, _ organization: Organization, role: RoleName?, inviter: Person?) {
        self.organization = Inviting(
            name: organization.branding.displayName?.rawValue ?? organization.name.rawValue, slug: organization.slug.rawValue,
            logoUrl: organization.branding.logoURL?.rawValue, primaryColor: organization.branding.primaryColor?.rawValue)
        email = invitation.email.rawValue
        self.role = (role ?? invitation.role).rawValue
        self.inviter = inviter?.displayName
        message = invitation.message?.rawValue
        expiresAt = invitation.expiresAt
    }
}

/// What somebody has joined: tokens for it come from `POST /api/v1/auth/organizations/{id}/switch`.
struct JoinedView: View {
    struct Joined: Codable, Sendable {
        let id: TenantID
        let name: String
        let slug: String
    }

    let organization: Joined
    let role: String

    init(_ membership: Membership) {
        organization = Joined(
            id: membership.organization.id, name: membership.organization.name.rawValue, slug: membership.organization.slug.rawValue)
        role = membership.person.role.rawValue
    }
}

/// A role that ships, or one of the organization's own.
struct RoleView: View {
    /// The name, for those that ship.
    let id: String
    let name: String
    let description: String
    let permissions: [Permission]
    let builtIn: Bool
    let createdAt: Date?
    let updatedAt: Date?
    let version: Int?

    var entityTag: EntityTag? { version.map { EntityTag(version: $0) } }

    init(_ role: BuiltInRole) {
        id = role.rawValue
        name = role.rawValue
        description = ""
        permissions = role.permissions
        builtIn = true
        createdAt = nil
        updatedAt = nil
        version = nil
    }

    init(_ role: CustomRole) {
        id = role.id.description
        name = role.name.rawValue
        description = role.description.rawValue
        permissions = role.permissions
        builtIn = false
        createdAt = role.createdAt
        updatedAt = role.updatedAt
        version = role.version
    }
}

struct PermissionView: View {
    let permission: Permission
    let summary: String

    init(_ entry: PermissionCatalog.Entry) {
        permission = entry.permission
        summary = entry.summary
    }
}

struct PlanView: View {
    let plan: Plan
    let level: Int
    let maxUsers: Int
    let storageLimitGb: Int
    let features: [Feature]

    init(_ plan: Plan) {
        self.plan = plan
        level = plan.level
        maxUsers = plan.limits.seats
        storageLimitGb = plan.limits.storageGB
        features = Feature.allCases.filter(plan.features.contains)
    }
}

/// An organization as a platform admin sees it: what it has bought and how it stands, not what it holds.
struct PlatformOrganizationView: View {
    let id: TenantID
    let name: String
    let slug: String
    let domain: String?
    let status: Organization.Status
    let plan: Plan
    let level: Int
    let people: Int
    let maxUsers: Int
    let storageLimitGb: Int
    let subscriptionStatus: SubscriptionStatus
    let trialEndsAt: Date?
    /// As granted, without what a trial adds.
    let ssoEnabled: Bool
    let customBranding: Bool
    let apiAccess: Bool
    let dataResidency: DataResidency
    let suspendedReason: String?
    let erasedAfter: Date?
    let createdAt: Date
    let updatedAt: Date
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ organization: Organization, people: Int, at now: Date) {
        id = organization.id
        name = organization.name.rawValue
        slug = organization.slug.rawValue
        domain = organization.domain
        status = organization.status
        plan = organization.plan
        level = organization.plan.level
        self.people = people
        maxUsers = organization.limits.seats
        storageLimitGb = organization.limits.storageGB
        subscriptionStatus = organization.subscription
        trialEndsAt = organization.trialEndsAt
        ssoEnabled = organization.granted.contains(.sso)
        customBranding = organization.granted.contains(.customBranding)
        apiAccess = organization.granted.contains(.apiAccess)
        dataResidency = organization.dataResidency
        suspendedReason = organization.suspendedReason
        erasedAfter = organization.erasedAfter
        createdAt = organization.createdAt
        updatedAt = organization.updatedAt
        version = organization.version
    }
}

struct PlatformAdminView: View {
    let userId: UserID
    let email: String
    let grantedBy: UserID?
    let createdAt: Date

    init(_ admin: PlatformAdminStore.Admin) {
        userId = admin.user
        email = admin.email.rawValue
        grantedBy = admin.grantedBy
        createdAt = admin.createdAt
    }
}
