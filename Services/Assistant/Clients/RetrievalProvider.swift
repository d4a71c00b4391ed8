import Contracts
import Postgres

/// The built-in provider. It has no language model: it finds the passages of published articles that fit the question best and
/// quotes them, and says so.
struct RetrievalProvider: ChatProvider {
    static let model = "retrieval-1"
    /// Passages quoted in one answer.
    static let maximumPassages = 3
    /// Of a question's words, an answer must have at least two of five.
    static let coverage = (of: 5, atLeast: 2)

    let database: Database
    let name = "retrieval"
    let models = [Self.model]

    func answer(_ prompt: ChatPrompt, as caller: Caller, _ write: (String) async throws -> Void) async throws -> ChatAnswer {
        var found = try await passages(for: prompt.question, as: caller)
        if found.isEmpty, let before = prompt.earlier.last {
            // "And what does it cost?" says too little alone.
            found = try await passages(for: before + " " + prompt.question, as: caller)
        }
        let (pieces, citations) = Self.compose(found)
        for piece in pieces { try await write(piece) }
        let content = pieces.joined()
        return ChatAnswer(
            content: content, citations: citations,
            usage: TokenUsage(promptTokens: TokenUsage.estimate(prompt.question), completionTokens: TokenUsage.estimate(content)),
            provider: name, model: prompt.model)
    }

    private func passages(for question: String, as caller: Caller) async throws -> [FoundPassage] {
        Self.best(of: try await database.query(KnowledgeStore.search(question), as: caller, slow: true))
    }

    /// Those that have enough of the question's words, and nearly as many as the best.
    static func best(of candidates: [FoundPassage]) -> [FoundPassage] {
        guard let most = candidates.map(\.matched).max() else { return [] }
        let good = candidates.filter { passage in
            passage.matched * coverage.of >= passage.wanted * coverage.atLeast && passage.matched * 3 >= most * 2
        }
        return Array(good.prefix(maximumPassages))
    }

    /// The answer in pieces, and one citation an article, numbered in the text.
    static func compose(_ passages: [FoundPassage]) -> (pieces: [String], citations: [Citation]) {
        guard !passages.isEmpty else {
            let sentence = "Nothing that your organization has published answers this. "
            return ([sentence, "(\(model) is the built-in provider: it quotes published articles and uses no language model.)"], [])
        }
        var citations: [Citation] = []
        var pieces = ["From what your organization has published:\n\n"]
        for passage in passages {
            let id = passage.article.description
            if !citations.contains(where: { $0.id == id }) {
                citations.append(
                    Citation(
                        type: "article", id: id, title: passage.title, snippet: passage.text,
                        url: "/api/v1/content/articles/\(passage.slug)"))
            }
            let number = (citations.firstIndex { $0.id == id } ?? 0) + 1
            pieces.append("\(passage.text) [\(number)]\n\n")
        }
        pieces.append("(An extractive answer by \(model), the built-in provider: these are quotations, and no language model was used.)")
        return (pieces, citations)
    }
}
