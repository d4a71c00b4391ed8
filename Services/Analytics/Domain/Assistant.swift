/// What the assistant did and how people found it.
struct AssistantFigures: Codable, Sendable, Equatable {
    /// From this rating on (of 1 to 5) somebody counts as satisfied.
    static let satisfied = 4

    var conversations = 0
    var answers = 0
    /// Different people who were answered.
    var users = 0
    var promptTokens = 0
    var completionTokens = 0
    var citations = 0
    var averageMilliseconds: Double?
    var p95Milliseconds: Double?
    var ratings = 0
    /// From 1 to 5.
    var averageRating: Double?
    /// The share of ratings of 4 and 5.
    var satisfaction: Double?
}
