/// The schema and the three roles of a service, made so that making them again changes nothing.
///
/// `<service>_owner` owns the tables and cannot log in; `<service>` is what the program logs in as: it owns nothing and is bound by
/// row-level security; `<service>_platform` is what the program switches to for work of no tenant.
struct Roles {
    let connection: AdminConnection
    let service: String
    /// Set on each run when given; otherwise the role's name, when the role is made.
    let password: String?

    /// Roles belong to the whole server, so migrations of several databases at once may meet; the loser tries again.
    private static let attempts = 8

    func make() throws {
        let owner = "\(service)_owner", platform = "\(service)_platform"
        try create(owner, "NOLOGIN")
        try create(platform, "NOLOGIN NOINHERIT")
        let isNew = try create(service, "LOGIN NOINHERIT NOCREATEDB NOCREATEROLE")
        if isNew || password != nil {
            let secret = try connection.literal(try connection.encrypted(password ?? service, of: service))
            try retrying("ALTER ROLE \(try quoted(service)) PASSWORD \(secret)")
        }
        try refusePowers(service)
        if try !isMember(of: platform, member: service) { try retrying("GRANT \(try quoted(platform)) TO \(try quoted(service))") }
        try ownSchema(owner)
        try grantSchema(to: [service, platform])
        try setSearchPath()
    }

    private func quoted(_ name: String) throws -> String { try connection.identifier(name) }

    @discardableResult
    private func create(_ role: String, _ options: String) throws -> Bool {
        guard try connection.query("SELECT 1 FROM pg_roles WHERE rolname = \(role)").isEmpty else { return false }
        do {
            try retrying("CREATE ROLE \(try quoted(role)) \(options)")
            return true
        } catch let failure as PostgresFailure where failure.sqlState == "42710" || failure.isUniqueViolation {
            return false
        }
    }

    /// A role that an administrator has given too much would see every tenant's rows.
    private func refusePowers(_ role: String) throws {
        let rows = try connection.query("SELECT rolsuper OR rolbypassrls OR rolinherit AS powers FROM pg_roles WHERE rolname = \(role)")
        if try rows.first?("powers") ?? false {
            try retrying("ALTER ROLE \(try quoted(role)) NOSUPERUSER NOBYPASSRLS NOINHERIT")
        }
    }

    private func isMember(of role: String, member: String) throws -> Bool {
        try !connection.query(
            """
            SELECT 1 FROM pg_auth_members WHERE roleid = (SELECT oid FROM pg_roles WHERE rolname = \(role)) \
            AND member = (SELECT oid FROM pg_roles WHERE rolname = \(member))
            """
        ).isEmpty
    }

    private func ownSchema(_ owner: String) throws {
        let me: String = try connection.query("SELECT current_user::text AS me").first?("me") ?? ""
        let rows = try connection.query("SELECT rolsuper AS yes FROM pg_roles WHERE rolname = current_user")
        let isSuper: Bool = try rows.first?("yes") ?? false
        if try !isSuper && !isMember(of: owner, member: me) {
            try retrying("GRANT \(try quoted(owner)) TO CURRENT_USER")
        }
        try connection.script("CREATE SCHEMA IF NOT EXISTS \(try quoted(service)) AUTHORIZATION \(try quoted(owner))")
    }

    private func grantSchema(to roles: [String]) throws {
        for role in roles {
            let may = try connection.query("SELECT has_schema_privilege(\(role), \(service), 'USAGE') AS may")
            if try may.first?("may") ?? false { continue }
            try connection.script("GRANT USAGE ON SCHEMA \(try quoted(service)) TO \(try quoted(role))")
        }
    }

    /// For this database only; `public` holds the extensions.
    private func setSearchPath() throws {
        let known = try connection.query(
            """
            SELECT 1 FROM pg_db_role_setting WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) \
            AND setrole = (SELECT oid FROM pg_roles WHERE rolname = \(service))
            """)
        guard known.isEmpty else { return }
        let database: String = try connection.query("SELECT current_database()::text AS name").first?("name") ?? ""
        let role = try quoted(service)
        try retrying("ALTER ROLE \(role) IN DATABASE \(try quoted(database)) SET search_path = \(role), public")
    }

    /// `tuple concurrently updated` (XX000) is the server's answer to two changes of one role at once.
    private func retrying(_ text: String) throws {
        for attempt in 1... {
            do {
                return try connection.script(text)
            } catch let failure as PostgresFailure where failure.sqlState == "XX000" && attempt < Self.attempts {
                try connection.query("SELECT pg_sleep(0.05)")
            }
        }
    }
}
