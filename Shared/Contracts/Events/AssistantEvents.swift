import Foundation

/// A person began to talk with the assistant.
package struct ConversationStarted: Event {
    package static let topic = Topic.assistant
    package static let name = "conversation.started"
    package static let summary = "A person began to talk with the assistant."

    package let conversationID: ConversationID
    package let userID: UserID

    package var aggregateID: String { conversationID.description }

    package init(conversationID: ConversationID, userID: UserID) {
        self.conversationID = conversationID
        self.userID = userID
    }

    package static let example = ConversationStarted(
        conversationID: ConversationID(.example(6)),
        userID: UserID(.example(1)))
}

/// The assistant answered.
package struct MessageAnswered: Event {
    package static let topic = Topic.assistant
    package static let name = "message.answered"
    package static let summary = "The assistant answered."

    package let conversationID: ConversationID
    package let messageID: MessageID
    package let userID: UserID
    package let provider: String
    package let model: String
    package let promptTokens: Int
    package let completionTokens: Int
    package let citations: Int
    package let milliseconds: Int

    package var aggregateID: String { conversationID.description }

    package init(
        conversationID: ConversationID, messageID: MessageID, userID: UserID, provider: String, model: String,
        promptTokens: Int, completionTokens: Int, citations: Int, milliseconds: Int
    ) {
        self.conversationID = conversationID
        self.messageID = messageID
        self.userID = userID
        self.provider = provider
        self.model = model
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        self.citations = citations
        self.milliseconds = milliseconds
    }

    package static let example = MessageAnswered(
        conversationID: ConversationID(.example(6)), messageID: MessageID(.example(7)), userID: UserID(.example(1)),
        provider: "retrieval", model: "retrieval-1", promptTokens: 3,
        completionTokens: 3, citations: 3, milliseconds: 3)
}

/// A person rated an answer from 1 to 5.
package struct FeedbackGiven: Event {
    package static let topic = Topic.assistant
    package static let name = "feedback.given"
    package static let summary = "A person rated an answer from 1 to 5."

    package let conversationID: ConversationID
    package let messageID: MessageID
    package let rating: Int
    package let comment: String?

    package var aggregateID: String { conversationID.description }

    package init(conversationID: ConversationID, messageID: MessageID, rating: Int, comment: String?) {
        self.conversationID = conversationID
        self.messageID = messageID
        self.rating = rating
        self.comment = comment
    }

    package static let example = FeedbackGiven(
        conversationID: ConversationID(.example(6)), messageID: MessageID(.example(7)),
        rating: 3, comment: "Clear and to the point.")
}
