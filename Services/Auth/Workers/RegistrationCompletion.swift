import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The steps of a registration after its address was kept. Each may be done again, by the request or by the worker.
struct RegistrationCompletion: Sendable {
    let database: Database
    let people: PeopleClient
    let proofs: EmailProofs

    /// Has users make the person and the organization, or join the one that invited. When users refuses for good, the address is set
    /// free again; when it does not answer, the account stays pending.
    func askUsers(_ account: Account) async throws -> PersonClaims {
        guard let registration = account.registration else { throw AccountFailure.registrationPending }
        do {
            return try await people.register(account.id, try proofs.unsealed(registration))
        } catch let refusal as any Failure {
            switch refusal.kind {
            case .unavailable, .limited: break
            default:
                try await database.transaction(as: AccountStore.caller) { tx in
                    try AccountStore(tx: tx).removePending(account.id, registration)
                }
            }
            throw refusal
        }
    }

    /// The account can be used from now on. An address that nothing has proven yet gets its letter, once, with this.
    func activate(_ account: Account, _ claims: PersonClaims, _ request: PublicRequest?) async throws {
        let isProven = account.registration?.provesMailbox(by: claims) ?? false
        let proofs = proofs
        try await database.transaction(as: AccountStore.caller(account.id)) { tx in
            guard let active = try AccountStore(tx: tx).activate(account.id, isVerified: isProven) else { return }
            if active.isEmailVerified {
                try Outbox(tx).append(EmailVerified(userID: active.id, email: active.email.rawValue))
            } else if try proofs.send(.verifyEmail, to: active.email, .account(active.id), in: tx) {
                try Outbox(tx).append(EmailVerificationRequested(userID: active.id, email: active.email.rawValue))
            }
            try Audit(tx, request).record(
                "auth.account.activate", "account", active.id.description, changed: ["emailVerified": .bool(active.isEmailVerified)])
        }
    }
}
