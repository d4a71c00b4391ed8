import Contracts
import Foundation
import TestKit
import Testing

@Suite("The index")
struct IndexTests {
    @Test("publication makes an article found, an update by its new text, and withdrawal by none")
    func life() async throws {
        let library = try await Library.open()
        let id = try await library.add("First words", "<p>aardvark</p>")
        #expect(try await library.titles("aardvark") == ["First words"])
        try await library.update("Second words", "<p>buffalo</p>", id: id, version: 3)
        try await library.host.eventually("the new text is found") { try await library.titles("buffalo") == ["Second words"] }
        #expect(try await library.titles("aardvark").isEmpty)
        try await library.unpublish(id, version: 4)
        try await library.host.eventually("it is gone") { try await library.titles("buffalo").isEmpty }
        try await library.publish("Third words", "<p>chamois</p>", id: id, version: 5)
        try await library.host.eventually("it is back") { try await library.titles("chamois") == ["Third words"] }
        try await library.delete(id, version: 6)
        try await library.host.eventually("it is gone for good") { try await library.titles("chamois").isEmpty }
    }

    @Test("of what was withdrawn no text is kept")
    func forgetting() async throws {
        let library = try await Library.open()
        let id = try await library.add("Secret plans", "<p>confidential</p>", excerpt: "hush", tags: ["classified"])
        try await library.unpublish(id, version: 3)
        try await library.host.eventually("it is hidden") { try await library.indexed(id)?.searchable == false }
        let kept = try #require(try await library.indexed(id)?.text.lowercased())
        for word in ["secret", "confidential", "hush", "classified", "slug-"] { #expect(!kept.contains(word)) }
    }

    @Test("drafts are never found, whatever is announced of them")
    func drafts() async throws {
        let library = try await Library.open()
        let id = ArticleID.make()
        try await library.host.publish(
            ArticleCreated(articleID: id, slug: "draft", title: "Draft of a wombat", authorID: nil), for: library.tenant.id)
        try await library.update("Draft of a wombat", id: id, version: 2, published: false)
        try await library.host.eventually("the draft's version is known") { try await library.indexed(id)?.version == 2 }
        #expect(try await library.titles("wombat").isEmpty)
        #expect(try await library.suggestions("draft").isEmpty)
    }

    @Test("an older event that comes late changes nothing")
    func outOfOrder() async throws {
        let library = try await Library.open()
        let id = try await library.add("Newest", "<p>dingo</p>", version: 7)
        try await library.publish("Oldest", "<p>echidna</p>", id: id, version: 2)
        try await library.unpublish(id, version: 6)
        try await library.update("Older", "<p>echidna</p>", id: id, version: 5)
        try await library.add("Marker behind them", id: .make())
        try await library.host.eventually("a later change of the same article is in") {
            try await library.update("Newest", "<p>dingo flamingo</p>", id: id, version: 8)
            return try await library.titles("flamingo") == ["Newest"]
        }
        #expect(try await library.titles("echidna").isEmpty)
        #expect(try await library.indexed(id)?.version == 8)
    }

    @Test("a withdrawal that overtakes its publication keeps the article hidden")
    func tombstone() async throws {
        let library = try await Library.open()
        let (unpublished, deleted) = (ArticleID.make(), ArticleID.make())
        try await library.unpublish(unpublished, version: 3)
        try await library.delete(deleted, version: 3)
        try await library.host.eventually("both are known") {
            let first = try await library.indexed(unpublished)
            let second = try await library.indexed(deleted)
            return first != nil && second != nil
        }
        try await library.publish("Late gnu", id: unpublished, version: 2)
        try await library.publish("Late gnu", id: deleted, version: 2)
        // The same key keeps its order: once this one is in, the late ones have been handled.
        try await library.unpublish(unpublished, version: 4)
        try await library.delete(deleted, version: 4)
        try await library.host.eventually("the late ones were handled") {
            let first = try await library.indexed(unpublished)
            let second = try await library.indexed(deleted)
            return first?.version == 4 && second?.version == 4
        }
        #expect(try await library.titles("gnu").isEmpty)
    }

    @Test("a duplicate changes nothing, under the same event id or another")
    func duplicates() async throws {
        let library = try await Library.open()
        let id = ArticleID.make()
        let eventID = EventID.make()
        for _ in 0..<3 { try await library.publish("Only one heron", id: id, version: 2, eventID: eventID) }
        try await library.publish("Only one heron", id: id, version: 2)
        try await library.update("Only one heron here", id: id, version: 3)
        try await library.host.eventually("all were handled") { try await library.indexed(id)?.version == 3 }
        #expect(try await library.search("heron")["total"] == 1)
    }

    @Test("an event that cannot be read does not hold up those behind it")
    func poison() async throws {
        let library = try await Library.open()
        let id = ArticleID.make()
        try await TestEvents.publish(
            raw: Data("{\"articleID\": 7".utf8), type: ArticlePublished.type, topic: .content, subject: id.description,
            for: library.tenant.id)
        try await library.add("After the poison", id: id)
        #expect(try await library.titles("poison") == ["After the poison"])
    }

    @Test("the longest article is indexed as far as the limit, and its beginning is found")
    func long() async throws {
        let library = try await Library.open()
        let words = (0..<50_000).map { "w\(String($0, radix: 36))x" }.joined(separator: " ")
        try await library.add("Long one", "<p>ibex " + words + "</p>")
        #expect(try await library.titles("ibex") == ["Long one"])
        try await library.add("Signs only", "<p>" + String(repeating: "a-b/c.d@e.f ", count: 30_000) + "</p>")
        #expect(try await library.titles("signs only") == ["Signs only"])
    }
}
