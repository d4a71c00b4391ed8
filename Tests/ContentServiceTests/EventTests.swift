import Contracts
import Foundation
import TestKit
import Testing

@Suite("What content announces")
struct EventTests {
    @Test("every change announces itself with a rising version, and says who made it")
    func announcements() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("First", ["tags": ["swift"], "category": "history"])
        _ = try await room.publish(article)
        _ = try await room.editor.patch(room.path(article), ["title": "Second"])
        _ = try await room.editor.post(room.path(article, "/unpublish"))
        _ = try await room.editor.delete(room.path(article))
        let announced = try await room.host.outbox(room.tenant.id)
        let events = announced.filter { !$0.type.contains("audit") }
        #expect(
            events.map(\.type) == [
                ArticleCreated.type, ArticlePublished.type, ArticleUpdated.type, ArticleUnpublished.type, ArticleDeleted.type,
            ])
        #expect(events.dropFirst().map { $0.payload["version"].int } == [2, 3, 4, 5])
        #expect(events[1].payload["content"] == "<p>The engine weaves patterns.</p>")
        #expect(events[1].payload["tags"] == ["swift"])
        #expect(events[2].payload["title"] == "Second")
        #expect(events[2].payload["published"] == true)
        #expect(events[2].payload["publishedAt"] == events[1].payload["publishedAt"])
        let audit = announced.filter { $0.type == AuditEntryRecorded.type }.map(\.payload)
        #expect(
            audit.map { $0["action"].string } == [
                "content.article.create", "content.article.publish", "content.article.update", "content.article.unpublish",
                "content.article.delete",
            ])
        #expect(audit.allSatisfy { $0["actor"].string == "person:\(room.tenant.editor.id)" })
        #expect(audit.allSatisfy { $0["resourceID"] == article["id"] })
        #expect(audit[2]["previous"]["title"] == "First" && audit[2]["changed"]["title"] == "Second")
        #expect(audit[2]["changed"]["slug"].isNull)
    }

    @Test("what was refused announces nothing")
    func refusals() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("First", ["slug": "first"])
        let before = try await room.host.outbox(room.tenant.id).count
        _ = try await room.write("Other", ["slug": "first"])
        _ = try await room.editor.patch(room.path(article), ["title": "Late"], headers: ["if-match": "\"v9\""])
        _ = try await room.editor.post(room.path(article, "/unpublish"))
        _ = try await room.editor.patch(room.path(article), ["slug": "Not A Slug"])
        #expect(try await room.host.outbox(room.tenant.id).count == before)
    }
}
