import Contracts
import Foundation

/// What a list shows of an article: everything but its content. Property names are the JSON's.
struct ArticleSummary: Codable, Equatable, Sendable {
    let id: ArticleID
    let title: Title
    let slug: Slug
    let excerpt: ShortText?
    let authorId: UserID?
    let status: ArticleStatus
    let publishedAt: Date?
    let featured: Bool
    let category: Label?
    let tags: TagList
    let viewCount: Int
    let likeCount: Int
    let commentCount: Int
    let version: Int
    let createdAt: Date
    let updatedAt: Date
}

/// The orders in which articles can be listed; equal times are told apart by the id.
enum ArticleSort: String, CaseIterable, Codable, Sendable {
    case newest = "-createdAt"
    case oldest = "createdAt"
    case latestUpdated = "-updatedAt"
    case earliestUpdated = "updatedAt"
    /// Drafts count by the time they were written.
    case latestPublished = "-publishedAt"
    case earliestPublished = "publishedAt"

    var isDescending: Bool { rawValue.hasPrefix("-") }

    /// The time by which an article has its place.
    func time(of article: ArticleSummary) -> Date {
        switch self {
        case .newest, .oldest: article.createdAt
        case .latestUpdated, .earliestUpdated: article.updatedAt
        case .latestPublished, .earliestPublished: article.publishedAt ?? article.createdAt
        }
    }
}

/// Which articles a list is asked for. Nil means any.
struct ArticleFilter: Sendable {
    let audience: Audience
    var status: ArticleStatus?
    var category: Label?
    var tag: Label?
    var author: UserID?
    var featured: Bool?
    /// Found in the title or the excerpt, whatever the case. Full text is the search service's.
    var text: FilterText?
}
