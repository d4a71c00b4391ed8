package import Contracts
package import Postgres

/// A service that announces its events in a database.
package struct OutboxOwner: Sendable, Equatable {
    package let service: String
    /// Whether the role of this connection is the service's own, which may let its events be published again.
    package let isOpen: Bool

    /// All of the database, by name. Throws `DependencyFailure`.
    package static func all(in database: Database, as service: ServiceName) async throws -> [OutboxOwner] {
        try await database.query(
            Query(
                """
                SELECT n.nspname::text AS service, COALESCE((SELECT pg_has_role(r.oid, 'MEMBER') FROM pg_roles r \
                WHERE r.rolname = n.nspname || '_platform'), false) AS is_open \
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
                WHERE c.relname = 'outbox' AND c.relkind IN ('r', 'p') ORDER BY n.nspname
                """
            ) { row in
                OutboxOwner(service: try row("service"), isOpen: try row("is_open"))
            }, as: .service(service, for: .platform))
    }
}
