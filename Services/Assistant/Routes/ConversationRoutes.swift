import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

struct ConversationQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
}

struct FeedbackRequest: Decodable, Sendable {
    let conversationId: ConversationID
    let messageId: MessageID
    let rating: Rating
    let comment: ShortText?
}

/// A person's own conversations: another member of the same organization is told that there is no such object.
struct ConversationRoutes {
    let database: Database

    var endpoints: Endpoints {
        Endpoints("ai") {
            Endpoint.get("conversations", "List my conversations, the newest first", may: "ai:read", list)
            Endpoint.get("conversations/:id", "Read one of my conversations with its messages", may: "ai:read", read)
            Endpoint.delete("conversations/:id", "Delete one of my conversations", may: "ai:write", delete)
            Endpoint.post("feedback", "Rate an answer from 1 to 5; a second rating replaces the first", may: "ai:write", feedback)
        }
    }

    func list(_ request: CallerRequest, _ query: ConversationQuery) async throws -> Page<ConversationView> {
        let user = try request.user()
        let limit = query.limit ?? .standard
        if let cursor = query.cursor, cursor.timeAndID == nil {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        let conversations = try await database.query(
            ConversationStore.list(of: user, after: query.cursor?.timeAndID, limit: limit.value + 1), as: request.caller)
        return Page(conversations.map(ConversationView.init), limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }

    func read(_ request: CallerRequest) async throws -> ConversationDetail {
        let user = try request.user()
        let id = try request.path("id", as: ConversationID.self)
        guard let conversation = try await database.first(ConversationStore.find(id, of: user), as: request.caller) else {
            throw ResourceFailure.notFound
        }
        return ConversationDetail(conversation, try await database.query(ConversationStore.messages(of: id), as: request.caller))
    }

    func delete(_ request: CallerRequest) async throws -> NoContent {
        let user = try request.user()
        let id = try request.path("id", as: ConversationID.self)
        try await database.transaction(as: request.caller) { tx in
            let store = ConversationStore(tx: tx)
            try request.requireMatch(EntityTag(updatedAt: try store.lock(id, of: user).updatedAt))
            try store.delete(id)
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record("assistant.conversation.delete", "conversation", id.description)
        }
        return NoContent()
    }

    func feedback(_ request: CallerRequest, _ body: FeedbackRequest) async throws -> FeedbackView {
        let user = try request.user()
        let feedback = Feedback(rating: body.rating.value, comment: body.comment?.rawValue)
        let (id, message) = (body.conversationId, body.messageId)
        try await database.transaction(as: request.caller) { tx in
            let store = ConversationStore(tx: tx)
            var conversation = try store.lock(id, of: user)
            guard let role = try store.role(of: message, in: id) else { throw ResourceFailure.notFound }
            guard role == .assistant else {
                throw ValidationFailure("/messageId", "not-an-answer", "must be a message of the assistant")
            }
            try store.save(feedback, on: message)
            conversation.touch(at: tx.now)
            try store.save(conversation)
            try Outbox(tx).append(
                FeedbackGiven(conversationID: id, messageID: message, rating: feedback.rating, comment: feedback.comment))
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record("assistant.feedback.give", "message", message.description, changed: ["rating": .integer(feedback.rating)])
        }
        return FeedbackView(conversationId: id, messageId: message, rating: feedback.rating, comment: feedback.comment)
    }
}
