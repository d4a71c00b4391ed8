import Foundation

/// A person joined the platform.
package struct UserCreated: Event {
    package static let topic = Topic.users
    package static let name = "user.created"
    package static let summary = "A person joined the platform."

    package let userID: UserID
    package let email: String
    package let firstName: String?
    package let lastName: String?
    package let role: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, email: String, firstName: String?, lastName: String?, role: String) {
        self.userID = userID
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.role = role
    }

    package static let example = UserCreated(
        userID: UserID(.example(1)), email: "ada@example.org",
        firstName: "Ada", lastName: "Lovelace",
        role: "editor")
}

/// A profile changed.
package struct UserUpdated: Event {
    package static let topic = Topic.users
    package static let name = "user.updated"
    package static let summary = "A profile changed."

    package let userID: UserID
    package let email: String
    package let firstName: String?
    package let lastName: String?
    package let role: String
    package let status: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, email: String, firstName: String?, lastName: String?, role: String, status: String) {
        self.userID = userID
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.role = role
        self.status = status
    }

    package static let example = UserUpdated(
        userID: UserID(.example(1)), email: "ada@example.org",
        firstName: "Ada", lastName: "Lovelace",
        role: "editor", status: "active")
}

/// A person left the organization for good.
package struct UserDeleted: Event {
    package static let topic = Topic.users
    package static let name = "user.deleted"
    package static let summary = "A person left the organization for good."

    package let userID: UserID

    package var aggregateID: String { userID.description }

    package init(userID: UserID) {
        self.userID = userID
    }

    package static let example = UserDeleted(
        userID: UserID(.example(1)))
}

/// An organization came to be.
package struct OrganizationCreated: Event {
    package static let topic = Topic.users
    package static let name = "organization.created"
    package static let summary = "An organization came to be."

    package let organizationID: TenantID
    package let name: String
    package let slug: String
    package let plan: String
    package let createdBy: UserID

    package var aggregateID: String { organizationID.description }

    package init(organizationID: TenantID, name: String, slug: String, plan: String, createdBy: UserID) {
        self.organizationID = organizationID
        self.name = name
        self.slug = slug
        self.plan = plan
        self.createdBy = createdBy
    }

    package static let example = OrganizationCreated(
        organizationID: TenantID(.example(2)), name: "Analytical Engines",
        slug: "analytical-engines", plan: "starter",
        createdBy: UserID(.example(1)))
}

/// An organization changed its name, plan or settings.
package struct OrganizationUpdated: Event {
    package static let topic = Topic.users
    package static let name = "organization.updated"
    package static let summary = "An organization changed its name, plan or settings."

    package let organizationID: TenantID
    package let name: String
    package let slug: String
    package let plan: String
    package let status: String

    package var aggregateID: String { organizationID.description }

    package init(organizationID: TenantID, name: String, slug: String, plan: String, status: String) {
        self.organizationID = organizationID
        self.name = name
        self.slug = slug
        self.plan = plan
        self.status = status
    }

    package static let example = OrganizationUpdated(
        organizationID: TenantID(.example(2)), name: "Analytical Engines",
        slug: "analytical-engines", plan: "starter",
        status: "active")
}

/// A person became a member of the organization.
package struct MemberAdded: Event {
    package static let topic = Topic.users
    package static let name = "member.added"
    package static let summary = "A person became a member of the organization."

    package let userID: UserID
    package let email: String
    package let role: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, email: String, role: String) {
        self.userID = userID
        self.email = email
        self.role = role
    }

    package static let example = MemberAdded(
        userID: UserID(.example(1)),
        email: "ada@example.org",
        role: "editor")
}

/// The role of a member changed.
package struct MemberRoleChanged: Event {
    package static let topic = Topic.users
    package static let name = "member.role-changed"
    package static let summary = "The role of a member changed."

    package let userID: UserID
    package let role: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, role: String) {
        self.userID = userID
        self.role = role
    }

    package static let example = MemberRoleChanged(
        userID: UserID(.example(1)),
        role: "editor")
}

/// A person is no longer a member of the organization.
package struct MemberRemoved: Event {
    package static let topic = Topic.users
    package static let name = "member.removed"
    package static let summary = "A person is no longer a member of the organization."

    package let userID: UserID

    package var aggregateID: String { userID.description }

    package init(userID: UserID) {
        self.userID = userID
    }

    package static let example = MemberRemoved(
        userID: UserID(.example(1)))
}
