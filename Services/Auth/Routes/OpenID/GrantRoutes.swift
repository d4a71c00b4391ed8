import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// What the caller has allowed which clients, in this organization.
struct GrantRoutes {
    let database: Database
    let tokens: ClientTokens

    var endpoints: Endpoints {
        Endpoints("auth/grants") {
            Endpoint.get("", "What you have allowed which OAuth clients", may: .signedIn, list)
            Endpoint.delete(":id", "Withdraw what you allowed an OAuth client; its tokens for you end everywhere", may: .signedIn, withdraw)
        }
    }

    func list(_ request: CallerRequest) async throws -> Page<GrantView> {
        let grants = try await database.query(GrantStore.list(of: try request.user()), as: request.caller)
        return Page(grants.map(GrantView.init), next: nil)
    }

    /// In person: whoever acts as somebody else does not decide for them.
    func withdraw(_ request: CallerRequest) async throws -> NoContent {
        let id = try request.path("id", as: GrantID.self), caller = request.caller
        let user = try PersonalRequest.person(caller, request.http).account
        let client = try await database.transaction(as: caller) { tx in
            guard let client = try GrantStore(tx: tx).remove(id, of: user) else { throw ResourceFailure.notFound }
            try AuthorizationStore(tx: tx).spoilCodes(of: client, user)
            try Audit(tx, request.http).record("auth.grant.withdraw", "oauth-client", client.description)
            return client
        }
        let live = try await database.query(AuthorizationStore.live(of: client, account: user, at: request.now), as: caller)
        try await tokens.end(live, in: caller.tenant, .grantWithdrawn, request.http)
        return NoContent()
    }
}

/// One client, and what it may do for the person.
struct GrantView: View {
    struct Client: Codable, Sendable {
        let id: ClientID
        let name: String
    }

    let id: GrantID
    let client: Client
    let scopes: [String]
    let createdAt: Date
    let lastUsedAt: Date

    init(_ grant: Grant) {
        id = grant.id
        client = Client(id: grant.client, name: grant.clientName)
        scopes = grant.scopes.texts
        createdAt = grant.createdAt
        lastUsedAt = grant.lastUsedAt
    }
}
