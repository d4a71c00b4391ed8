package import Contracts
import Foundation
package import Postgres

/// What is to be said to somebody outside the platform, by mail or text message.
package typealias Letter = LetterRequest

/// Letters of one transaction: they are on their way when it commits, and never when it does not.
///
/// The service's migrations include `_shared/letters.sql`, and its assembly runs a `LetterDelivery`.
package struct Letters {
    private let tx: Transaction
    private let sealing: Sealing

    package init(_ tx: Transaction, _ sealing: Sealing) {
        self.tx = tx
        self.sealing = sealing
    }

    package func send(_ letter: Letter) throws {
        let id = UUID.version7(at: tx.now)
        try put(id, try JSON.encode(Optional(letter)))
    }

    /// Writes what a letter would have written, and sends nothing: for those whom there is nothing to say to, so that the time
    /// an answer takes does not tell whether there was.
    package func sendNothing() throws { try put(UUID.version7(at: tx.now), try JSON.encode(Letter?.none)) }

    private func put(_ id: UUID, _ plain: Data) throws {
        try LetterStore(tx: tx).insert(id, sealed: try sealing.seal(plain, context: LetterDelivery.context(id)))
    }
}
