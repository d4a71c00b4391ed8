/// What users asks of auth before it invites somebody: `PUT /internal/v1/accounts`.
///
/// The account of the address, or an id kept for whoever registers with it: the same person has one id everywhere, before and after.
package struct AccountReservationRequest: Codable, Sendable, Equatable {
    package let email: EmailAddress
    package init(email: EmailAddress) { self.email = email }
}

package struct AccountReservation: Codable, Sendable, Equatable {
    package enum Status: String, Codable, Sendable, CaseIterable {
        /// Nobody has registered with the address.
        case reserved
        /// A registration is under way.
        case pending
        case active
    }

    package let id: UserID
    package let status: Status

    package init(id: UserID, status: Status) {
        self.id = id
        self.status = status
    }
}

/// What users asks of auth when rights end: `POST /internal/v1/sessions/end`, answered 204 when every token is dead or about to be.
package struct SessionEnding: Codable, Sendable, Equatable {
    package enum Reason: String, Codable, Sendable, CaseIterable {
        case memberRemoved = "member-removed"
        case memberSuspended = "member-suspended"
        /// Sessions go on, but tokens that say the old rights are dead: a refresh gives one that says the new.
        case rightsChanged = "rights-changed"
        case organizationSuspended = "organization-suspended"
        case organizationDeleted = "organization-deleted"
    }

    package let tenant: TenantID
    /// Nil: everybody in the organization.
    package let user: UserID?
    package let reason: Reason

    package init(tenant: TenantID, user: UserID?, reason: Reason) {
        self.tenant = tenant
        self.user = user
        self.reason = reason
    }
}

/// An API key against a short-lived access token: `POST /internal/v1/api-keys/exchange`. 401 `bad-api-key` when it is worth nothing.
package struct APIKeyExchangeRequest: Codable, Sendable {
    package let key: String
    package init(key: String) { self.key = key }
}
