package import Contracts

/// Where the database is and what bounds its use.
package struct DatabaseConfiguration: Sendable {
    /// A libpq URI: `postgres://content:secret@host:5432/trionex?sslmode=require`. The role is the service's own.
    package var url: String
    /// Connections for one-shot statements at most; each carries up to `batchSize` callers at once.
    package var batchConnections = 2
    /// Connections for closures and slow statements at most.
    package var interactiveConnections = 6
    package var batchSize = 8
    /// Callers that may wait for each of the two pools; one more is answered 503 at once.
    package var queueLimit = 1024
    /// How long a caller waits for a connection before it is answered 503.
    package var acquireTimeout: Duration = .seconds(5)
    /// The server ends a statement after so long; the caller is answered 503.
    package var statementTimeout: Duration = .seconds(10)
    /// At least two seconds, in whole seconds.
    package var connectTimeout: Duration = .seconds(5)
    /// Connections beyond one in each pool close after so long without work.
    package var idleTimeout: Duration = .seconds(60)
    /// False for PgBouncer in transaction mode before 1.21, which refuses named statements.
    package var preparedStatements = true
    /// Statements that a connection keeps prepared; beyond that the least recently used gives way.
    package var statementCacheSize = 256

    package init(url: String) { self.url = url }

    /// False for what libpq would take apart at the wrong place, quoting a piece of the password in its complaint.
    package static func isReadable(_ url: String) -> Bool {
        guard let scheme = ["postgres://", "postgresql://"].first(where: { url.hasPrefix($0) }) else { return false }
        let rest = url.dropFirst(scheme.count)
        let authority = rest.prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let signs = rest.count { $0 == "@" }
        return signs <= 1 && authority.count { $0 == "@" } == signs
    }
}

/// Where a tenant's rows live, asked of one place, so that a tenant can be moved without a change in any service.
package struct Placement: Sendable {
    private let choose: @Sendable (TenantID) -> String?

    /// `choose` names the schema of a tenant that has one of its own, and nil for the shared one.
    package init(schema choose: @escaping @Sendable (TenantID) -> String?) { self.choose = choose }

    /// Every tenant's rows lie in the service's schema, kept apart by row-level security.
    package static let shared = Placement { _ in nil }

    /// Nil when the tenant's rows are in the shared schema.
    package func schema(for tenant: TenantID) -> String? { choose(tenant) }

    /// The tenant's schema first, then the service's own for what is not the tenant's (its outbox and inbox).
    func searchPath(for tenant: TenantID, service: ServiceName) -> String? {
        schema(for: tenant).map { "\(Self.quoted($0)), \(Self.quoted(service.rawValue)), public" }
    }

    private static func quoted(_ identifier: String) -> String {
        "\"" + identifier.replacing("\"", with: "\"\"") + "\""
    }
}

/// The name of work that is done for no tenant. Every use is listed in a golden file.
package struct PlatformWork: Sendable {
    package let name: StaticString
    package init(_ name: StaticString) { self.name = name }
}
