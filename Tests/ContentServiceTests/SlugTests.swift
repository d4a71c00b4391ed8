import Contracts
import Foundation
import TestKit
import Testing

@testable import ContentService

@Suite("Slugs")
struct SlugTests {
    @Test("a slug is made from the title, and numbered when it is taken")
    func made() async throws {
        let room = try await Newsroom.open()
        #expect(try await room.write("Ünïcode, Cafés & more!")["slug"] == "unicode-cafes-more")
        #expect(try await room.write("Unicode cafes more")["slug"] == "unicode-cafes-more-2")
        #expect(try await room.write("Unicode: cafes more")["slug"] == "unicode-cafes-more-3")
        #expect(try await room.write("日本")["slug"] == "untitled")
        #expect(try await room.write("🦊")["slug"] == "untitled-2")
    }

    @Test("a slug that is given and taken answers 409")
    func taken() async throws {
        let room = try await Newsroom.open()
        let first = try await room.write("First", ["slug": "mine"])
        let refused = try await room.write("Second", ["slug": "mine"])
        #expect(refused.status == 409)
        #expect(refused.problem == "slug-taken")
        let second = try await room.write("Second", ["slug": "yours"])
        let moved = try await room.editor.patch(room.path(second), ["slug": "mine"])
        #expect(moved.status == 409)
        #expect(moved.problem == "slug-taken")
        #expect(try await room.editor.patch(room.path(first), ["slug": "mine", "title": "Still mine"]).status == 200)
        #expect(try await room.editor.get(room.path(second))["slug"] == "yours")
    }

    @Test("of many who take one slug at once, one gets it")
    func conflict() async throws {
        let room = try await Newsroom.open()
        let editor = room.editor
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<12 {
                group.addTask { try await editor.post(Newsroom.path, ["title": "Contested", "slug": "contested", "content": ""]).status }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.filter { $0 == 201 }.count == 1)
        #expect(statuses.filter { $0 == 409 }.count == 11)
    }

    @Test("of many who write under one title at once, all get a slug of their own")
    func sameTitle() async throws {
        let room = try await Newsroom.open()
        let editor = room.editor
        let slugs = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<5 {
                group.addTask { try await editor.post(Newsroom.path, ["title": "Popular", "content": ""])["slug"].string }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(Set(slugs.compactMap { $0 }).count == 5)
        #expect(slugs.compactMap { $0 }.contains("popular"))
    }

    @Test("a slug never has the form of an id, by which articles are found first")
    func ids() async throws {
        let room = try await Newsroom.open()
        let id = "0197b1c0-0000-7000-8000-000000000004"
        #expect(try await room.write("Title", ["slug": .string(id)]).badFields == ["/slug"])
        let made = try await room.write(id)
        #expect(made["slug"].string == "article-\(id)")
        #expect(try await room.editor.patch(room.path(made), ["slug": .string(id)]).badFields == ["/slug"])
    }

    @Test("the choices begin with the title's own slug, go on by number, and end by chance")
    func choices() throws {
        var generator = SystemRandomNumberGenerator()
        let choices = Slug.choices(for: try Title("Some title"), using: &generator).map(\.rawValue)
        #expect(choices.prefix(3) == ["some-title", "some-title-2", "some-title-3"])
        #expect(choices.count == 108)
        #expect(Set(choices).count > 100)
        let long = Slug.choices(for: try Title(String(repeating: "word ", count: 99)), using: &generator)
        #expect(long.allSatisfy { Slug(rawValue: $0.rawValue) != nil })
    }
}
