import ContentService
import Contracts
import Foundation
import TestKit
import Testing

@Suite("Content and its tenants")
struct TenancyTests {
    @Test("another organization sees and touches nothing, and has the same slugs to itself")
    func isolation() async throws {
        let room = try await Newsroom.open()
        let other = try await Newsroom.open()
        let article = try await room.publish(try await room.write("Ours", ["slug": "shared"]))
        #expect(try await other.editor.get(room.path(article)).status == 404)
        #expect(try await other.editor.get("\(Newsroom.path)/shared").status == 404)
        #expect(try await other.editor.put(room.path(article), ["title": "Theirs", "content": ""]).status == 404)
        #expect(try await other.editor.patch(room.path(article), ["title": "Theirs"]).status == 404)
        #expect(try await other.editor.post(room.path(article, "/unpublish")).status == 404)
        #expect(try await other.editor.delete(room.path(article)).status == 404)
        #expect(try await other.editor.get(room.path(article, "/revisions")).status == 404)
        #expect(try await other.titles(other.editor).isEmpty)
        _ = try await room.editor.patch(room.path(article), ["excerpt": "Changed"])
        #expect(try await room.editor.get(room.path(article, "/revisions/2")).status == 200)
        #expect(try await other.editor.get(room.path(article, "/revisions/2")).status == 404)
        #expect(try await other.write("Theirs", ["slug": "shared"]).status == 201)
        #expect(try await room.editor.get("\(Newsroom.path)/shared")["id"] == article["id"])
    }

    @Test("every endpoint refuses nobody, the powerless and the foreign")
    func sweep() async throws {
        let room = try await Newsroom.open()
        let article = try await room.publish(try await room.write("Swept"))
        try await EndpointSweep.check(
            room.host, objects: ["idOrSlug": article["id"].string ?? "", "version": "987654321"],
            bodies: ["PUT /api/v1/content/articles/{idOrSlug}": ["title": "Theirs", "content": ""]])
        #expect(try await room.editor.get(room.path(article))["title"] == "Swept")
    }
}
