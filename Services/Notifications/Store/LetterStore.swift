import Contracts
import Foundation
import Postgres

/// A letter in a worker's hands, with what was known of it before.
struct TakenLetter: Sendable {
    let letter: Letter
    /// An earlier try may have got through: it ended in no answer, or the program that made it died.
    let wasInDoubt: Bool
}

/// The rows of `letters`.
struct LetterStore {
    let tx: Transaction

    /// False when there is a letter with this id already: then nothing was written.
    func add(_ letter: Letter) throws -> Bool {
        let added = try tx.execute(
            """
            INSERT INTO letters
                (tenant_id, id, channel, template, urgent, sealed, status, attempts, next_attempt_at, expires_at, created_at)
            VALUES (\(letter.tenant), \(letter.id), \(letter.channel), \(letter.template), \(letter.isUrgent), \(letter.sealed as Data?),
                \(letter.status), \(letter.attempts), \(letter.nextAttemptAt), \(letter.expiresAt as Date?), \(letter.createdAt))
            ON CONFLICT (tenant_id, id) DO NOTHING
            """)
        return added == 1
    }

    static func status(of id: LetterID) -> Query<DeliveryStatus> { Query("SELECT status FROM letters WHERE id = \(id)", column: "status") }

    /// Takes at most `limit` letters of a channel that are due: urgent ones first, then the others, and of each kind one of each
    /// organization, going round from the one after `last`. Runs on the platform's door.
    ///
    /// The rows are chosen once, before any is written, as in `DeliveryStore.take`.
    func take(_ limit: Int, over channel: LetterChannel, after last: TenantID?, now: Date, until lease: Date) throws -> [TakenLetter] {
        let last = last ?? .platform
        let taken = try tx.query(
            Query(
                """
                WITH due AS MATERIALIZED (
                    SELECT kind.tenant_id, letter.id, letter.in_doubt
                    FROM (
                        SELECT tenant_id, urgent FROM letters
                        WHERE status = 'queued' AND channel = \(channel) AND next_attempt_at <= \(now)
                        GROUP BY tenant_id, urgent ORDER BY urgent DESC, tenant_id > \(last) DESC, tenant_id LIMIT \(limit)
                    ) AS kind
                    CROSS JOIN LATERAL (
                        SELECT id, in_doubt FROM letters
                        WHERE tenant_id = kind.tenant_id AND urgent = kind.urgent AND channel = \(channel) AND status = 'queued'
                            AND next_attempt_at <= \(now)
                        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
                    ) AS letter
                )
                UPDATE letters AS taken SET attempts = taken.attempts + 1, next_attempt_at = \(lease), in_doubt = true
                FROM due WHERE taken.tenant_id = due.tenant_id AND taken.id = due.id
                RETURNING taken.tenant_id, taken.id, taken.channel, taken.template, taken.urgent, taken.sealed, taken.status, taken.attempts,
                    taken.next_attempt_at, taken.in_doubt, taken.expires_at, taken.last_error, taken.created_at, taken.finished_at,
                    due.in_doubt AS was_in_doubt
                """
            ) { row in
                TakenLetter(letter: try Letter(row), wasInDoubt: try row("was_in_doubt"))
            })
        func place(_ letter: Letter) -> (Int, Int, TenantID) { (letter.isUrgent ? 0 : 1, letter.tenant > last ? 0 : 1, letter.tenant) }
        return taken.sorted { place($0.letter) < place($1.letter) }
    }

    /// Writes what became of a try; false when somebody else has taken the letter since, because the lease had run out.
    func settle(_ letter: Letter) throws -> Bool {
        let settled = try tx.execute(
            """
            UPDATE letters SET status = \(letter.status), sealed = \(letter.sealed as Data?), next_attempt_at = \(letter.nextAttemptAt),
                in_doubt = \(letter.isInDoubt), last_error = \(letter.lastError as String?), finished_at = \(letter.finishedAt as Date?)
            WHERE tenant_id = \(letter.tenant) AND id = \(letter.id) AND status = 'queued' AND attempts = \(letter.attempts)
            """)
        return settled == 1
    }

    /// Forgets letters whose fate has been known for long; returns how many. Runs on the platform's door.
    func prune(finishedBefore time: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM letters WHERE (tenant_id, id) IN (
                SELECT tenant_id, id FROM letters WHERE finished_at < \(time) ORDER BY finished_at LIMIT \(limit) FOR UPDATE SKIP LOCKED
            )
            """)
    }
}

extension Letter {
    init(_ row: Row) throws {
        self.init(
            id: try row("id"), tenant: try row("tenant_id"), channel: try row("channel"), template: try row("template"),
            isUrgent: try row("urgent"), sealed: try row("sealed"), status: try row("status"), attempts: try row("attempts"),
            nextAttemptAt: try row("next_attempt_at"), isInDoubt: try row("in_doubt"), expiresAt: try row("expires_at"),
            lastError: try row("last_error"), createdAt: try row("created_at"), finishedAt: try row("finished_at"))
    }
}

extension LetterRequest.Channel: SQLBindable, SQLDecodable {}
