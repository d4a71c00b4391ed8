import Contracts
import Foundation
import Postgres

extension RoleDescription: SQLBindable, SQLDecodable {}

/// The roles of the caller's organization's own.
struct RoleStore {
    let tx: Transaction

    private static let columns: SQL = "id, name, description, permissions, created_at, updated_at, version"

    private static func read(_ row: Row) throws -> CustomRole {
        let permissions: [String] = try row("permissions")
        return CustomRole(
            id: try row("id"), name: try row("name"), description: try row("description"),
            permissions: permissions.compactMap { Permission($0) }, createdAt: try row("created_at"), updatedAt: try row("updated_at"),
            version: try row("version"))
    }

    static func all() -> Query<CustomRole> {
        Query("SELECT \(fragment: columns) FROM roles ORDER BY name LIMIT \(CustomRole.limit)", read)
    }

    /// By id or by name.
    static func find(_ text: String) -> Query<CustomRole> {
        let which: SQL = RoleID(text).map { "id = \($0)" } ?? "name = \(text)"
        return Query("SELECT \(fragment: columns) FROM roles WHERE \(fragment: which)", read)
    }

    func lock(_ text: String) throws -> CustomRole {
        let query = Self.find(text)
        guard let found = try tx.first(Query(query.sql + " FOR UPDATE", query.decode)) else { throw ResourceFailure.notFound }
        return found
    }

    /// What a name grants now. The role stays until this transaction is over: nobody deletes it meanwhile.
    func granted(_ name: RoleName, field: String = "/role") throws -> GrantedRole {
        if let builtIn = name.builtIn { return GrantedRole(builtIn) }
        let query = Self.find(name.rawValue)
        guard let role = try tx.first(Query(query.sql + " FOR SHARE", query.decode)) else {
            throw ValidationFailure(field, "unknown-role", "must be a role that ships or one of the organization's own")
        }
        return GrantedRole(name: role.name, permissions: role.permissions)
    }

    func count() throws -> Int { try tx.first("SELECT count(*) AS count FROM roles").map { try $0("count") } ?? 0 }

    /// People who have it, those among them who are invited as well.
    func members(_ name: RoleName) throws -> Int {
        try tx.first("SELECT count(*) AS count FROM people WHERE role = \(name)").map { try $0("count") } ?? 0
    }

    /// Who has it, when they are few enough to be named one by one; else nil.
    func holders(_ name: RoleName, atMost limit: Int) throws -> [UserID]? {
        let rows = try tx.query("SELECT user_id FROM people WHERE role = \(name) AND status = 'active' LIMIT \(limit + 1)")
        return rows.count > limit ? nil : try rows.map { try $0("user_id") }
    }

    /// Throws `RoleFailure.nameTaken`.
    func insert(_ role: CustomRole) throws {
        try naming {
            try tx.execute(
                """
                INSERT INTO roles (tenant_id, id, name, description, permissions, created_at, updated_at, version)
                VALUES (\(tx.caller.tenant), \(role.id), \(role.name), \(role.description), \(role.permissions.map(\.description))::text[],
                    \(role.createdAt), \(role.updatedAt), \(role.version))
                """)
        }
    }

    func save(_ role: CustomRole) throws {
        try naming {
            try tx.execute(
                """
                UPDATE roles SET name = \(role.name), description = \(role.description),
                    permissions = \(role.permissions.map(\.description))::text[], updated_at = \(role.updatedAt), version = \(role.version)
                WHERE id = \(role.id)
                """)
        }
    }

    func remove(_ id: RoleID) throws { try tx.execute("DELETE FROM roles WHERE id = \(id)") }

    private func naming(_ body: () throws -> Void) throws {
        do {
            try body()
        } catch let failure as PostgresFailure where failure.isUniqueViolation && failure.constraint == "roles_name" {
            throw RoleFailure.nameTaken
        }
    }
}
