import Metrics

/// What is done to articles, as the audit trail and `trionex_content_changes_total{change}` name it.
enum ArticleChange: String, Sendable {
    case create, update, publish, unpublish, delete

    /// Only a deletion cannot be taken back.
    var risk: String { self == .delete ? "medium" : "low" }

    func count() { Counter(label: "trionex_content_changes_total", dimensions: [("change", rawValue)]).increment() }
}
