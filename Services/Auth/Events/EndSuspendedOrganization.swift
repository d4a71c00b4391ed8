import Contracts
import Messaging
import Postgres

/// Nobody is signed in to a suspended organization.
struct EndSuspendedOrganization: EventHandler {
    let rights: RightsEnding

    func handle(_ event: OrganizationSuspended, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let ending = SessionEnding(tenant: envelope.tenant, user: nil, reason: .organizationSuspended)
        _ = try rights.apply(ending, at: envelope.time, in: tx, nil)
    }
}
