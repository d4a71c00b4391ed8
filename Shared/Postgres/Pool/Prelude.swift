import Contracts

/// Whose rows a transaction sees, sent ahead of its first statement in the same round trip.
enum Prelude: Sendable {
    case tenant(TenantID, searchPath: String?)
    /// The role whose tables and policies name it; no tenant's rows.
    case platform(role: String)

    /// Everything is local to the transaction: nothing of it is left for the next one on this connection.
    func statement(timeout: String?) throws -> Statement {
        var sql: SQL
        switch self {
        case .tenant(let tenant, nil): sql = "SELECT set_config('app.tenant_id', \(tenant.description), true)"
        case .tenant(let tenant, let path?):
            sql = "SELECT set_config('app.tenant_id', \(tenant.description), true), set_config('search_path', \(path), true)"
        case .platform(let role): sql = "SELECT set_config('app.tenant_id', '', true), set_config('role', \(role), true)"
        }
        if let timeout { sql += ", set_config('statement_timeout', \(timeout), true)" }
        return try Statement(sql)
    }
}
