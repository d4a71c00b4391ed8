import Contracts
import Foundation
import TestKit
import Testing

@Suite("Lists of articles")
struct ListTests {
    @Test("filters narrow the list, alone and together")
    func filters() async throws {
        let room = try await Newsroom.open()
        let swift = try await room.write("Swift on Linux", ["category": "tech", "tags": ["swift", "linux"], "featured": true])
        _ = try await room.publish(swift)
        _ = try await room.write("Gardens", ["category": "home", "tags": ["linux"], "excerpt": "Of SWIFTs and swallows"])
        let author = try await room.host.client(room.tenant.admin)
        _ = try await author.post(Newsroom.path, ["title": "Notes by another", "content": ""])
        func titles(_ query: String) async throws -> Set<String> { Set(try await room.titles(room.editor, query)) }
        #expect(try await titles("status=published") == ["Swift on Linux"])
        #expect(try await titles("status=draft") == ["Gardens", "Notes by another"])
        #expect(try await titles("category=home") == ["Gardens"])
        #expect(try await titles("tag=linux") == ["Swift on Linux", "Gardens"])
        #expect(try await titles("tag=linux&featured=true") == ["Swift on Linux"])
        #expect(try await titles("featured=false") == ["Gardens", "Notes by another"])
        #expect(try await titles("author=\(room.tenant.admin.id)") == ["Notes by another"])
        #expect(try await titles("q=swift") == ["Swift on Linux", "Gardens"])
        #expect(try await titles("q=100%25").isEmpty)
        #expect(try await titles("q=%27%3B%20DROP%20TABLE%20articles%3B--").isEmpty)
    }

    @Test("lists say everything but the content")
    func summaries() async throws {
        let room = try await Newsroom.open()
        let article = try await room.write("Only one", ["excerpt": "short"])
        let item = try await room.editor.get(Newsroom.path)["data"][0]
        #expect(item["id"] == article["id"])
        #expect(item["excerpt"] == "short")
        #expect(item["content"].isNull)
        #expect(item["status"] == "draft")
    }

    @Test(
        "pages follow each other without gap or repetition while articles are being written",
        arguments: ["", "sort=createdAt", "sort=-updatedAt"])
    func pages(order: String) async throws {
        let room = try await Newsroom.open()
        let expected = Set((1...25).map { "Article \($0)" })
        for number in 1...25 { _ = try await room.write("Article \(number)") }
        var seen: [String] = []
        var cursor = ""
        repeat {
            let page = try await room.editor.get("\(Newsroom.path)?limit=7&\(order)\(cursor)")
            #expect(page.status == 200)
            seen += page["data"].array.compactMap { $0["title"].string }
            _ = try await room.write("Meanwhile \(seen.count)")
            guard let next = page["nextCursor"].string else { break }
            #expect(page.header("link")?.contains("cursor=") == true)
            cursor = "&cursor=\(next)"
        } while seen.count < 60
        #expect(Set(seen).count == seen.count)
        #expect(Set(seen).isSuperset(of: expected))
    }

    @Test("the newest comes first, and by publication drafts count from when they were written")
    func order() async throws {
        let room = try await Newsroom.open()
        let first = try await room.write("First")
        _ = try await room.write("Second")
        _ = try await room.write("Third")
        _ = try await room.publish(first)
        #expect(try await room.titles(room.editor) == ["Third", "Second", "First"])
        #expect(try await room.titles(room.editor, "sort=createdAt") == ["First", "Second", "Third"])
        #expect(try await room.titles(room.editor, "sort=-publishedAt") == ["First", "Third", "Second"])
        #expect(try await room.titles(room.editor, "sort=-updatedAt") == ["First", "Third", "Second"])
    }

    @Test("a bad query is refused with every bad parameter named")
    func badQuery() async throws {
        let room = try await Newsroom.open()
        let response = try await room.editor.get(
            "\(Newsroom.path)?limit=101&sort=title&status=gone&featured=perhaps&author=me&tag=&bogus=1&cursor=nonsense")
        #expect(response.status == 400)
        #expect(
            Set(response.badFields)
                == ["?limit", "?sort", "?status", "?featured", "?author", "?tag", "?bogus", "?cursor"])
        #expect(try await room.editor.get("\(Newsroom.path)?limit=0").badFields == ["?limit"])
        #expect(try await room.editor.get("\(Newsroom.path)?q=%FF").status == 400)
    }

    @Test("a cursor of another order is refused")
    func foreignCursor() async throws {
        let room = try await Newsroom.open()
        for number in 1...3 { _ = try await room.write("Article \(number)") }
        let page = try await room.editor.get("\(Newsroom.path)?limit=1")
        let cursor = try #require(page["nextCursor"].string)
        let refused = try await room.editor.get("\(Newsroom.path)?limit=1&sort=updatedAt&cursor=\(cursor)")
        #expect(refused.status == 400)
        #expect(refused.badFields == ["?cursor"])
    }
}
