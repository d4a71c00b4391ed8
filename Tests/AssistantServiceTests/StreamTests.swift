import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import TestKit
import Testing

@testable import AssistantService

/// A provider that begins to answer and then fails.
private struct BrokenProvider: ChatProvider {
    let name = "broken"
    let models = ["broken-1", "broken-hard"]

    struct Unexpected: Error {}

    func answer(_ prompt: ChatPrompt, as caller: Caller, _ write: (String) async throws -> Void) async throws -> ChatAnswer {
        try await write("The answer is")
        if prompt.model == "broken-hard" { throw Unexpected() }
        throw DependencyFailure("model server", reason: "connection refused")
    }
}

private enum BrokenAssistant: Program {
    static let name = ServiceName.assistant
    static let port = 8084
    static let summary = "an assistant whose provider is away"
    static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        Assistant.assemble(house, providers: ChatProviders([BrokenProvider(), RetrievalProvider(database: house.database)]))
    }
}

@Suite("Streams and providers that fail")
struct StreamTests {
    private struct Sent: Equatable {
        let name: String
        let data: JSONValue
    }

    private func events(_ response: TestResponse) throws -> [Sent] {
        #expect(response.status == 200)
        #expect(response.headers.first(name: "content-type") == "text/event-stream")
        #expect(response.text.hasSuffix("\n\n"))
        return try response.text.components(separatedBy: "\n\n").dropLast().map { block in
            let lines = block.components(separatedBy: "\n")
            #expect(lines.count == 2)
            #expect(lines[0].hasPrefix("event: ") && lines[1].hasPrefix("data: "))
            return Sent(name: String(lines[0].dropFirst(7)), data: try JSON.decode(JSONValue.self, from: Data(lines[1].dropFirst(6).utf8)))
        }
    }

    @Test("A streamed answer comes in pieces that make up the whole, and ends with what would have come without streaming")
    func streamed() async throws {
        let fixture = try await AssistantFixture()
        try await fixture.publish()
        let sent = try events(try await fixture.ask("What does the engine weave?", ["stream": true]))
        #expect(sent.dropLast().allSatisfy { $0.name == "delta" })
        #expect(sent.count > 3)
        let done = try #require(sent.last)
        #expect(done.name == "done")
        #expect(sent.dropLast().compactMap { $0.data["text"].string }.joined() == done.data["message"]["content"].string)
        #expect(done.data["message"]["citations"].array.count == 1)
        let id = try #require(done.data["conversationId"].string)
        let kept = try await fixture.api.get("/api/v1/ai/conversations/\(id)")
        #expect(kept["messages"][1]["id"] == done.data["message"]["id"])
        #expect(kept["messages"][1]["content"] == done.data["message"]["content"])
    }

    @Test("Refusals that are known beforehand are plain problems, not streams")
    func refused() async throws {
        let fixture = try await AssistantFixture()
        #expect(try await fixture.ask("Who?", ["stream": true, "model": "none"]).status == 400)
        let foreign = try await fixture.ask("Who?", ["stream": true, "conversationId": .string(ConversationID.make().description)])
        #expect(foreign.status == 404)
    }

    @Test("A provider that fails answers 503, keeps nothing, and another model still answers", arguments: ["broken-1", "broken-hard"])
    func broken(_ model: String) async throws {
        let fixture = try await AssistantFixture(try await TestHost.start(BrokenAssistant.self, environment: ["TRIONEX_LOG_LEVEL": "info"]))
        let failed = try await fixture.ask("Who?", ["model": .string(model)])
        #expect(failed.status == 503)
        #expect(failed.problem == "dependency-unavailable")
        #expect(failed.headers.contains(name: "retry-after"))
        #expect(!failed.text.contains("refused"))
        let streamed = try events(try await fixture.ask("Who?", ["stream": true, "model": .string(model)]))
        #expect(streamed.map(\.name) == ["delta", "error"])
        #expect(streamed.last?.data["status"].int == 503)
        try await fixture.host.eventually("both failures are logged, each once") {
            fixture.host.log.lines.count { $0.contains("dependency-unavailable") && $0.contains("broken") == (model == "broken-hard") } == 2
        }
        #expect(try await fixture.api.get("/api/v1/ai/conversations")["data"].array.isEmpty)
        #expect(try await fixture.host.outbox(fixture.tenant.id).isEmpty)
        #expect(try await fixture.ask("Who?", ["model": "retrieval-1"]).status == 200)
    }

    @Test("A failure in a conversation leaves it as it was")
    func unchanged() async throws {
        let fixture = try await AssistantFixture(try await TestHost.start(BrokenAssistant.self, environment: ["TRIONEX_LOG_LEVEL": "info"]))
        let first = try await fixture.ask("Who?", ["model": "retrieval-1"])
        let id = try #require(first["conversationId"].string)
        let before = try await fixture.api.get("/api/v1/ai/conversations/\(id)")
        #expect(try await fixture.ask("And?", ["conversationId": .string(id)]).status == 503)
        #expect(try await fixture.api.get("/api/v1/ai/conversations/\(id)").json == before.json)
    }
}
