import Contracts
import Foundation
import ServiceKit

/// The answer of `chat`.
struct ChatView: View {
    struct Answer: Codable, Sendable {
        let id: MessageID
        let role: Message.Role
        let content: String
        let citations: [Citation]
    }

    let conversationId: ConversationID
    let message: Answer
    /// Estimated from words where the provider counts no tokens, as the built-in one does not.
    let usage: TokenUsage
}

/// A conversation in a list.
struct ConversationView: View {
    let id: ConversationID
    let title: String
    let messageCount: Int
    let createdAt: Date
    let updatedAt: Date

    init(_ conversation: Conversation) {
        id = conversation.id
        title = conversation.title
        messageCount = conversation.messages
        createdAt = conversation.createdAt
        updatedAt = conversation.updatedAt
    }
}

extension EntityTag {
    /// A conversation changes with each answer and each rating, and says when.
    init(updatedAt: Date) { self.init(version: Int((updatedAt.timeIntervalSince1970 * 1_000_000).rounded())) }
}

/// A conversation with all its messages, the oldest first.
struct ConversationDetail: View {
    struct Entry: Codable, Sendable {
        let id: MessageID
        let role: Message.Role
        let content: String
        let citations: [Citation]
        let model: String?
        let rating: Int?
        let comment: String?
        let createdAt: Date
    }

    let id: ConversationID
    let title: String
    let messageCount: Int
    let createdAt: Date
    let updatedAt: Date
    let messages: [Entry]

    init(_ conversation: Conversation, _ messages: [(Message, Feedback?)]) {
        id = conversation.id
        title = conversation.title
        messageCount = conversation.messages
        createdAt = conversation.createdAt
        updatedAt = conversation.updatedAt
        self.messages = messages.map { message, feedback in
            Entry(
                id: message.id, role: message.role, content: message.content, citations: message.citations, model: message.model,
                rating: feedback?.rating, comment: feedback?.comment, createdAt: message.createdAt)
        }
    }

    var entityTag: EntityTag? { .init(updatedAt: updatedAt) }
}

struct FeedbackView: View {
    let conversationId: ConversationID
    let messageId: MessageID
    let rating: Int
    let comment: String?
}
