import Contracts
import Foundation
import Postgres

/// How many text messages were sent, by what they were sent to.
struct TextMessageStore {
    let tx: Transaction

    struct Window: Sendable {
        let sent: Int
        let since: Date
    }

    /// Counts one more and returns how many there are; those of before `forgotten` count no more.
    func add(_ subject: Data, forgotten: Date) throws -> Window {
        try tx.first(
            Query(
                """
                INSERT INTO text_message_counts AS known (tenant_id, subject, sent, since)
                VALUES (\(tx.caller.tenant), \(subject), 1, \(tx.now))
                ON CONFLICT (tenant_id, subject) DO UPDATE SET
                    sent = CASE WHEN known.since < \(forgotten) THEN 1 ELSE known.sent + 1 END,
                    since = CASE WHEN known.since < \(forgotten) THEN excluded.since ELSE known.since END
                RETURNING sent, since
                """
            ) { row in Window(sent: try row("sent"), since: try row("since")) }) ?? Window(sent: 1, since: tx.now)
    }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM text_message_counts WHERE subject IN
        (SELECT subject FROM text_message_counts WHERE since < \(before) LIMIT \(limit))
        """
    }
}
