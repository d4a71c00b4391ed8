import Contracts
import Foundation
import Postgres

/// The row of an organization's settings.
struct SettingsStore {
    let tx: Transaction

    init(_ tx: Transaction) { self.tx = tx }

    static let language: SQL = "SELECT language FROM settings"

    static let find = Query<SearchSettings>("SELECT version, language, synonyms, stop_words FROM settings", SearchSettings.init(row:))

    /// Held until the transaction ends.
    func lock() throws -> SearchSettings? {
        try tx.first(
            Query("SELECT version, language, synonyms, stop_words FROM settings FOR UPDATE", SearchSettings.init(row:)))
    }

    /// False when somebody else was first to say something.
    func save(_ settings: SearchSettings) throws -> Bool {
        try tx.execute(
            """
            INSERT INTO settings AS known (tenant_id, version, language, synonyms, stop_words, updated_at)
            VALUES (
                \(tx.caller.tenant), \(settings.version), \(settings.language), \(JSONB(settings.synonyms)),
                \(settings.stopWords)::text[], \(tx.now))
            ON CONFLICT (tenant_id) DO UPDATE SET
                version = excluded.version, language = excluded.language, synonyms = excluded.synonyms,
                stop_words = excluded.stop_words, updated_at = excluded.updated_at
            WHERE known.version = excluded.version - 1
            """) == 1
    }
}

extension SearchSettings {
    init(row: Row) throws {
        let synonyms: JSONB<[[Label]]> = try row("synonyms")
        self.init(version: try row("version"), language: try row("language"), synonyms: synonyms.value, stopWords: try row("stop_words"))
    }
}

extension Language: SQLBindable, SQLDecodable {}
