import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import SearchService

@Suite("Ranking")
struct RankingTests {
    @Test("documents with all words come first; when they are few, those with some of them follow, rare words before frequent ones")
    func some() async throws {
        let library = try await Library.open()
        for number in 1...4 { try await library.add("Steam number \(number)") }
        try await library.add("Turbine")
        try await library.add("A steam turbine")
        try await library.count()
        let titles = try await library.titles("steam turbine")
        #expect(titles.prefix(2) == ["A steam turbine", "Turbine"])
        #expect(titles.count == 6)
        #expect(try await library.titles("the steam turbine").first == "A steam turbine")
        #expect(try await library.titles("\"steam turbine\"") == ["A steam turbine"])
        #expect(try await library.titles("steam turbine -number") == ["A steam turbine", "Turbine"])
    }

    @Test("words side by side rank before the same words apart, and a title that is the query before all")
    func neighbours() async throws {
        let library = try await Library.open()
        try await library.add("Apart", "<p>a green bottle and some wine beside it here</p>")
        try await library.add("Beside", "<p>a bottle and some green wine beside it here</p>")
        #expect(try await library.titles("green wine") == ["Beside", "Apart"])
        try await library.add("Green wine", "<p>nothing more to say of that</p>")
        #expect(try await library.titles("green wine").first == "Green wine")
    }

    @Test("the last word may be unfinished; whole words rank before continuations")
    func beginnings() async throws {
        let library = try await Library.open()
        try await library.add("The cart")
        try await library.add("The car")
        try await library.add("Carpets")
        #expect(try await library.titles("car").first == "The car")
        #expect(try await Set(library.titles("car")) == ["The car", "The cart", "Carpets"])
        #expect(try await library.titles("the carp") == ["Carpets"])
        #expect(try await library.titles("carp the").allSatisfy { $0 != "Carpets" })
    }

    @Test("each document is stemmed in its own language, and a query finds all of them")
    func languages() async throws {
        let library = try await Library.open()
        try await library.add("Die Häuser", "<p>Die Geschichte der alten Häuser und wie sie mit der Stadt zu tun haben</p>")
        try await library.add("Houses", "<p>The history of the old houses and what they have to do with the city</p>")
        #expect(try await library.titles("haus") == ["Die Häuser"])
        #expect(try await library.titles("house") == ["Houses"])
        #expect(try await library.titles("\"der alten Häuser\"") == ["Die Häuser"])
    }

    @Test("newer documents rank before older ones that are otherwise alike, and times narrow results")
    func time() async throws {
        let library = try await Library.open()
        let now = Date()
        for (title, days) in [("Old marmot", 900.0), ("New marmot", 2), ("Mid marmot", 200)] {
            try await library.host.publish(
                ArticlePublished(
                    articleID: .make(), slug: "s", title: title, content: "<p>marmots</p>", excerpt: nil, category: nil, tags: [],
                    authorID: nil, version: 2, publishedAt: now.addingTimeInterval(-days * 86_400)), for: library.tenant.id)
        }
        try await library.host.eventually("all are found") { try await library.search("marmot")["total"] == 3 }
        #expect(try await library.titles("marmot") == ["New marmot", "Mid marmot", "Old marmot"])
        let from = Timestamp.text(now.addingTimeInterval(-300 * 86_400)), to = Timestamp.text(now.addingTimeInterval(-100 * 86_400))
        #expect(try await library.titles("marmot", "&from=\(from)&to=\(to)") == ["Mid marmot"])
        #expect(try await library.titles("marmot", "&from=\(from)").count == 2)
    }

    @Test("filters by category and author narrow, and facets count both")
    func facets() async throws {
        let library = try await Library.open()
        let author = UserID.make()
        for (index, category) in ["birds", "birds", "fish"].enumerated() {
            try await library.host.publish(
                ArticlePublished(
                    articleID: .make(), slug: "s", title: "Heron \(index)", content: "", excerpt: nil, category: category, tags: ["t'a\\g"],
                    authorID: index == 0 ? author : nil, version: 2, publishedAt: Date()), for: library.tenant.id)
        }
        try await library.host.eventually("all are found") { try await library.search("heron")["total"] == 3 }
        let all = try await library.search("heron")
        #expect(all["facets"]["category"] == ["birds": 2, "fish": 1])
        #expect(all["facets"]["author"] == [author.description: 1])
        #expect(try await library.search("heron", "&category=birds")["total"] == 2)
        #expect(try await library.titles("heron", "&author=\(author)") == ["Heron 0"])
        #expect(try await library.search("heron", "&tag=\(Library.escape("t'a\\g"))")["total"] == 3)
        // A filter's key in the text of a query is words like others, which stand beside each other nowhere here, and no key.
        #expect(try await library.search("#category:birds")["total"] == 0)
        #expect(try await library.search("#birds")["facets"]["category"] == ["birds": 2])
    }

    @Test("what nobody uses any more is forgotten: words of withdrawn documents correct nobody's spelling")
    func forgetting() async throws {
        let library = try await Library.open()
        let id = try await library.add("Pterodactyl", "<p>ornithopter</p>")
        try await library.add("Marker")
        #expect(try await library.terms().contains("pterodactyl"))
        try await library.unpublish(id, version: 3)
        try await library.host.eventually("it is hidden") { try await library.indexed(id)?.searchable == false }
        try await library.count()
        try await library.count()
        #expect(try await library.terms() == ["marker", "nothing", "special"])
        try await library.publish("Pterodactyl", id: id, version: 4)
        try await library.host.eventually("it is back") { try await library.titles("pterodctyl") == ["Pterodactyl"] }
    }

    @Test("when two index for one organization at once, what one of them left is learned soon after")
    func left() async throws {
        let library = try await Library.open()
        let id = try await library.add("Wolverine")
        let caller = Caller.service(.search, for: library.tenant.id)
        _ = try await library.host.database.execute("DELETE FROM terms", as: caller)
        try await library.host.database.transaction(as: caller) { tx in
            try VocabularyStore(tx).take([DocumentID(id.uuid)], alone: false)
        }
        try await library.host.eventually("it is learned") { try await library.titles("wolvrine") == ["Wolverine"] }
    }

    @Test("a count that did not end is begun again after a while, one that ended is not")
    func lease() async throws {
        let library = try await Library.open()
        try await library.add("Wolverine")
        let later = Date(timeIntervalSinceNow: 3600), lease = VocabularyStore.lease / .seconds(1)
        func begin(after seconds: Double) async throws -> Bool {
            try await library.host.database.transaction(as: .service(.search, for: library.tenant.id)) { tx in
                try VocabularyStore(tx).begin(at: later.addingTimeInterval(seconds))
            }
        }
        #expect(try await begin(after: 0))
        #expect(try await begin(after: lease - 1) == false)
        #expect(try await begin(after: lease + 1))
        try await library.host.database.transaction(as: .service(.search, for: library.tenant.id)) { tx in
            try VocabularyStore(tx).end(after: .zero, at: later.addingTimeInterval(lease + 2))
        }
        #expect(try await begin(after: 3 * lease) == false)
        try await library.add("Badger")
        #expect(try await begin(after: 3 * lease))
    }

    @Test("totals are exact as far as they are counted, and say so")
    func bound() async throws {
        let library = try await Library.open()
        _ = try await library.host.database.execute(
            """
            INSERT INTO documents (tenant_id, id, type, version, searchable, title, body, published_at, title_key, words, length, indexed_at)
            SELECT \(library.tenant.id), gen_random_uuid(), 'article', 1, true, 'Lemming', '', now(), 'lemming', 'lemming:1A', 1, now()
            FROM generate_series(1, 10001)
            """, as: .service(.search, for: library.tenant.id), slow: true)
        let answer = try await library.search("lemming")
        #expect(answer["total"] == 10_000)
        #expect(answer["totalIsExact"] == false)
        #expect(answer["data"].array.count == 20)
    }
}
