import Contracts
import Foundation
import NIOHTTP1
import Postgres
import TestKit
import Testing

@testable import SearchService

@Suite("The texts of files")
struct FileTextTests {
    @Test("a file is found by its text, with a snippet, by those who may read files, until it is deleted")
    func life() async throws {
        let shelf = try await Shelf.open()
        let id = try await shelf.upload("minutes.txt", "The committee resolved to buy twelve & more dromedaries for the caravan.")
        try await shelf.eventuallyFound("dromedaries", ["minutes.txt"])
        let hit = try await shelf.library.search("dromedary caravan")["data"][0]
        #expect(hit["id"].string == id && hit["type"] == "file")
        let snippet = try #require(hit["snippet"].string)
        #expect(snippet.contains("twelve &amp; more <mark>dromedaries</mark> for the <mark>caravan</mark>"), "\(snippet)")
        #expect(try await shelf.library.titles("minutes") == ["minutes.txt"])

        let host = shelf.library.host
        let reader = TestPerson(permissions: ["search:read", "content:read"].compactMap { Permission($0) }, in: shelf.library.tenant.id)
        #expect(try await host.client(reader).get("\(Library.path)?q=dromedaries")["total"] == 0)
        #expect(try await Shelf.open().library.search("dromedaries")["total"] == 0)

        #expect(try await shelf.api.delete("/api/v1/files/\(id)").status == 204)
        try await shelf.eventuallyFound("dromedaries", [])
        #expect(try await shelf.kept(id)?.contains("caravan") == false)
        #expect(try await shelf.awaited().isEmpty)
    }

    @Test("HTML is found by what it says, not by what it is made of; other kinds by their names alone")
    func kinds() async throws {
        let shelf = try await Shelf.open()
        try await shelf.upload("page.html", "<script>var ocelot</script><p class=margay>A s<b>er</b>val", type: "text/html")
        try await shelf.upload("picture.png", "serval", type: "image/png")
        try await shelf.eventuallyFound("serval", ["page.html"])
        try await shelf.eventuallyFound("picture", ["picture.png"])
        for text in ["ocelot", "margay"] { #expect(try await shelf.library.search(text)["total"] == 0) }
        try await shelf.library.host.eventually("nothing is waited for") { try await shelf.awaited().isEmpty }
    }

    @Test("while files is away a file is found by its name, and by its text when files is back")
    func away() async throws {
        let shelf = try await Shelf.open()
        let tenant = shelf.library.tenant.id
        shelf.neighbours.close(for: tenant)
        for number in 0..<6 { try await shelf.upload("away-\(number).txt", "wolverine number\(number)") }
        try await shelf.library.host.eventually("all are found by name") { try await shelf.library.search("away")["total"] == 6 }
        #expect(try await shelf.library.search("wolverine")["total"] == 0)
        try await shelf.library.host.eventually("it was tried") { shelf.neighbours.asked(for: tenant) >= 3 }
        #expect(try await shelf.awaited().count == 6)
        shelf.neighbours.reopen(for: tenant)
        try await shelf.library.host.eventually("their texts have followed") { try await shelf.library.search("wolverine")["total"] == 6 }
        // Until the vocabulary has learned it, a word may stand for its neighbours.
        try await shelf.eventuallyFound("number4", ["away-4.txt"])
        #expect(try await shelf.awaited().isEmpty)
    }

    @Test("what is deleted before its text came is not asked for any more, and its text never comes")
    func deletedMeanwhile() async throws {
        let shelf = try await Shelf.open()
        let tenant = shelf.library.tenant.id
        shelf.neighbours.close(for: tenant)
        let gone = try await shelf.upload("gone.txt", "ephemeral marmots")
        try await shelf.eventuallyFound("gone", ["gone.txt"])
        #expect(try await shelf.api.delete("/api/v1/files/\(gone)").status == 204)
        try await shelf.eventuallyFound("gone", [])
        #expect(try await shelf.awaited().isEmpty)
        shelf.neighbours.reopen(for: tenant)
        try await shelf.upload("later.txt", "lasting marmots")
        try await shelf.eventuallyFound("marmots", ["later.txt"])
    }

    @Test("a text that comes after its document has gone or changed is not taken in")
    func late() async throws {
        let shelf = try await Shelf.open()
        let id = try await shelf.upload("first.txt", "numbat")
        try await shelf.eventuallyFound("numbat", ["first.txt"])
        func complete(_ id: String, version: Int) async throws -> Bool {
            let id = try #require(DocumentID(id))
            return try await shelf.library.host.database.transaction(as: shelf.caller) { tx in
                try DocumentStore(tx).complete(id, version: version, with: "quokka")
            }
        }
        #expect(try await !complete(id, version: 2))
        #expect(try await !complete(DocumentID.make().description, version: 1))
        #expect(try await complete(id, version: 1))
        #expect(try await shelf.library.titles("quokka") == ["first.txt"])
        #expect(try await shelf.api.delete("/api/v1/files/\(id)").status == 204)
        try await shelf.eventuallyFound("quokka", [])
        #expect(try await !complete(id, version: 1))
        #expect(try await !complete(id, version: 2))
    }

    @Test("a rebuild from the events fetches texts anew, and loses none meanwhile, also while files is away")
    func rebuild() async throws {
        let shelf = try await Shelf.open()
        let tenant = shelf.library.tenant.id
        let id = try await shelf.upload("ledger.txt", "original pangolin")
        try await shelf.eventuallyFound("pangolin", ["ledger.txt"])
        try await shelf.overwrite(id, "doubtful pangolin")
        let admin = try await shelf.library.host.client(shelf.library.tenant.owner)
        #expect(try await admin.post("\(Library.path)/reindex/from-events").status == 202)
        shelf.neighbours.close(for: tenant)
        let asked = shelf.neighbours.asked(for: tenant)
        try await shelf.library.host.publish(
            FileUploaded(
                fileID: try #require(FileID(id)), name: "ledger.txt", contentType: "text/plain", size: 17, sha256: "00", uploadedBy: nil),
            for: tenant)
        try await shelf.library.host.eventually("it was asked for again") { shelf.neighbours.asked(for: tenant) > asked }
        #expect(try await admin.get("\(Library.path)/reindex")["done"] == 1)
        #expect(try await shelf.library.titles("pangolin") == ["ledger.txt"])
        shelf.neighbours.reopen(for: tenant)
        try await shelf.eventuallyFound("original", ["ledger.txt"])
        #expect(try await shelf.library.search("doubtful")["total"] == 0)
        #expect(try await admin.post("\(Library.path)/reindex/finish", [:])["status"] == "finished")
        #expect(try await shelf.library.titles("pangolin") == ["ledger.txt"])
    }

    @Test("reindexing asks for texts that are missing, and keeps those that are there")
    func reindex() async throws {
        let shelf = try await Shelf.open()
        let missing = try await shelf.upload("missing.txt", "caracal")
        try await shelf.upload("kept.txt", "caracal")
        try await shelf.library.host.eventually("both are found") { try await shelf.library.search("caracal")["total"] == 2 }
        try await shelf.overwrite(missing, "")
        let asked = shelf.neighbours.asked(for: shelf.library.tenant.id)
        let admin = try await shelf.library.host.client(shelf.library.tenant.owner)
        #expect(try await admin.post("\(Library.path)/reindex").status == 202)
        try await shelf.library.host.eventually("both are found again") { try await shelf.library.search("caracal")["total"] == 2 }
        try await shelf.library.host.eventually("nothing is waited for") { try await shelf.awaited().isEmpty }
        #expect(shelf.neighbours.asked(for: shelf.library.tenant.id) == asked + 1)
    }

    @Test("a file that files does not know is found by name, and asked for again later")
    func unknown() async throws {
        let shelf = try await Shelf.open()
        try await shelf.library.host.publish(
            FileUploaded(fileID: .make(), name: "phantom.txt", contentType: "text/plain", size: 1, sha256: "00", uploadedBy: nil),
            for: shelf.library.tenant.id)
        try await shelf.eventuallyFound("phantom", ["phantom.txt"])
        try await shelf.library.host.eventually("it was tried twice") { try await shelf.awaited().first.map { $0 >= 2 } ?? false }
    }

    @Test("pauses double, up to ten minutes")
    func pauses() {
        let pauses = [1, 2, 3, 10, 11, 1_000_000].map { AwaitedText(id: .make(), version: 1, attempts: $0).pause }
        #expect(pauses == [1, 2, 4, 512, 600, 600])
    }

    @Test("the longest text, of nothing but different words, is taken in as far as the limit; so are signs that mark snippets")
    func long() async throws {
        let shelf = try await Shelf.open()
        func word(_ number: Int) -> String { String(number, radix: 36) }
        let words = (0..<60_000).map { "\(word(46_656 + $0))-\(word(1_600_000 + $0))" }.joined(separator: " ")
        try await shelf.upload("long.csv", "beginning \u{2}marked\u{3} " + words, type: "text/csv")
        try await shelf.eventuallyFound("beginning", ["long.csv"])
        #expect(try await shelf.library.titles(word(1_600_500)) == ["long.csv"])
        let snippet = try #require(try await shelf.library.search("beginning")["data"][0]["snippet"].string)
        #expect(snippet.hasPrefix("<mark>beginning</mark> marked "), "\(snippet)")
    }
}

/// An organization with files of its own, and what search knows of them.
private struct Shelf {
    let neighbours: Neighbourhood
    let library: Library
    let api: TestClient

    var caller: Caller { .service(.search, for: library.tenant.id) }

    static func open() async throws -> Shelf {
        let neighbours = try await Neighbourhood.shared.value
        let library = try await Library.open()
        return Shelf(neighbours: neighbours, library: library, api: try await neighbours.files.client(library.tenant.owner))
    }

    @discardableResult
    func upload(_ name: String, _ content: String, type: String = "text/plain") async throws -> String {
        let response = try await api.send(
            .POST, "/api/v1/files", bytes: Data(content.utf8),
            headers: ["content-type": type, "content-disposition": "attachment; filename=\"\(name)\""])
        return try #require(response["id"].string, "\(response.text)")
    }

    func eventuallyFound(_ text: String, _ names: [String], sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await library.host.eventually("\(text) finds \(names)", sourceLocation: sourceLocation) {
            try await library.titles(text) == names
        }
    }

    /// How often each text that is still waited for was asked for.
    func awaited() async throws -> [Int] {
        try await library.host.database.query(Query("SELECT attempts FROM awaited_texts ORDER BY id", column: "attempts"), as: caller)
    }

    /// All that is kept of a file.
    func kept(_ id: String) async throws -> String? {
        let id = try #require(DocumentID(id))
        return try await library.host.database.first(
            Query("SELECT to_jsonb(documents)::text AS text FROM documents WHERE id = \(id)", column: "text"), as: caller)
    }

    /// Puts another text in the place of the one that was fetched.
    func overwrite(_ id: String, _ text: String) async throws {
        let id = try #require(DocumentID(id))
        _ = try await library.host.database.execute(
            "UPDATE documents SET body = \(text), words = to_tsvector('search.english_words', \(text)) WHERE id = \(id)", as: caller)
    }
}
