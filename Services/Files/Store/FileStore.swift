import Contracts
import Foundation
import Postgres

extension FileName: SQLBindable, SQLDecodable {}

/// The rows of `files`.
enum FileStore {
    /// A file and the version of the key that its content is sealed with.
    struct Sealed: Sendable {
        let file: StoredFile
        let keyVersion: Int
        let wrappedKey: Data
    }

    static func find(_ id: FileID) -> Query<StoredFile> {
        Query("SELECT id, name, content_type, size, sha256, uploaded_by, created_at FROM files WHERE id = \(id)", decode)
    }

    static func findSealed(_ id: FileID) -> Query<Sealed> {
        Query(
            """
            SELECT f.id, f.name, f.content_type, f.size, f.sha256, f.uploaded_by, f.created_at, f.key_version, k.wrapped
            FROM files f JOIN tenant_keys k ON k.tenant_id = f.tenant_id AND k.version = f.key_version WHERE f.id = \(id)
            """
        ) { row in
            Sealed(file: try decode(row), keyVersion: try row("key_version"), wrappedKey: try row("wrapped"))
        }
    }

    /// One page by the time of upload; `after` is where the page before ended.
    static func list(_ order: FileOrder, after: (Date, UUID)?, limit: Int) -> Query<StoredFile> {
        let columns: SQL = "SELECT id, name, content_type, size, sha256, uploaded_by, created_at FROM files"
        switch order {
        case .newestFirst:
            let start = after.map { "WHERE (created_at, id) < (\($0.0), \($0.1))" as SQL } ?? .empty
            return Query("\(fragment: columns) \(fragment: start) ORDER BY created_at DESC, id DESC LIMIT \(limit)", decode)
        case .oldestFirst:
            let start = after.map { "WHERE (created_at, id) > (\($0.0), \($0.1))" as SQL } ?? .empty
            return Query("\(fragment: columns) \(fragment: start) ORDER BY created_at, id LIMIT \(limit)", decode)
        }
    }

    /// Those of the ids that are files.
    static func known(_ ids: [FileID]) -> Query<FileID> {
        Query("SELECT id FROM files WHERE id = ANY(\(ids))", column: "id")
    }

    static func insert(_ file: StoredFile, keyVersion: Int, in tx: Transaction) throws {
        try tx.execute(
            """
            INSERT INTO files (tenant_id, id, name, content_type, size, sha256, key_version, uploaded_by, created_at)
            VALUES (\(tx.caller.tenant), \(file.id), \(file.name), \(file.contentType.text), \(file.size), \(file.sha256),
                    \(keyVersion), \(file.uploadedBy), \(file.createdAt))
            """)
    }

    /// False when there is no such file any more.
    static func delete(_ id: FileID, in tx: Transaction) throws -> Bool {
        try tx.execute("DELETE FROM files WHERE id = \(id)") == 1
    }

    private static func decode(_ row: Row) throws -> StoredFile {
        StoredFile(
            id: try row("id"), name: try row("name"), contentType: MediaType(declared: try row("content_type")), size: try row("size"),
            sha256: try row("sha256"), uploadedBy: try row("uploaded_by"), createdAt: try row("created_at"))
    }
}

/// The row of `storage_usage`: one an organization, changed in the transaction that adds or removes a file.
enum UsageStore {
    static let used: Query<Int> = Query("SELECT bytes FROM storage_usage", column: "bytes")

    /// Adds a file's bytes unless the quota is exceeded by that; two uploads at once wait for each other here.
    static func add(_ bytes: Int, quota: Int, in tx: Transaction) throws {
        guard bytes <= quota else { throw FileFailure.quotaExceeded }
        let changed = try tx.execute(
            """
            INSERT INTO storage_usage (tenant_id, bytes, files) VALUES (\(tx.caller.tenant), \(bytes), 1)
            ON CONFLICT (tenant_id) DO UPDATE SET bytes = storage_usage.bytes + excluded.bytes, files = storage_usage.files + 1
            WHERE storage_usage.bytes + excluded.bytes <= \(quota)
            """)
        guard changed == 1 else { throw FileFailure.quotaExceeded }
    }

    static func release(_ bytes: Int, in tx: Transaction) throws {
        try tx.execute("UPDATE storage_usage SET bytes = greatest(bytes - \(bytes), 0), files = greatest(files - 1, 0)")
    }
}
