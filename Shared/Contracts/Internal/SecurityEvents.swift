/// Something that somebody tried and that the organization should hear of: `POST /internal/v1/security-events` at users, which writes
/// it into the organization's audit trail.
package struct SecurityEventReport: Codable, Sendable, Equatable {
    /// A caller named an organization, or an object of one, that is not theirs.
    package static let crossTenantAttempt = "security.cross-tenant-attempt"

    /// The organization of whoever tried.
    package let tenant: TenantID
    /// `Caller.principalText`.
    package let actor: String
    package let action: String
    package let resourceType: String
    package let resourceID: String?
    package let address: String?
    package let userAgent: String?
    package let requestID: String?
    package let details: [String: JSONValue]

    package init(
        tenant: TenantID, actor: String, action: String, resourceType: String, resourceID: String?, address: String?, userAgent: String?,
        requestID: String?, details: [String: JSONValue]
    ) {
        self.tenant = tenant
        self.actor = actor
        self.action = action
        self.resourceType = resourceType
        self.resourceID = resourceID
        self.address = address
        self.userAgent = userAgent
        self.requestID = requestID
        self.details = details
    }
}
