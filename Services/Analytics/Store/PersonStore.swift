import Contracts
import Foundation
import Postgres

/// Why nothing is kept under a person's name.
enum ObjectionReason: String, Sendable {
    /// They said so.
    case objected
    /// They left the organization for good; who comes back is named again.
    case left
}

/// What is kept about one person, in all tables.
struct PersonStore {
    /// Rows of each table that lose their name in one transaction.
    static let rowsAtOnce = 2_000

    let tx: Transaction

    /// From now on nothing is kept under the person's name; the first of the rows that are there lose it at once, the others by `Upkeep`.
    /// Returns whether it is new.
    func unname(_ person: UserID, _ reason: ObjectionReason, at time: Date) throws -> Bool {
        // An objection of their own stays one, whatever else happens.
        let isNew =
            try tx.execute(
                """
                INSERT INTO objections AS o (tenant_id, user_id, objected_at, reason)
                VALUES (\(tx.caller.tenant), \(person), \(time), \(reason))
                ON CONFLICT (tenant_id, user_id) DO UPDATE SET
                    reason = excluded.reason, objected_at = excluded.objected_at, waiting_since = excluded.waiting_since,
                    unnamed_at = NULL, returned_at = NULL
                WHERE o.reason = 'left' AND (excluded.reason = 'objected' OR o.objected_at < excluded.objected_at)
                """) > 0
        _ = try unnameSome(person)
        return isNew
    }

    /// Takes the person out of some rows; whether there may be more. Counts and sketches stay as they are: neither names anybody.
    ///
    /// Waits for a fold of the organization, which may have read the name already.
    func unnameSome(_ person: UserID) throws -> Bool {
        try RollupFold.lock(tx)
        let until = try tx.first(Query<Date?>("SELECT returned_at FROM objections WHERE user_id = \(person)", column: "returned_at")) ?? nil
        let end = until ?? .distantFuture
        // What the customer wrote beside the event may be about the person, and so may the rest of an address after its path.
        let changed = [
            try tx.execute(
                """
                UPDATE analytics_events SET user_id = NULL, session_id = NULL, visitor = NULL, user_agent = NULL, ip_address = NULL,
                    event_properties = NULL, url = path, referrer = NULL, location = location - 'region' - 'city'
                WHERE user_id = \(person) AND (tenant_id, occurred_at, id) IN (
                    SELECT tenant_id, occurred_at, id FROM analytics_events WHERE user_id = \(person) AND received_at < \(end)
                    LIMIT \(Self.rowsAtOnce))
                """),
            try tx.execute(
                """
                UPDATE page_views SET user_id = NULL, session_id = NULL, visitor = NULL, user_agent = NULL, ip_address = NULL,
                    url = coalesce(path, '/'), referrer = NULL, location = location - 'region' - 'city'
                WHERE user_id = \(person) AND (tenant_id, occurred_at, id) IN (
                    SELECT tenant_id, occurred_at, id FROM page_views WHERE user_id = \(person) AND received_at < \(end)
                    LIMIT \(Self.rowsAtOnce))
                """),
            try tx.execute(
                """
                UPDATE facts SET user_id = NULL, subject = CASE WHEN subject = \(person.description) THEN '' ELSE subject END
                WHERE user_id = \(person) AND (tenant_id, occurred_at, event_id) IN (
                    SELECT tenant_id, occurred_at, event_id FROM facts WHERE user_id = \(person) AND occurred_at < \(end)
                    LIMIT \(Self.rowsAtOnce))
                """),
        ]
        try tx.execute("DELETE FROM people WHERE user_id = \(person) AND first_seen_at < \(end)")
        return changed.contains(Self.rowsAtOnce)
    }

    /// It could not be done: others come first.
    func postpone(_ person: UserID) throws {
        try tx.execute("UPDATE objections SET waiting_since = now() WHERE user_id = \(person)")
    }

    /// All rows are without the name; of who has come back nothing is remembered.
    func markUnnamed(_ person: UserID) throws {
        try tx.execute("DELETE FROM objections WHERE user_id = \(person) AND returned_at IS NOT NULL")
        try tx.execute("UPDATE objections SET unnamed_at = \(tx.now) WHERE user_id = \(person)")
    }

    /// Who left and is back is named from then on. An objection of their own stays.
    func welcome(_ person: UserID, at time: Date) throws {
        try tx.execute(
            """
            UPDATE objections SET returned_at = \(time), unnamed_at = NULL
            WHERE user_id = \(person) AND reason = 'left' AND objected_at < \(time) AND returned_at IS NULL
            """)
    }

    func withdrawObjection(_ person: UserID) throws {
        try tx.execute("DELETE FROM objections WHERE user_id = \(person) AND reason = 'objected'")
    }

    static func objection(of person: UserID) -> Query<Date> {
        Query("SELECT objected_at FROM objections WHERE user_id = \(person) AND reason = 'objected'", column: "objected_at")
    }
}

extension ObjectionReason: SQLBindable {}
