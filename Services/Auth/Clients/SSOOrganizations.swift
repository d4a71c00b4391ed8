import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// What signing in with others asks of users: whose a domain is, and to let somebody in.
struct SSOOrganizations: Sendable {
    let neighbours: Neighbours

    /// The organization that has verified the domain; nil when none has.
    func owner(of domain: DomainName) async throws -> TenantID? {
        do {
            let path = "/internal/v1/organizations/by-domain/\(SSOQuery.encode(domain.rawValue))"
            return try await neighbours.call(.get, .users, path, as: DomainOwner.self).organization
        } catch let refusal as RemoteFailure where refusal.kind == .notFound {
            return nil
        }
    }

    func owns(_ domain: DomainName, _ organization: TenantID) async throws -> Bool { try await owner(of: domain) == organization }

    /// Makes somebody a member, or changes nothing when they are one. May be repeated. A refusal (no seat is left, the role is gone, the
    /// organization is suspended) is passed on as users put it.
    func join(_ account: UserID, _ organization: TenantID, _ request: MembershipRequest) async throws -> PersonClaims {
        try await neighbours.call(
            .put, .users, "/internal/v1/organizations/\(organization)/members/\(account)", body: request, as: PersonClaims.self)
    }
}
