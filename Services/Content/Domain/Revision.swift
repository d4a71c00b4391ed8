import Contracts
import Foundation

/// An article as it was before an edit.
struct Revision: Equatable, Sendable {
    /// The article's version that this was.
    let version: Int
    let fields: ArticleFields
    let replacedAt: Date
    /// Who made the edit that replaced it.
    let replacedBy: String
}

/// What the list of revisions shows. Property names are the JSON's.
struct RevisionSummary: Codable, Equatable, Sendable {
    let version: Int
    let title: Title
    let slug: Slug
    let replacedAt: Date
    let replacedBy: String
}
