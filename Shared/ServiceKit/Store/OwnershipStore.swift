import Contracts
import Foundation
import Postgres

/// A table whose rows callers name by a UUID in a path, each belonging to one organization.
///
/// A migration grants `SELECT (tenant_id, <key>)` on it to `<service>_platform`, with a policy and an index on the key.
package struct OwnedObjects: Sendable {
    let table: StaticString
    let key: StaticString

    /// - Parameter key: the column with the UUID; `tenant_id` for the organization itself.
    package init(_ table: StaticString, key: StaticString = "id") {
        self.table = table
        self.key = key
    }
}

/// Whose an object is, asked under the platform's role.
struct OwnershipStore {
    let tx: Transaction

    /// Whether one of the ids is an object of an organization other than this.
    func belongsToAnother(_ ids: [UUID], than tenant: TenantID, in owned: [OwnedObjects]) throws -> Bool {
        guard !ids.isEmpty, !owned.isEmpty else { return false }
        let questions = owned.map { objects -> SQL in
            """
            (SELECT 1 AS found FROM \(raw: objects.table) WHERE \(raw: objects.key) = ANY(\(ids)) AND tenant_id <> \(tenant) LIMIT 1)
            """
        }
        return try tx.first("SELECT found FROM (\(fragment: questions.joined(separator: " UNION ALL "))) AS objects LIMIT 1") != nil
    }
}
