import Contracts
import Messaging
import Postgres

/// Nobody is signed in to a deleted organization, and its keys are dead.
struct EndDeletedOrganization: EventHandler {
    let rights: RightsEnding

    func handle(_ event: OrganizationDeleted, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let ending = SessionEnding(tenant: envelope.tenant, user: nil, reason: .organizationDeleted)
        _ = try rights.apply(ending, at: envelope.time, in: tx, nil)
    }
}
