import Contracts
import Foundation
import Postgres

extension ArticleStore {
    /// One page by keyset: rows that are written meanwhile neither shift it nor appear twice.
    ///
    /// Give `limit` one more than is shown, to know whether there is a next page. `after` is the place of the last one shown.
    static func list(_ filter: ArticleFilter, by sort: ArticleSort, after: (Date, UUID)?, limit: Int) -> Query<ArticleSummary> {
        var conditions = filter.conditions
        if let (time, id) = after {
            let side: SQL = sort.isDescending ? "<" : ">"
            conditions.append("(\(fragment: sort.column), id) \(fragment: side) (\(time), \(id))")
        }
        let direction: SQL = sort.isDescending ? "DESC" : "ASC"
        let filtered: SQL = conditions.isEmpty ? .empty : "WHERE " + conditions.joined(separator: " AND ")
        return Query(
            """
            SELECT id, title, slug, excerpt, author_id, status, published_at, featured, category, tags, view_count, like_count,
                   comment_count, version, created_at, updated_at
            FROM articles \(fragment: filtered)
            ORDER BY \(fragment: sort.column) \(fragment: direction), id \(fragment: direction)
            LIMIT \(limit)
            """, ArticleSummary.init(row:))
    }
}

extension ArticleSort {
    fileprivate var column: SQL {
        switch self {
        case .newest, .oldest: "created_at"
        case .latestUpdated, .earliestUpdated: "updated_at"
        case .latestPublished, .earliestPublished: "coalesce(published_at, created_at)"
        }
    }
}

extension ArticleFilter {
    fileprivate var conditions: [SQL] {
        var conditions: [SQL] = []
        if case .readers = audience { conditions.append("published_at IS NOT NULL") }
        if let status { conditions.append("status = \(status)") }
        if let category { conditions.append("category = \(category)") }
        if let tag { conditions.append("\(tag) = ANY (tags)") }
        if let author { conditions.append("author_id = \(author)") }
        if let featured { conditions.append("featured = \(featured)") }
        if let text {
            conditions.append("strpos(lower(title || ' ' || coalesce(excerpt, '')), lower(\(text)::text)) > 0")
        }
        return conditions
    }
}

extension ArticleSummary {
    fileprivate init(row: Row) throws {
        self.init(
            id: try row("id"), title: try row("title"), slug: try row("slug"), excerpt: try row("excerpt"),
            authorId: try row("author_id"), status: try row("status"), publishedAt: try row("published_at"),
            featured: try row("featured"), category: try row("category"), tags: TagList(stored: try row("tags")),
            viewCount: try row("view_count"), likeCount: try row("like_count"), commentCount: try row("comment_count"),
            version: try row("version"), createdAt: try row("created_at"), updatedAt: try row("updated_at"))
    }
}
