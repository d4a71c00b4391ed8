import Contracts
import Foundation
import Messaging
import Postgres

/// Keeps the address of somebody whose profile changed.
struct KeepContact: EventHandler {
    func handle(_ event: UserUpdated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let email = try Contact.address(event.email)
        try ContactStore(tx: tx).keep(event.userID, email, firstName: event.firstName, at: envelope.time)
    }
}

/// Keeps the address of a member: somebody who has been on the platform may join a second organization.
struct KeepMember: EventHandler {
    func handle(_ event: MemberAdded, _ envelope: EventEnvelope, in tx: Transaction) throws {
        try ContactStore(tx: tx).keep(event.userID, try Contact.address(event.email), firstName: nil, at: envelope.time)
    }
}
