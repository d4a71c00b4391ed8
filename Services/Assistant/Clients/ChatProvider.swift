import Contracts

/// What a provider is asked.
struct ChatPrompt: Sendable {
    /// Questions of this conversation that came before, the oldest first.
    let earlier: [String]
    let question: String
    let model: String
}

/// Answers questions: the built-in retrieval, and later providers that run a language model.
///
/// A protocol because providers differ in everything but this.
protocol ChatProvider: Sendable {
    /// Stable: it is stored with each answer and told in events.
    var name: String { get }
    /// What may be asked for by name; the first is this provider's default.
    var models: [String] { get }
    /// Answers, and writes the text piece by piece as it comes; the pieces together are the content of the answer.
    /// Throws a `DependencyFailure` when what it needs does not answer.
    func answer(_ prompt: ChatPrompt, as caller: Caller, _ write: (String) async throws -> Void) async throws -> ChatAnswer
}

/// The providers of this installation, the preferred one first.
struct ChatProviders: Sendable {
    private let list: [any ChatProvider]

    init(_ list: [any ChatProvider]) { self.list = list }

    /// The provider of a model; without a model the first one's default.
    func choose(_ model: String?) throws -> (provider: any ChatProvider, model: String) {
        guard let model else {
            guard let first = list.first, let standard = first.models.first else {
                throw DependencyFailure("assistant provider", reason: "none is configured")
            }
            return (first, standard)
        }
        guard let provider = list.first(where: { $0.models.contains(model) }) else {
            let known = list.flatMap(\.models).joined(separator: ", ")
            throw ValidationFailure("/model", "unknown-model", "must be one of \(known)")
        }
        return (provider, model)
    }
}
