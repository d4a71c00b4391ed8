import Contracts
import TestKit
import Testing

@Suite("Reindexing")
struct ReindexTests {
    @Test("the index is derived anew from the source texts, with progress to see")
    func rebuild() async throws {
        let library = try await Library.open()
        try await library.add("Jaguars", "<p>spotted</p>")
        try await library.add("Kangaroos", "<p>striped</p>")
        let hidden = try await library.add("Lemmings", "<p>spotted</p>")
        try await library.unpublish(hidden, version: 3)
        try await library.host.eventually("one is hidden") { try await library.indexed(hidden)?.searchable == false }
        try await library.spoilIndex()
        #expect(try await library.titles("spotted").isEmpty)
        let admin = try await library.host.client(library.tenant.owner)
        #expect(try await admin.get("\(Library.path)/reindex").status == 404)
        let started = try await admin.post("\(Library.path)/reindex")
        #expect(started.status == 202)
        #expect(started["total"] == 2)
        try await library.host.eventually("the run is finished") {
            let run = try await admin.get("\(Library.path)/reindex")
            return run["id"] == started["id"] && run["status"] == "finished" && run["done"] == 2
        }
        #expect(try await library.titles("spotted") == ["Jaguars"])
        #expect(try await library.suggestions("kang") == ["Kangaroos"])
        let announced = try await library.host.outbox(library.tenant.id)
        #expect(announced.map { $0.payload["action"].string } == ["search.index.reindex"])
    }

    @Test("asking several times at once starts one run, and others' indexes are left alone")
    func once() async throws {
        let library = try await Library.open()
        let other = try await Library.open()
        try await library.add("Meerkats")
        try await other.add("Meerkats")
        try await other.spoilIndex()
        let admin = try await library.host.client(library.tenant.owner)
        let ids = try await withThrowingTaskGroup(of: String?.self) { group in
            for _ in 0..<6 { group.addTask { try await admin.post("\(Library.path)/reindex")["id"].string } }
            return try await group.reduce(into: Set<String?>()) { $0.insert($1) }
        }
        #expect(!ids.contains(nil))
        try await library.host.eventually("it is finished") { try await admin.get("\(Library.path)/reindex")["status"] == "finished" }
        #expect(try await library.titles("meerkats") == ["Meerkats"])
        #expect(try await other.titles("meerkats").isEmpty)
    }

    @Test("reading does not give the right to reindex")
    func permission() async throws {
        let library = try await Library.open()
        #expect(try await library.reader.post("\(Library.path)/reindex").status == 403)
        #expect(try await library.reader.get("\(Library.path)/reindex").status == 403)
    }
}
