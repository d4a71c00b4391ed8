import Contracts
import Foundation
import Postgres
import ServiceKit

/// Which way in people of an e-mail domain have. Everything here depends on the domain alone, never on whether somebody has an account.
struct SSORouting: Sendable {
    let database: Database
    let organizations: SSOOrganizations

    struct Route: Sendable {
        let tenant: TenantID
        let connection: SSOConnection
    }

    /// The connection of the organization that owns the domain; nil when none does, or it has none for it. Anybody can write a domain
    /// into a connection of theirs: only the owner's counts.
    func route(for domain: DomainName) async throws -> Route? {
        let spoken = try await database.platform(PlatformWork("connections of a domain")) { tx in
            try PlatformSSOStore(tx: tx).isSpokenFor(domain)
        }
        guard spoken, let owner = try await organizations.owner(of: domain) else { return nil }
        let serving = try await database.first(SSOConnectionStore.serving(domain), as: .anonymous(in: owner))
        return serving.map { Route(tenant: owner, connection: $0) }
    }

    /// For every way in that is our own, with a password or a passkey, and for making one: throws `SSOFailure.required` when the
    /// organization that owns the domain lets people in by its issuer alone.
    func refuseOwnWays(for email: EmailAddress) async throws {
        if let route = try await route(for: email.domain), route.connection.settings.enforced { throw SSOFailure.required }
    }
}
