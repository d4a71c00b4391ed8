import Contracts
import Foundation
import Postgres

extension Message.Role: SQLDecodable {}

/// What a person thought of an answer.
struct Feedback: Sendable, Equatable {
    let rating: Int
    let comment: String?
}

/// The rows of `conversations`, `messages` and `feedback`. Each reading names the person: an organization is not enough.
struct ConversationStore {
    let tx: Transaction

    // MARK: - Statements on their own

    static func find(_ id: ConversationID, of user: UserID) -> Query<Conversation> {
        Query(
            """
            SELECT id, user_id, title, messages, created_at, updated_at FROM conversations
            WHERE id = \(id) AND user_id = \(user)
            """, decode)
    }

    /// One page, the newest first.
    static func list(of user: UserID, after: (Date, UUID)?, limit: Int) -> Query<Conversation> {
        let start = after.map { "AND (created_at, id) < (\($0.0), \($0.1))" as SQL } ?? .empty
        return Query(
            """
            SELECT id, user_id, title, messages, created_at, updated_at FROM conversations
            WHERE user_id = \(user) \(fragment: start) ORDER BY created_at DESC, id DESC LIMIT \(limit)
            """, decode)
    }

    static func messages(of id: ConversationID) -> Query<(Message, Feedback?)> {
        Query(
            """
            SELECT m.id, m.conversation_id, m.position, m.role, m.content, m.citations, m.provider, m.model, m.prompt_tokens,
                   m.completion_tokens, m.created_at, f.rating, f.comment
            FROM messages m LEFT JOIN feedback f ON f.tenant_id = m.tenant_id AND f.message_id = m.id
            WHERE m.conversation_id = \(id) ORDER BY m.position
            """
        ) { row in
            let rating: Int? = try row("rating")
            let comment: String? = try row("comment")
            return (try message(row), rating.map { Feedback(rating: $0, comment: comment) })
        }
    }

    /// The last questions of a conversation, the oldest first.
    static func questions(of id: ConversationID, last count: Int) -> Query<String> {
        Query(
            """
            SELECT content FROM (
                SELECT content, position FROM messages WHERE conversation_id = \(id) AND role = 'user' ORDER BY position DESC LIMIT \(count)
            ) AS recent ORDER BY position
            """, column: "content")
    }

    // MARK: - In a transaction

    func lock(_ id: ConversationID, of user: UserID) throws -> Conversation {
        let query = Query<Conversation>(
            """
            SELECT id, user_id, title, messages, created_at, updated_at FROM conversations
            WHERE id = \(id) AND user_id = \(user) FOR UPDATE
            """, Self.decode)
        guard let conversation = try tx.first(query) else { throw ResourceFailure.notFound }
        return conversation
    }

    func insert(_ conversation: Conversation) throws {
        try tx.execute(
            """
            INSERT INTO conversations (tenant_id, id, user_id, title, messages, created_at, updated_at)
            VALUES (\(tx.caller.tenant), \(conversation.id), \(conversation.user), \(conversation.title), \(conversation.messages),
                    \(conversation.createdAt), \(conversation.updatedAt))
            """)
    }

    func save(_ conversation: Conversation) throws {
        try tx.execute(
            """
            UPDATE conversations SET messages = \(conversation.messages), updated_at = \(conversation.updatedAt)
            WHERE id = \(conversation.id)
            """)
    }

    func insert(_ message: Message) throws {
        try tx.execute(
            """
            INSERT INTO messages (tenant_id, id, conversation_id, position, role, content, citations, provider, model, prompt_tokens,
                                  completion_tokens, created_at)
            VALUES (\(tx.caller.tenant), \(message.id), \(message.conversation), \(message.position), \(message.role.rawValue),
                    \(message.content), \(JSONB(message.citations)), \(message.provider), \(message.model),
                    \(message.usage.promptTokens), \(message.usage.completionTokens), \(message.createdAt))
            """)
    }

    /// Its messages and their ratings go with it. Lock it first, as its owner.
    func delete(_ id: ConversationID) throws { try tx.execute("DELETE FROM conversations WHERE id = \(id)") }

    /// Who said a message, when it is in this conversation.
    func role(of message: MessageID, in conversation: ConversationID) throws -> Message.Role? {
        try tx.first(Query("SELECT role FROM messages WHERE id = \(message) AND conversation_id = \(conversation)", column: "role"))
    }

    func save(_ feedback: Feedback, on message: MessageID) throws {
        try tx.execute(
            """
            INSERT INTO feedback (tenant_id, message_id, rating, comment, created_at)
            VALUES (\(tx.caller.tenant), \(message), \(feedback.rating), \(feedback.comment), \(tx.now))
            ON CONFLICT (tenant_id, message_id) DO UPDATE
            SET rating = excluded.rating, comment = excluded.comment, created_at = excluded.created_at
            """)
    }

    // MARK: - Rows

    private static func decode(_ row: Row) throws -> Conversation {
        Conversation(
            id: try row("id"), user: try row("user_id"), title: try row("title"), messages: try row("messages"),
            createdAt: try row("created_at"), updatedAt: try row("updated_at"))
    }

    private static func message(_ row: Row) throws -> Message {
        let citations: JSONB<[Citation]> = try row("citations")
        return Message(
            id: try row("id"), conversation: try row("conversation_id"), position: try row("position"), role: try row("role"),
            content: try row("content"), citations: citations.value, provider: try row("provider"), model: try row("model"),
            usage: TokenUsage(promptTokens: try row("prompt_tokens"), completionTokens: try row("completion_tokens")),
            createdAt: try row("created_at"))
    }
}
