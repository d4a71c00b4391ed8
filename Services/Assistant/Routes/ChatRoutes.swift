import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

struct ChatRequest: Decodable, Sendable {
    let conversationId: ConversationID?
    let message: Question
    let model: String?
    /// Whether the answer is to come as server-sent events.
    let stream: Bool?
}

struct ChatRoutes {
    /// Earlier questions that a provider is told.
    static let rememberedQuestions = 5

    let database: Database
    let providers: ChatProviders
    let now: @Sendable () -> Date
    let logger: Logger

    var endpoints: Endpoints {
        Endpoints("ai") {
            Endpoint.post("chat", "Ask the assistant; with stream: true the answer comes as server-sent events", may: "ai:write", chat)
        }
    }

    func chat(_ request: CallerRequest, _ body: ChatRequest) async throws -> Either<ChatView> {
        let user = try request.user()
        let (provider, model) = try providers.choose(body.model)
        var earlier: [String] = []
        if let id = body.conversationId {
            guard let conversation = try await database.first(ConversationStore.find(id, of: user), as: request.caller) else {
                throw ResourceFailure.notFound
            }
            try conversation.checkRoom()
            earlier = try await database.query(ConversationStore.questions(of: id, last: Self.rememberedQuestions), as: request.caller)
        }
        let exchange = Exchange(
            database: database, provider: provider, prompt: ChatPrompt(earlier: earlier, question: body.message.rawValue, model: model),
            question: body.message, conversation: body.conversationId, user: user, request: request, now: now)
        guard body.stream == true else { return Either(try await exchange.run { _ in }) }
        return Either(stream: EventStream(exchange: exchange, request: request.http, logger: logger).response())
    }
}

/// One question and its answer. They are kept together, when the answer is complete, or not at all.
struct Exchange: Sendable {
    let database: Database
    let provider: any ChatProvider
    let prompt: ChatPrompt
    let question: Question
    /// Nil for a new one.
    let conversation: ConversationID?
    let user: UserID
    let request: CallerRequest
    let now: @Sendable () -> Date

    private var caller: Caller { request.caller }

    func run(_ write: (String) async throws -> Void) async throws -> ChatView {
        let start = ContinuousClock.now
        let answer = try await answer(write)
        let took = start.duration(to: .now)
        let milliseconds = Int(took.components.seconds * 1000 + took.components.attoseconds / 1_000_000_000_000_000)
        return try await keep(answer, took: milliseconds)
    }

    private func answer(_ write: (String) async throws -> Void) async throws -> ChatAnswer {
        do {
            return try await provider.answer(prompt, as: caller, write)
        } catch let failure as any Failure {
            throw failure
        } catch let cancelled as CancellationError {
            throw cancelled
        } catch {
            throw DependencyFailure("assistant provider \(provider.name)", reason: "\(type(of: error))")
        }
    }

    private func keep(_ answer: ChatAnswer, took milliseconds: Int) async throws -> ChatView {
        let now = now()
        let message = MessageID.make(at: now)
        let (question, known, user, request) = (question, conversation, user, request.http)
        let id = try await database.transaction(as: caller) { tx in
            let store = ConversationStore(tx: tx)
            let outbox = Outbox(tx)
            var conversation: Conversation
            if let known {
                conversation = try store.lock(known, of: user)
            } else {
                let started: ConversationStarted
                (conversation, started) = Conversation.start(by: user, about: question, at: now)
                try store.insert(conversation)
                try outbox.append(started)
            }
            let (asked, answered, event) = try conversation.add(question, answer, id: message, took: milliseconds, at: now)
            try store.save(conversation)
            try store.insert(asked)
            try store.insert(answered)
            try outbox.append(event)
            // That something was asked, of which conversation; what was said is the person's own.
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID).record(
                known == nil ? "assistant.conversation.start" : "assistant.conversation.continue", "conversation",
                conversation.id.description)
            return conversation.id
        }
        Counter(
            label: "trionex_assistant_answers_total",
            dimensions: [("provider", provider.name), ("cited", answer.citations.isEmpty ? "no" : "yes")]
        ).increment()
        return ChatView(
            conversationId: id,
            message: .init(id: message, role: .assistant, content: answer.content, citations: answer.citations), usage: answer.usage)
    }
}
