/// What auth asks of users when somebody registers: `PUT /internal/v1/registrations/{userID}`.
///
/// The call may be repeated: the same user id answers with the same claims and changes nothing.
package struct RegistrationRequest: Codable, Sendable, Equatable {
    package let email: EmailAddress
    package let firstName: Name?
    package let lastName: Name?
    /// Nil: an organization of one's own is made, unless an invitation names one.
    package let organizationID: TenantID
    package let organizationName: Name
    package let organizationSlug: Slug?
    package let gdprConsent: Bool
    package let marketingConsent: Bool
    /// Joins the organization that invited instead of making one; users decides whether it is good.
    package let invitationToken: String?

    package init(
        email: EmailAddress, firstName: Name?, lastName: Name?, organizationID: TenantID, organizationName: Name,
        organizationSlug: Slug?, gdprConsent: Bool, marketingConsent: Bool, invitationToken: String? = nil
    ) {
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.organizationID = organizationID
        self.organizationName = organizationName
        self.organizationSlug = organizationSlug
        self.gdprConsent = gdprConsent
        self.marketingConsent = marketingConsent
        self.invitationToken = invitationToken
    }
}

/// What a token says of a person in one organization: `GET /internal/v1/people/{userID}/claims?organization=`.
package struct PersonClaims: Codable, Sendable, Equatable {
    package struct Organization: Codable, Sendable, Equatable {
        package let id: TenantID
        package let name: String
        package let slug: String
        package let plan: String
        package let status: String

        package init(id: TenantID, name: String, slug: String, plan: String, status: String) {
            self.id = id
            self.name = name
            self.slug = slug
            self.plan = plan
            self.status = status
        }
    }

    package let userID: UserID
    package let email: String
    package let firstName: String?
    package let lastName: String?
    package let organization: Organization
    package let roles: [String]
    package let permissions: [Permission]
    /// The organization lets nobody in without a second factor.
    package let requiresSecondFactor: Bool

    package init(
        userID: UserID, email: String, firstName: String?, lastName: String?, organization: Organization, roles: [String],
        permissions: [Permission], requiresSecondFactor: Bool = false
    ) {
        self.userID = userID
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.organization = organization
        self.roles = roles
        self.permissions = permissions
        self.requiresSecondFactor = requiresSecondFactor
    }
}

/// What the organizations of a person demand of them, all together: `GET /internal/v1/people/{userID}/demands`.
package struct PersonDemands: Codable, Sendable, Equatable {
    /// One of them lets nobody in without a second factor.
    package let secondFactor: Bool

    package init(secondFactor: Bool) { self.secondFactor = secondFactor }
}

/// The organization of a slug: `GET /internal/v1/organizations/by-slug/{slug}`.
package struct OrganizationReference: Codable, Sendable, Equatable {
    package let id: TenantID
    package let slug: String
    /// `active`, `suspended` or `deleted`.
    package let status: String

    package init(id: TenantID, slug: String, status: String) {
        self.id = id
        self.slug = slug
        self.status = status
    }
}

/// The organization that has verified a domain: `GET /internal/v1/organizations/by-domain/{domain}`, 404 when none has.
package struct DomainOwner: Codable, Sendable, Equatable {
    package let organization: TenantID
    package let slug: String

    package init(organization: TenantID, slug: String) {
        self.organization = organization
        self.slug = slug
    }
}

/// What auth asks of users when somebody joins by signing in with others:
/// `PUT /internal/v1/organizations/{id}/members/{userID}`, answered with `PersonClaims`. May be repeated.
package struct MembershipRequest: Codable, Sendable, Equatable {
    package let email: EmailAddress
    package let firstName: Name?
    package let lastName: Name?
    /// The role for whoever is new; who is a member already keeps theirs.
    package let role: String

    package init(email: EmailAddress, firstName: Name?, lastName: Name?, role: String) {
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.role = role
    }
}
