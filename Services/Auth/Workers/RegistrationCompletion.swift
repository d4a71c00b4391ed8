import Contracts
import Foundation
import Postgres
import ServiceKit

/// The steps of a registration after its address was kept. Each may be done again, by the request or by the worker.
struct RegistrationCompletion: Sendable {
    let database: Database
    let people: PeopleClient

    /// Has users make the person and the organization. When users refuses for good, the address is set free again;
    /// when it does not answer, the account stays pending.
    func askUsers(_ account: Account) async throws -> PersonClaims {
        guard let registration = account.registration else { throw AccountFailure.registrationPending }
        do {
            return try await people.register(account.id, registration)
        } catch let refusal as any Failure {
            switch refusal.kind {
            case .unavailable, .limited: break
            default: try await database.execute(AccountStore.removePending(account.id, registration), as: AccountStore.caller)
            }
            throw refusal
        }
    }

    func activate(_ account: UserID, at now: Date) async throws {
        try await database.execute(AccountStore.activate(account, at: now), as: AccountStore.caller)
    }
}
