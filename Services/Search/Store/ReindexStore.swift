import Contracts
import Foundation
import Postgres

/// The rows of reindexing runs; an organization has at most one that is not finished.
struct ReindexStore {
    let tx: Transaction

    init(_ tx: Transaction) { self.tx = tx }

    /// The run under way or the last one.
    static let latest = Query<ReindexRun>(
        """
        SELECT id, source, total, done, position, started_at, finished_at, hidden FROM reindex_runs
        ORDER BY finished_at IS NULL DESC, started_at DESC, id LIMIT 1
        """, ReindexRun.init(row:))

    /// False when another run is under way.
    func insert(_ run: ReindexRun) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO reindex_runs (tenant_id, id, source, total, done, position, started_at, touched_at, finished_at)
            VALUES (
                \(tx.caller.tenant), \(run.id), \(run.source), \(run.total), \(run.done), \(run.position), \(run.startedAt), \(tx.now),
                \(run.finishedAt))
            ON CONFLICT (tenant_id) WHERE finished_at IS NULL DO NOTHING
            """) == 1
    }

    /// The run under way, held until the transaction ends; nil when there is none or another replica is working on it.
    func lock(_ source: ReindexRun.Source) throws -> ReindexRun? {
        try tx.first(
            Query(
                """
                SELECT id, source, total, done, position, started_at, finished_at, hidden FROM reindex_runs
                WHERE finished_at IS NULL AND source = \(source) FOR UPDATE SKIP LOCKED
                """, ReindexRun.init(row:)))
    }

    func save(_ run: ReindexRun) throws {
        try tx.execute(
            """
            UPDATE reindex_runs SET
                done = \(run.done), position = \(run.position), touched_at = \(tx.now), finished_at = \(run.finishedAt),
                hidden = \(run.hidden)
            WHERE id = \(run.id)
            """)
    }

    /// Lets the runs of others come before that under way, which stays where it is.
    func touch() throws {
        try tx.execute("UPDATE reindex_runs SET touched_at = \(tx.now) WHERE finished_at IS NULL")
    }

    /// Organizations with a run whose hidden documents are kept no longer. Runs as the platform.
    static func tenantsToEmpty(at now: Date, limit: Int) -> Query<TenantID> {
        let end = now.addingTimeInterval(-(ReindexRun.keepsHidden / .seconds(1)))
        return Query(
            """
            SELECT DISTINCT tenant_id FROM reindex_runs WHERE hidden > 0 AND emptied_at IS NULL AND finished_at <= \(end) LIMIT \(limit)
            """, column: "tenant_id")
    }

    /// Says that nothing is kept any more of what runs that ended until then hid.
    func markEmptied(until time: Date) throws {
        try tx.execute(
            "UPDATE reindex_runs SET emptied_at = \(tx.now) WHERE hidden > 0 AND emptied_at IS NULL AND finished_at <= \(time)")
    }

    /// Whose index is being derived, the longest untouched first, so that all of them get on. Runs as the platform.
    static func tenantsAtWork(limit: Int) -> Query<TenantID> {
        Query(
            "SELECT tenant_id FROM reindex_runs WHERE finished_at IS NULL AND source = 'texts' ORDER BY touched_at LIMIT \(limit)",
            column: "tenant_id")
    }
}

extension ReindexRun {
    fileprivate init(row: Row) throws {
        self.init(
            id: try row("id"), source: try row("source"), total: try row("total"), done: try row("done"), position: try row("position"),
            startedAt: try row("started_at"), finishedAt: try row("finished_at"), hidden: try row("hidden"))
    }
}

extension ReindexRun.Source: SQLBindable, SQLDecodable {}
