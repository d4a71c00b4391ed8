package import Foundation

/// An organization was suspended: nobody can sign in to it.
package struct OrganizationSuspended: Event {
    package static let topic = Topic.users
    package static let name = "organization.suspended"
    package static let summary = "An organization was suspended: nobody can sign in to it."

    package let organizationID: TenantID
    package let reason: String?

    package var aggregateID: String { organizationID.description }

    package init(organizationID: TenantID, reason: String?) {
        self.organizationID = organizationID
        self.reason = reason
    }

    package static let example = OrganizationSuspended(organizationID: TenantID(.example(2)), reason: "unpaid")
}

/// A suspended or deleted organization can be used again.
package struct OrganizationReactivated: Event {
    package static let topic = Topic.users
    package static let name = "organization.reactivated"
    package static let summary = "A suspended or deleted organization can be used again."

    package let organizationID: TenantID

    package var aggregateID: String { organizationID.description }

    package init(organizationID: TenantID) {
        self.organizationID = organizationID
    }

    package static let example = OrganizationReactivated(organizationID: TenantID(.example(2)))
}

/// An organization was deleted: its data is removed for good after the time that is left for second thoughts.
package struct OrganizationDeleted: Event {
    package static let topic = Topic.users
    package static let name = "organization.deleted"
    package static let summary =
        "An organization was deleted: its data is removed for good after the time that is left for second thoughts."

    package let organizationID: TenantID
    package let erasedAfter: Date

    package var aggregateID: String { organizationID.description }

    package init(organizationID: TenantID, erasedAfter: Date) {
        self.organizationID = organizationID
        self.erasedAfter = erasedAfter
    }

    package static let example = OrganizationDeleted(organizationID: TenantID(.example(2)), erasedAfter: .example)
}

/// Somebody was invited to join the organization.
package struct InvitationSent: Event {
    package static let topic = Topic.users
    package static let name = "invitation.sent"
    package static let summary = "Somebody was invited to join the organization."

    package let invitationID: InvitationID
    package let email: String
    package let role: String
    package let expiresAt: Date

    package var aggregateID: String { invitationID.description }

    package init(invitationID: InvitationID, email: String, role: String, expiresAt: Date) {
        self.invitationID = invitationID
        self.email = email
        self.role = role
        self.expiresAt = expiresAt
    }

    package static let example = InvitationSent(
        invitationID: InvitationID(.example(6)),
        email: "grace@example.org",
        role: "editor",
        expiresAt: .example)
}

/// An organization has another plan.
package struct PlanChanged: Event {
    package static let topic = Topic.users
    package static let name = "plan.changed"
    package static let summary = "An organization has another plan."

    package let organizationID: TenantID
    package let plan: String
    package let previous: String

    package var aggregateID: String { organizationID.description }

    package init(organizationID: TenantID, plan: String, previous: String) {
        self.organizationID = organizationID
        self.plan = plan
        self.previous = previous
    }

    package static let example = PlanChanged(organizationID: TenantID(.example(2)), plan: "pro", previous: "starter")
}
