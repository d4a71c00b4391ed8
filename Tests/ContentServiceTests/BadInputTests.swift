import Contracts
import Foundation
import NIOHTTP1
import TestKit
import Testing

@Suite("Bad input to content")
struct BadInputTests {
    @Test("every bad field is named at once, unknown ones too")
    func everyField() async throws {
        let room = try await Newsroom.open()
        let response = try await room.editor.post(
            Newsroom.path,
            [
                "title": "", "slug": "Not A Slug", "content": 7, "category": .string(String(repeating: "x", count: 101)),
                "tags": ["fine", "", 3], "featured": "yes", "canonicalUrl": "javascript:alert(1)", "ogImage": "/relative",
                "authorId": "someone", "status": "published",
            ])
        #expect(response.status == 400)
        #expect(response.header("content-type") == "application/problem+json")
        #expect(
            Set(response.badFields) == [
                "/title", "/slug", "/content", "/category", "/tags/1", "/tags/2", "/featured", "/canonicalUrl", "/ogImage", "/authorId",
                "/status",
            ])
        #expect(try await room.titles(room.editor).isEmpty)
    }

    @Test("what is missing is named")
    func missing() async throws {
        let room = try await Newsroom.open()
        #expect(Set(try await room.editor.post(Newsroom.path, [:]).badFields) == ["/title", "/content"])
    }

    @Test(
        "limits are limits: titles, tags, content",
        arguments: [
            TooMuch("title", "t", times: 501), TooMuch("excerpt", "e", times: 5_001), TooMuch("content", "x", times: 400_001),
            TooMuch("content", "&", times: 100_000), TooMuch("content", "\n\"", times: 110_000), TooMuch("content", "<div>", times: 5_000),
            TooMuch("content", "\u{0}", times: 1), TooMuch("title", "a\u{0}b", times: 1),
        ])
    func limits(_ value: TooMuch) async throws {
        let room = try await Newsroom.open()
        let response = try await room.write("Title", [value.field: .string(String(repeating: value.unit, count: value.times))])
        #expect(response.status == 400)
        #expect(response.badFields == ["/\(value.field)"])
    }

    struct TooMuch: Sendable, CustomTestStringConvertible {
        let field: String
        let unit: String
        let times: Int
        var testDescription: String { "\(times) times \(unit.debugDescription) as \(field)" }
        init(_ field: String, _ unit: String, times: Int) {
            self.field = field
            self.unit = unit
            self.times = times
        }
    }

    @Test("an article has at most 30 tags")
    func tags() async throws {
        let room = try await Newsroom.open()
        let tags = (1...31).map { JSONValue.string("tag \($0)") }
        #expect(try await room.write("Title", ["tags": .array(tags)]).badFields == ["/tags"])
        #expect(try await room.write("Title", ["tags": .array(Array(tags.prefix(30)))]).status == 201)
    }

    @Test("the largest content passes, through the event too")
    func largest() async throws {
        let room = try await Newsroom.open()
        let content = "<p>" + String(repeating: "word ", count: 79_990) + "</p>"
        let article = try await room.write("Long", ["content": .string(content)])
        #expect(article.status == 201)
        #expect(try await room.publish(article).status == 200)
    }

    @Test("bytes that are no JSON, no UTF-8 or another media type are refused as such")
    func bytes() async throws {
        let room = try await Newsroom.open()
        let json = ["content-type": "application/json"]
        let broken = try await room.editor.send(.POST, Newsroom.path, bytes: Data(#"{"title": "x", "#.utf8), headers: json)
        #expect(broken.status == 400)
        #expect(broken.problem == "malformed-json")
        let invalid = Data(#"{"content": "", "title": ""#.utf8) + Data([0xC3, 0x28, 0xFF]) + Data(#""}"#.utf8)
        let badText = try await room.editor.send(.POST, Newsroom.path, bytes: invalid, headers: json)
        #expect(badText.status == 400)
        let wrongType = try await room.editor.send(
            .POST, Newsroom.path, bytes: Data("title=x".utf8), headers: ["content-type": "text/plain"])
        #expect(wrongType.status == 415)
        let large = Data(#"{"title": "x", "content": ""#.utf8) + Data(repeating: UInt8(ascii: "x"), count: 2_100_000) + Data(#""}"#.utf8)
        #expect(try await room.editor.send(.POST, Newsroom.path, bytes: large, headers: json).status == 413)
        let notObject = try await room.editor.send(.POST, Newsroom.path, bytes: Data("[1]".utf8), headers: json)
        #expect(notObject.status == 400)
        #expect(try await room.titles(room.editor).isEmpty)
    }
}
