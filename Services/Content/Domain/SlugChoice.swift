import Contracts
import Foundation

extension Slug {
    /// Numbers tried in order before chance is asked: 2 to 100.
    static let numberedChoices = 2...100
    static let randomChoices = 8

    /// The slugs that an article with this title may get, best first: the title's own, then with a number behind it.
    static func choices(for title: Title, using generator: inout some RandomNumberGenerator) -> [Slug] {
        let made = make(from: title.rawValue)
        // A slug that reads as an id would never be found, since an id goes first.
        let base = ArticleID(made.rawValue) == nil ? made.rawValue : "article-\(made.rawValue)"
        let numbers = numberedChoices.map { $0 } + (0..<randomChoices).map { _ in Int.random(in: 100_000...999_999, using: &generator) }
        return [Slug(checked: base)] + numbers.map { Slug(checked: "\(base)-\($0)") }
    }

    /// Refuses a slug that reads as an id: such an article would never be found by it.
    func requireDistinctFromIDs(at pointer: String) throws(ValidationFailure) {
        if ArticleID(rawValue) != nil { throw ValidationFailure(pointer, "invalid-slug", "must not have the form of an id") }
    }
}
