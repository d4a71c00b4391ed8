import Contracts
import Foundation
import NIOHTTP1
import Postgres
import TestKit
import Testing

@testable import AssistantService

@Suite("Conversations")
struct ConversationTests {
    @Test("A conversation is listed and read with all that was said, in order")
    func kept() async throws {
        let fixture = try await AssistantFixture()
        try await fixture.publish()
        let first = try await fixture.ask("What does the engine weave?")
        let id = try #require(first["conversationId"].string)
        _ = try await fixture.ask("What is the mill?", ["conversationId": .string(id)])
        let listed = try await fixture.api.get("/api/v1/ai/conversations")
        #expect(listed["data"].array.count == 1)
        #expect(listed["data"][0]["id"].string == id)
        #expect(listed["data"][0]["title"].string == "What does the engine weave?")
        #expect(listed["data"][0]["messageCount"].int == 4)
        let read = try await fixture.api.get("/api/v1/ai/conversations/\(id)")
        let messages = read["messages"].array
        #expect(messages.map { $0["role"].string } == ["user", "assistant", "user", "assistant"])
        #expect(messages[0]["content"].string == "What does the engine weave?")
        #expect(messages[1]["content"] == first["message"]["content"])
        #expect(messages[1]["citations"] == first["message"]["citations"])
        #expect(messages[2]["content"].string == "What is the mill?")
    }

    @Test("Another member of the same organization, even its owner, is told that there is no such conversation")
    func personal() async throws {
        let fixture = try await AssistantFixture()
        let mine = try await fixture.ask("Who?")
        let id = try #require(mine["conversationId"].string)
        let feedback: JSONValue = ["conversationId": mine["conversationId"], "messageId": mine["message"]["id"], "rating": 5]
        for person in [fixture.tenant.owner, fixture.tenant.editor, TestTenant().owner] {
            let other = try await fixture.host.client(person)
            #expect(try await other.get("/api/v1/ai/conversations/\(id)").status == 404)
            #expect(try await other.delete("/api/v1/ai/conversations/\(id)").status == 404)
            #expect(try await other.post("/api/v1/ai/chat", ["message": "Me too", "conversationId": mine["conversationId"]]).status == 404)
            #expect(try await other.post("/api/v1/ai/feedback", feedback).status == 404)
            #expect(try await other.get("/api/v1/ai/conversations")["data"].array.isEmpty)
        }
        #expect(try await fixture.api.get("/api/v1/ai/conversations/\(id)")["messageCount"].int == 2)
    }

    @Test("Deleting takes all of it away, and is audited")
    func deleted() async throws {
        let fixture = try await AssistantFixture()
        let asked = try await fixture.ask("Who?")
        let id = try #require(asked["conversationId"].string)
        let rated = try await fixture.api.post(
            "/api/v1/ai/feedback", ["conversationId": asked["conversationId"], "messageId": asked["message"]["id"], "rating": 1])
        #expect(rated.status == 200)
        let tag = try #require(try await fixture.api.get("/api/v1/ai/conversations/\(id)").headers.first(name: "etag"))
        #expect(try await fixture.api.get("/api/v1/ai/conversations/\(id)", headers: ["if-none-match": tag]).status == 304)
        _ = try await fixture.ask("Once more?", ["conversationId": .string(id)])
        #expect(try await fixture.api.delete("/api/v1/ai/conversations/\(id)", headers: ["if-match": tag]).status == 412)
        #expect(try await fixture.api.delete("/api/v1/ai/conversations/\(id)").status == 204)
        #expect(try await fixture.api.get("/api/v1/ai/conversations/\(id)").status == 404)
        #expect(try await fixture.api.delete("/api/v1/ai/conversations/\(id)").status == 404)
        #expect(try await fixture.ask("Still there?", ["conversationId": .string(id)]).status == 404)
        #expect(try await fixture.host.outbox(fixture.tenant.id).last?.type == AuditEntryRecorded.type)
        let left = try await fixture.host.database.first(
            Query<Int>("SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM feedback) AS count", column: "count"),
            as: fixture.tenant.user.caller)
        #expect(left == 0)
    }

    @Test("Conversations come page by page, the newest first, none twice while new ones begin")
    func pages() async throws {
        let fixture = try await AssistantFixture()
        var expected: [String] = []
        for number in 0..<5 { expected.append(try #require(try await fixture.ask("Question \(number)?")["conversationId"].string)) }
        var seen: [String] = []
        var path = "/api/v1/ai/conversations?limit=2"
        while true {
            let page = try await fixture.api.get(path)
            seen += page["data"].array.compactMap { $0["id"].string }
            guard let next = page["nextCursor"].string else { break }
            _ = try await fixture.ask("In between?")
            path = "/api/v1/ai/conversations?limit=2&cursor=\(next)"
        }
        #expect(seen == expected.reversed())
        #expect(try await fixture.api.get("/api/v1/ai/conversations?limit=101&q=x").badFields.sorted() == ["?limit", "?q"])
        #expect(try await fixture.api.get("/api/v1/ai/conversations?cursor=W10").badFields == ["?cursor"])
    }

    @Test("An answer is rated from 1 to 5; a second rating replaces the first")
    func feedback() async throws {
        let fixture = try await AssistantFixture()
        let asked = try await fixture.ask("Who?")
        let about: [String: JSONValue] = ["conversationId": asked["conversationId"], "messageId": asked["message"]["id"]]
        func rate(_ more: [String: JSONValue]) async throws -> TestResponse {
            try await fixture.api.post("/api/v1/ai/feedback", .object(about.merging(more) { $1 }))
        }
        let first = try await rate(["rating": 2, "comment": "Too short."])
        #expect(first.status == 200)
        #expect(first["rating"].int == 2)
        #expect(try await rate(["rating": 5]).status == 200)
        let read = try await fixture.api.get("/api/v1/ai/conversations/\(try #require(asked["conversationId"].string))")
        #expect(read["messages"][1]["rating"].int == 5)
        #expect(read["messages"][1]["comment"].isNull)
        let told = try await fixture.host.outbox(fixture.tenant.id).filter { $0.type == FeedbackGiven.type }
        #expect(told.map { $0.payload["rating"].int } == [2, 5])
        for rating in [0, 6, -1] as [Int] {
            let bad = try await rate(["rating": .integer(rating)])
            #expect(bad.status == 400)
            #expect(bad.badFields == ["/rating"])
        }
        #expect(try await rate(["rating": "5"]).badFields == ["/rating"])
        #expect(try await rate(["rating": 5, "stars": 5]).badFields == ["/stars"])
        #expect(try await rate(["rating": 5, "comment": .string(String(repeating: "x", count: 5001))]).badFields == ["/comment"])
        #expect(try await rate(["rating": 5, "messageId": .string(MessageID.make().description)]).status == 404)
        let question = try await rate(["rating": 5, "messageId": read["messages"][0]["id"]])
        #expect(question.status == 400)
        #expect(question.badFields == ["/messageId"])
    }

    @Test("Two questions at once in one conversation are both kept, each with its answer after it")
    func atOnce() async throws {
        let fixture = try await AssistantFixture()
        let id = try #require(try await fixture.ask("First?")["conversationId"].string)
        try await withThrowingTaskGroup(of: Int.self) { group in
            for number in 0..<6 { group.addTask { try await fixture.ask("Question \(number)?", ["conversationId": .string(id)]).status } }
            for try await status in group { #expect(status == 200) }
        }
        let messages = try await fixture.api.get("/api/v1/ai/conversations/\(id)")["messages"].array
        #expect(messages.count == 14)
        #expect(messages.enumerated().allSatisfy { $1["role"].string == ($0.isMultiple(of: 2) ? "user" : "assistant") })
    }

    @Test("Every endpoint refuses nobody, the powerless, strangers and forged tokens")
    func sweep() async throws {
        let fixture = try await AssistantFixture()
        let asked = try await fixture.ask("Who?")
        try await EndpointSweep.check(
            fixture.host, objects: ["id": try #require(asked["conversationId"].string)])
    }

    @Test("A viewer reads conversations but does not ask")
    func viewer() async throws {
        let fixture = try await AssistantFixture()
        let viewer = try await fixture.host.client(fixture.tenant.viewer)
        #expect(try await viewer.get("/api/v1/ai/conversations").status == 200)
        #expect(try await viewer.post("/api/v1/ai/chat", ["message": "Who?"]).status == 403)
    }
}
