import Contracts
import Foundation
import Postgres

/// What a session has shown of its person.
struct SessionProofStore {
    let tx: Transaction

    /// A further way in which the person proved who they are; the time at which they did so stays.
    func add(_ reference: String, to session: SessionID) throws {
        try tx.execute(
            """
            UPDATE sessions SET methods = array_append(methods, \(reference)::text)
            WHERE id = \(session) AND revoked_at IS NULL AND NOT (\(reference)::text = ANY(methods))
            """)
    }
}
