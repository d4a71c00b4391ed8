import Contracts
import Foundation
import Messaging
import Postgres

/// Greets somebody who joined, by mail and in the inbox, once; and keeps where to reach them.
struct WelcomePerson: EventHandler {
    let bell: Bell

    func handle(_ event: UserCreated, _ envelope: EventEnvelope, in tx: Transaction) throws {
        let email = try Contact.address(event.email)
        try ContactStore(tx: tx).keep(event.userID, email, firstName: event.firstName, at: envelope.time)
        let welcome = try Welcome.notification(event.userID, email, firstName: event.firstName, id: .make(at: tx.now), at: tx.now)
        try Sending(tx: tx, bell: bell).send(welcome)
    }
}
