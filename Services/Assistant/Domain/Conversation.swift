import Contracts
import Foundation

/// Where a part of an answer comes from.
struct Citation: Codable, Sendable, Equatable {
    /// `article` is the only kind so far.
    let type: String
    let id: String
    let title: String
    let snippet: String
    let url: String?
}

/// One message of a conversation.
struct Message: Sendable, Equatable {
    enum Role: String, Codable, CaseIterable, Sendable { case user, assistant }

    let id: MessageID
    let conversation: ConversationID
    /// Counts from 0.
    let position: Int
    let role: Role
    let content: String
    let citations: [Citation]
    let provider: String?
    let model: String?
    let usage: TokenUsage
    let createdAt: Date
}

/// A person's talk with the assistant. It belongs to that person, not to the organization.
struct Conversation: Sendable, Equatable {
    /// Questions and answers together.
    static let maximumMessages = 400
    static let titleLength = 80

    let id: ConversationID
    let user: UserID
    let title: String
    private(set) var messages: Int
    let createdAt: Date
    private(set) var updatedAt: Date

    init(id: ConversationID, user: UserID, title: String, messages: Int, createdAt: Date, updatedAt: Date) {
        self.id = id
        self.user = user
        self.title = title
        self.messages = messages
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }

    static func start(by user: UserID, about question: Question, at now: Date) -> (Conversation, ConversationStarted) {
        let id = ConversationID.make(at: now)
        let conversation = Conversation(
            id: id, user: user, title: title(of: question.rawValue), messages: 0, createdAt: now, updatedAt: now)
        return (conversation, ConversationStarted(conversationID: id, userID: user))
    }

    /// The first words of the first question.
    static func title(of question: String) -> String {
        let line = question.split(whereSeparator: \.isWhitespace).joined(separator: " ")
        if line.count <= titleLength { return line }
        let cut = line.prefix(titleLength - 1)
        let words = cut.lastIndex(of: " ").map { cut[..<$0] } ?? cut
        return words + "…"
    }

    /// Notes that something about it changed, such as a rating.
    mutating func touch(at now: Date) { updatedAt = max(updatedAt, now) }

    /// Refuses a question when there is no room for another.
    func checkRoom() throws(ConversationFailure) {
        guard messages + 2 <= Self.maximumMessages else { throw .full }
    }

    /// Adds a question and its answer, and returns them with the event they cause.
    mutating func add(
        _ question: Question, _ answer: ChatAnswer, id: MessageID, took milliseconds: Int, at now: Date
    ) throws(ConversationFailure) -> (asked: Message, answered: Message, event: MessageAnswered) {
        try checkRoom()
        let asked = Message(
            id: .make(at: now), conversation: self.id, position: messages, role: .user, content: question.rawValue, citations: [],
            provider: nil, model: nil, usage: TokenUsage(promptTokens: 0, completionTokens: 0), createdAt: now)
        let answered = Message(
            id: id, conversation: self.id, position: messages + 1, role: .assistant, content: answer.content, citations: answer.citations,
            provider: answer.provider, model: answer.model, usage: answer.usage, createdAt: now)
        messages += 2
        updatedAt = now
        let event = MessageAnswered(
            conversationID: self.id, messageID: id, userID: user, provider: answer.provider, model: answer.model,
            promptTokens: answer.usage.promptTokens, completionTokens: answer.usage.completionTokens, citations: answer.citations.count,
            milliseconds: milliseconds)
        return (asked, answered, event)
    }
}

enum ConversationFailure: String, Failure {
    case full = "conversation-full"

    var kind: FailureKind { .conflict }
    var detail: String? { "A conversation has at most \(Conversation.maximumMessages) messages: start a new one." }
}

/// What a provider answered.
struct ChatAnswer: Sendable, Equatable {
    let content: String
    let citations: [Citation]
    let usage: TokenUsage
    let provider: String
    let model: String
}
