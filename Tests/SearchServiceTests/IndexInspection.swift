import Contracts
import Foundation
import Postgres
import TestKit

@testable import SearchService

/// What a test sees of a document beside the answers.
struct Indexed: Sendable, Equatable {
    let version: Int
    let searchable: Bool
    /// Everything that is kept of it.
    let text: String
}

extension Library {
    func indexed(_ id: ArticleID) async throws -> Indexed? {
        try await host.database.first(
            Query("SELECT version, searchable, to_jsonb(documents)::text AS text FROM documents WHERE id = \(id)") { row in
                Indexed(version: try row("version"), searchable: try row("searchable"), text: try row("text"))
            }, as: .service(.search, for: tenant.id))
    }

    /// Spoils what is derived, as an older recipe would have left it.
    func spoilIndex() async throws {
        _ = try await host.database.execute(
            "UPDATE documents SET words = '', title_key = '' WHERE searchable", as: .service(.search, for: tenant.id))
    }

    /// Counts words now, as the worker does in time.
    func count() async throws {
        try await host.database.transaction(as: .service(.search, for: tenant.id)) { tx in
            try VocabularyStore(tx).count(DocumentType.allCases.map(\.needs.description))
        }
    }

    func terms() async throws -> [String] {
        try await host.database.query(
            Query("SELECT term FROM terms ORDER BY term", column: "term"), as: .service(.search, for: tenant.id))
    }
}
