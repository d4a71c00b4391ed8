import Contracts
import Foundation
import TestKit
import Testing

@Suite("Searching")
struct SearchTests {
    @Test("a result says what it is and shows the words that were found")
    func shape() async throws {
        let library = try await Library.open()
        let id = try await library.add(
            "Notes on the engine", "<p>The analytical engine <b>weaves</b> algebraical patterns.</p>", category: "history",
            tags: ["looms", "engines"])
        let answer = try await library.search("weave pattern")
        #expect(answer.status == 200)
        let hit = answer["data"][0]
        #expect(hit["type"] == "article")
        #expect(hit["id"].string == id.description)
        #expect(hit["title"] == "Notes on the engine")
        #expect(hit["slug"] == "slug-2")
        #expect(hit["tags"] == ["looms", "engines"])
        #expect(hit["category"] == "history")
        #expect(hit["publishedAt"] == "2026-01-15T10:30:00.000Z")
        #expect(hit["snippet"].string?.contains("<mark>weaves</mark>") == true)
        #expect(hit["snippet"].string?.contains("<mark>patterns</mark>") == true)
        let score = try #require(hit["score"].double)
        #expect(score > 0 && score < 1)
        #expect(answer["total"] == 1)
        #expect(hit["highlightedTitle"] == "Notes on the engine")
        #expect(
            answer["facets"] == [
                "type": ["article": 1], "tag": ["looms": 1, "engines": 1], "category": ["history": 1], "author": [:],
            ])
        #expect(answer["totalIsExact"] == true)
        #expect(answer["tookMs"].int != nil)
        #expect(answer.json["nextCursor"].isNull && answer.text.contains("\"nextCursor\":null"))
    }

    @Test("titles weigh more than excerpts and tags, and these more than the text")
    func weights() async throws {
        let library = try await Library.open()
        try await library.add("In the text", "<p>somewhere a zeppelin flies</p>")
        try await library.add("In the excerpt", "<p>nothing</p>", excerpt: "about a zeppelin")
        try await library.add("A zeppelin", "<p>nothing</p>")
        try await library.add("Unrelated", "<p>nothing</p>")
        #expect(try await library.titles("zeppelin") == ["A zeppelin", "In the excerpt", "In the text"])
    }

    @Test("words are found in other forms, without their accents, by tag and by category")
    func forms() async throws {
        let library = try await Library.open()
        try await library.add("Running cafés", "<p>Crème brûlée</p>", category: "gastronomy", tags: ["dessert"])
        for text in ["run cafe", "RUNS", "café", "creme", "brulee", "gastronomy", "desserts"] {
            #expect(try await library.titles(text) == ["Running cafés"], "\(text)")
        }
    }

    @Test("phrases, exclusion and alternatives work as in web search")
    func operators() async throws {
        let library = try await Library.open()
        try await library.add("Alpha", "<p>red apples and green pears</p>")
        try await library.add("Beta", "<p>green apples</p>")
        #expect(try await library.titles("\"green apples\"") == ["Beta"])
        #expect(try await library.titles("apples -green").isEmpty)
        #expect(try await library.titles("apples -pears") == ["Beta"])
        #expect(try await Set(library.titles("pears or beta")) == ["Alpha", "Beta"])
    }

    @Test("typing errors in titles are forgiven", arguments: ["analitical", "anlytical engine", "enigne", "Analytical Engin", "analyt"])
    func typos(text: String) async throws {
        let library = try await Library.open()
        try await library.add("Notes on the analytical engine")
        try await library.add("Gardening for beginners")
        #expect(try await library.titles(text) == ["Notes on the analytical engine"])
    }

    @Test(
        "signs, operators without sense and other scripts are searched, not executed",
        arguments: [
            "'", "''; DROP TABLE documents; --", "\\", "&|!:*()<->", "a & | b", "foo:*", "!", "-", "\"", "\"unclosed", "%", "_", "🦊", "日本語",
            "$1", "a\tb", "{}[]", "e\u{301}", "<script>", "(((", "and or not", "the", "\u{202E}abc",
        ])
    func signs(text: String) async throws {
        let library = try await Library.open()
        #expect(try await library.search(text).status == 200)
        #expect(try await library.reader.get("\(Library.path)/suggest?q=\(Library.escape(text))").status == 200)
    }

    @Test("other scripts and signs are found")
    func scripts() async throws {
        let library = try await Library.open()
        try await library.add("日本語 の 記事")
        try await library.add("The 🦊 and the hound")
        #expect(try await library.titles("日本語") == ["日本語 の 記事"])
        #expect(try await library.titles("🦊") == ["The 🦊 and the hound"])
    }

    @Test("a snippet holds text and marks and no other markup")
    func safeSnippets() async throws {
        let library = try await Library.open()
        try await library.add(
            "Escapes", "<p>Write &lt;script&gt;alert(1)&lt;/script&gt; &amp; \"marker\" &lt;mark&gt; 1 &lt; 2</p>")
        for text in ["marker", "escapes", "Escapse"] {
            let snippet = try #require(try await library.search(text)["data"][0]["snippet"].string)
            let rest = snippet.replacingOccurrences(of: "<mark>", with: "").replacingOccurrences(of: "</mark>", with: "")
            #expect(!rest.contains("<") && !rest.contains(">") && !rest.contains("\""), "\(snippet)")
        }
        #expect(try await library.search("marker")["data"][0]["snippet"].string?.contains("<mark>marker</mark>") == true)
    }

    @Test("any white space stands between words")
    func whiteSpace() async throws {
        let library = try await Library.open()
        try await library.add("Green apples")
        #expect(try await library.titles(" green\t\n apples ") == ["Green apples"])
    }

    @Test("filters by type and tag narrow results, total and facets")
    func filters() async throws {
        let library = try await Library.open()
        try await library.add("Apples one", tags: ["red", "round"])
        try await library.add("Apples two", tags: ["green", "round"])
        let both = try await library.search("apples", "&type=article")
        #expect(both["total"] == 2)
        #expect(both["facets"]["tag"] == ["round": 2, "red": 1, "green": 1])
        let red = try await library.search("apples", "&tag=red")
        #expect(red["total"] == 1)
        #expect(red["data"][0]["title"] == "Apples one")
        #expect(red["facets"]["tag"] == ["round": 1, "red": 1])
        #expect(try await library.search("apples", "&tag=blue")["total"] == 0)
    }

    @Test("pages follow each other without gap or repetition while documents are being indexed", arguments: ["apples", "aples"])
    func pages(text: String) async throws {
        let library = try await Library.open()
        let expected = Set((1...23).map { "Apples \($0)" })
        let ids = (1...23).map { _ in ArticleID.make() }
        for (number, id) in ids.enumerated() {
            // Different lengths give different scores, and some the same.
            try await library.publish("Apples \(number + 1)", String(repeating: "pear ", count: number % 5), id: id, version: 2)
        }
        try await library.host.eventually("all are indexed") { try await library.search(text)["total"] == 23 }
        var seen: [String] = []
        var cursor = ""
        repeat {
            let page = try await library.search(text, "&limit=5\(cursor)")
            #expect(page.status == 200)
            seen += page["data"].array.compactMap { $0["title"].string }
            try await library.add("Apples meanwhile \(seen.count)")
            guard let next = page["nextCursor"].string else { break }
            let link = try #require(page.header("link"))
            #expect(link.hasPrefix("</api/v1/search?") && link.hasSuffix("rel=\"next\""))
            cursor = "&cursor=\(next)"
        } while seen.count < 60
        #expect(Set(seen).count == seen.count)
        #expect(Set(seen).isSuperset(of: expected))
    }

    @Test("a cursor goes on with its own search alone, in pages of any length")
    func foreignCursor() async throws {
        let library = try await Library.open()
        for number in 1...4 { try await library.add("Apples \(number)", "<p>pears</p>") }
        let page = try await library.search("apples", "&type=article&limit=2")
        let cursor = try #require(page["nextCursor"].string)
        #expect(try await library.search("apples", "&type=article&limit=1&cursor=\(cursor)")["data"].array.count == 1)
        // White space makes no other search.
        #expect(try await library.search(" apples ", "&type=article&cursor=\(cursor)")["data"].array.count == 2)
        for (text, rest) in [
            ("pears", "&type=article"), ("apples", ""), ("apples", "&type=file"), ("apples", "&type=article&tag=red"),
            ("apples", "&type=article&from=2020-01-01T00:00:00Z"), ("apples", "&type=article&author=\(UserID.make())"),
        ] {
            let other = try await library.search(text, "\(rest)&cursor=\(cursor)")
            #expect(other.status == 400 && other.badFields == ["?cursor"], "\(text)\(rest): \(other.text)")
        }
    }

    @Test("a bad query is refused with every bad parameter named")
    func badQuery() async throws {
        let library = try await Library.open()
        let response = try await library.reader.get(
            "\(Library.path)?type=planet&limit=0&cursor=nonsense&bogus=1&tag=\(String(repeating: "t", count: 101))&author=me&from=soon")
        #expect(response.status == 400)
        #expect(Set(response.badFields) == ["?q", "?type", "?limit", "?cursor", "?bogus", "?tag", "?author", "?from"])
        #expect(try await library.reader.get("\(Library.path)?q=").badFields == ["?q"])
        #expect(try await library.reader.get("\(Library.path)?q=%20%20").badFields == ["?q"])
        #expect(try await library.search(String(repeating: "x", count: 201)).badFields == ["?q"])
        #expect(try await library.search(String(repeating: "x", count: 200)).status == 200)
        #expect(try await library.search("a\u{0}b").badFields == ["?q"])
        #expect(try await library.reader.get("\(Library.path)?q=%FF%FE").status == 400)
        #expect(try await library.reader.get("\(Library.path)/suggest").badFields == ["?q"])
        let foreign = "WyIxIiwiMiJd"
        #expect(try await library.search("x", "&cursor=\(foreign)").badFields == ["?cursor"])
    }
}
