import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import AssistantService

@Suite("Asking")
struct ChatTests {
    @Test("A question is answered from a published article, with a citation, and says what answers")
    func answered() async throws {
        let fixture = try await AssistantFixture()
        let article = try await fixture.publish()
        let answer = try await fixture.ask("How many numbers does the store hold?")
        #expect(answer.status == 200)
        let content = try #require(answer["message"]["content"].string)
        #expect(content.contains("Its store holds one thousand numbers of forty digits."))
        #expect(content.contains("[1]"))
        #expect(content.contains("extractive") && content.contains("retrieval-1") && content.contains("no language model"))
        #expect(!content.contains("stolen") && !content.contains("<"))
        #expect(answer["message"]["role"].string == "assistant")
        let citations = answer["message"]["citations"].array
        #expect(citations.count == 1)
        let citation = try #require(citations.first)
        #expect(citation["type"].string == "article")
        #expect(citation["id"].string == article.description)
        #expect(citation["title"].string == "Notes on the engine")
        #expect(citation["snippet"].string?.contains("one thousand numbers") == true)
        #expect(citation["url"].string == "/api/v1/content/articles/notes-\(article)")
        let usage = answer["usage"]
        #expect(usage["promptTokens"].int == TokenUsage.estimate("How many numbers does the store hold?"))
        #expect(usage["completionTokens"].int == TokenUsage.estimate(content))
        #expect(usage["totalTokens"].int == (usage["promptTokens"].int ?? 0) + (usage["completionTokens"].int ?? 0))
    }

    @Test("When nothing published fits, it says so and cites nothing")
    func nothing() async throws {
        let fixture = try await AssistantFixture()
        try await fixture.publish()
        for question in ["Where can bicycles be rented?", "the of and", "???", "' | ! & <-> :* \\", "https://example.org/?a=1&b=2 & c"] {
            let answer = try await fixture.ask(question)
            #expect(answer.status == 200, "\(question)")
            #expect(answer["message"]["content"].string?.hasPrefix("Nothing that your organization has published") == true, "\(question)")
            #expect(answer["message"]["citations"].array.isEmpty)
        }
    }

    @Test("Another organization's articles are never quoted")
    func foreign() async throws {
        let fixture = try await AssistantFixture()
        try await fixture.publish("<p>The secret recipe needs saffron.</p>", title: "Secret recipe", in: TestTenant().id)
        let answer = try await fixture.ask("What does the secret recipe need?")
        #expect(answer["message"]["citations"].array.isEmpty)
        #expect(!answer.text.contains("saffron"))
    }

    @Test("Unpublished, deleted and changed articles are quoted as they are now, whatever order events come in")
    func versions() async throws {
        let fixture = try await AssistantFixture()
        let question = "What colour are the flamingos?"
        func colours() async throws -> String { try await fixture.ask(question)["message"]["content"].string ?? "" }
        let id = try await fixture.publish("<p>Flamingos have the colour pink.</p>", title: "Birds", version: 2)
        #expect(try await colours().contains("pink"))
        try await fixture.host.publish(
            ArticleUpdated(
                articleID: id, slug: "birds", title: "Birds", content: "<p>Flamingos have the colour red.</p>", excerpt: nil, category: nil,
                tags: [], authorID: nil, version: 3, published: true), for: fixture.tenant.id)
        try await fixture.host.eventually("the change is known") { try await fixture.knownVersion(of: id) == 3 }
        #expect(try await colours().contains("red"))
        #expect(try await !colours().contains("pink"))
        try await fixture.host.publish(ArticleUnpublished(articleID: id, version: 4), for: fixture.tenant.id)
        try await fixture.host.eventually("it is withdrawn") { try await fixture.knownVersion(of: id) == 4 }
        #expect(try await !colours().contains("red"))
        // An older event that comes late changes nothing; a marker after it shows that it has been read.
        let late = ArticlePublished(
            articleID: id, slug: "birds", title: "Birds", content: "<p>Flamingos have the colour pink.</p>", excerpt: nil, category: nil,
            tags: [],
            authorID: nil, version: 2, publishedAt: Date())
        try await fixture.host.publish(late, for: fixture.tenant.id, eventID: .make())
        try await fixture.host.publish(ArticleDeleted(articleID: id, version: 5), for: fixture.tenant.id)
        try await fixture.host.eventually("it is deleted") { try await fixture.knownVersion(of: id) == 5 }
        #expect(try await !colours().contains("pink"))
        #expect(try await fixture.host.database.query(KnowledgeStore.search("flamingos"), as: fixture.tenant.user.caller).isEmpty)
    }

    @Test("A draft that changes is not learnt")
    func draft() async throws {
        let fixture = try await AssistantFixture()
        let id = ArticleID.make()
        try await fixture.host.publish(
            ArticleUpdated(
                articleID: id, slug: "draft", title: "Draft", content: "<p>Walruses whistle.</p>", excerpt: nil, category: nil, tags: [],
                authorID: nil, version: 1, published: false), for: fixture.tenant.id)
        try await fixture.host.eventually("the draft was heard of") { try await fixture.knownVersion(of: id) == 1 }
        #expect(try await fixture.ask("Do walruses whistle?")["message"]["citations"].array.isEmpty)
    }

    @Test("Of several articles the best passages are quoted, each article cited once")
    func several() async throws {
        let fixture = try await AssistantFixture()
        let about = try await fixture.publish(
            "<p>Uploads are limited to ten a minute.</p><p>Signing in is limited to five in fifteen minutes.</p>", title: "Limits")
        try await fixture.publish("<p>A minute has sixty seconds.</p>", title: "Clocks")
        let answer = try await fixture.ask("How many uploads a minute are allowed, and what are the limits?")
        let citations = answer["message"]["citations"].array
        #expect(citations.first?["id"].string == about.description)
        #expect(Set(citations.compactMap { $0["id"].string }).count == citations.count)
        #expect(answer["message"]["content"].string?.contains("ten a minute. [1]") == true)
    }

    @Test("A follow-up that says too little alone is understood with the question before")
    func followUp() async throws {
        let fixture = try await AssistantFixture()
        try await fixture.publish()
        let first = try await fixture.ask("What does the Analytical Engine weave?")
        let second = try await fixture.ask("And why is that?", ["conversationId": first["conversationId"]])
        #expect(second["conversationId"] == first["conversationId"])
        #expect(second["message"]["content"].string?.contains("algebraic patterns") == true)
    }

    @Test("Bad fields are named, all at once")
    func invalid() async throws {
        let fixture = try await AssistantFixture()
        let bad = try await fixture.api.post(
            "/api/v1/ai/chat", ["message": "  ", "conversationId": "x", "stream": "yes", "temperature": 1, "model": 5])
        #expect(bad.status == 400)
        #expect(Set(bad.badFields) == ["/message", "/conversationId", "/stream", "/temperature", "/model"])
        #expect(try await fixture.api.post("/api/v1/ai/chat", [:]).badFields == ["/message"])
        let long = try await fixture.ask(String(repeating: "x", count: 5001))
        #expect(long.json["errors"][0]["code"].string == "too-long")
        #expect(try await fixture.ask(String(repeating: "x", count: 5000)).status == 200)
        #expect(try await fixture.ask("a\u{0}b").badFields == ["/message"])
        let model = try await fixture.ask("Who?", ["model": "gpt-9"])
        #expect(model.status == 400)
        #expect(model.badFields == ["/model"])
        #expect(model.json["errors"][0]["code"].string == "unknown-model")
        #expect(try await fixture.ask("Who?", ["model": "retrieval-1"]).status == 200)
        #expect(try await fixture.ask("Who?", ["conversationId": .string(ConversationID.make().description)]).status == 404)
    }

    @Test("Starting and answering are announced, without what was said")
    func events() async throws {
        let fixture = try await AssistantFixture()
        try await fixture.publish()
        let first = try await fixture.ask("What does the engine weave?")
        _ = try await fixture.ask("What is the mill?", ["conversationId": first["conversationId"]])
        let all = try await fixture.host.outbox(fixture.tenant.id)
        let told = all.filter { $0.type != AuditEntryRecorded.type }
        #expect(
            all.filter { $0.type == AuditEntryRecorded.type }.map { $0.payload["action"] }
                == ["assistant.conversation.start", "assistant.conversation.continue"])
        #expect(told.map(\.type) == [ConversationStarted.type, MessageAnswered.type, MessageAnswered.type])
        #expect(told[0].payload["userID"].string == fixture.tenant.user.id.description)
        #expect(told[1].payload["messageID"] == first["message"]["id"])
        #expect(told[1].payload["provider"].string == "retrieval")
        #expect(told[1].payload["citations"].int == 1)
        #expect(!all.contains { "\($0.payload)".contains("weave") })
    }
}
