import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Who the signed-in person is elsewhere.
struct SSOIdentityRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("auth/identities") {
            Endpoint.get("", "List the identities that sign in to one's account", may: .signedIn, list)
            Endpoint.delete(":id", "Unlink an identity", may: .recently(nil), unlink)
        }
    }

    func list(_ request: CallerRequest) async throws -> Page<SSOIdentityView> {
        let found = try await database.query(SSOIdentityStore.list(of: try request.user()), as: AccountStore.caller(try request.user()))
        return Page(found.map { SSOIdentityView($0) }, next: nil)
    }

    /// Refused for the last way in. A passkey does not count: it may be lost with its device.
    func unlink(_ request: CallerRequest) async throws -> NoContent {
        let id = try request.path("id", as: SSOIdentityID.self), user = try PersonalRequest.holder(request.caller, request.http).account
        try await database.transaction(as: AccountStore.caller(user)) { tx in
            let identities = SSOIdentityStore(tx: tx)
            guard let hasPassword = try identities.lockPassword(of: user), let identity = try identities.lock(id, of: user) else {
                throw SSOFailure.identityNotFound
            }
            if !hasPassword, try tx.query(SSOIdentityStore.list(of: user)).count < 2 { throw SSOFailure.lastWayIn }
            try identities.delete(identity.id)
            try Audit(tx, request.http).record(
                "auth.identity.unlink", "account", user.description, risk: "medium",
                was: ["issuer": .string(identity.issuer), "email": identity.email.map { .string($0) } ?? .null])
        }
        return NoContent()
    }
}
