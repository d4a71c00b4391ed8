import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import SearchService

@Suite("Reindexing in batches that fail")
struct ReindexBatchTests {
    /// More different words than an index entry holds (SQLSTATE 54000).
    private static let tooManyWords: SQL = "(SELECT string_agg(md5(n::text), ' ') FROM generate_series(1, 40000) AS n)"

    @Test("a document that cannot be derived is left as it is; the others of its organization are derived, and other organizations'")
    func badDocument() async throws {
        let library = try await Library.open(), other = try await Library.open()
        for number in 1...9 { try await library.add("Puffin \(number)", "<p>seabird</p>") }
        try await other.add("Puffin", "<p>seabird</p>")
        let bad = try await library.add("Puffin ten", "<p>seabird</p>", id: ArticleID.make())
        try await library.add("Puffin eleven", "<p>seabird</p>")
        let caller = Caller.service(.search, for: library.tenant.id)
        _ = try await library.host.database.execute(
            "UPDATE documents SET body = \(fragment: Self.tooManyWords) WHERE id = \(bad)", as: caller, slow: true)
        try await library.spoilIndex()
        try await other.spoilIndex()
        for one in [library, other] {
            #expect(try await one.host.client(one.tenant.owner).post("\(Library.path)/reindex").status == 202)
        }
        for (one, done) in [(other, 1), (library, 10)] {
            let admin = try await one.host.client(one.tenant.owner)
            try await one.host.eventually("the run is finished") { try await admin.get("\(Library.path)/reindex")["status"] == "finished" }
            #expect(try await admin.get("\(Library.path)/reindex")["done"].int == done)
            #expect(try await one.search("seabird")["total"].int == done)
        }
        #expect(try await library.titles("eleven") == ["Puffin eleven"])
    }

    @Test("a batch has so many documents, and no more once their texts are long enough; it goes on where the last one ended")
    func bounds() async throws {
        let library = try await Library.open()
        for number in 1...6 { try await library.add("Cormorant \(number)", "<p>\(String(repeating: "x", count: 100))</p>") }
        let hidden = try await library.add("Cormorant seven")
        try await library.unpublish(hidden, version: 3)
        try await library.host.eventually("one is hidden") { try await library.indexed(hidden)?.searchable == false }
        func next(after position: DocumentID? = nil, _ limit: Int, _ bytes: Int) async throws -> [DocumentID] {
            try await library.host.database.transaction(as: .service(.search, for: library.tenant.id)) { tx in
                try DocumentStore(tx).next(after: position, limit: limit, bytes: bytes)
            }
        }
        let all = try await next(500, 1_000_000)
        #expect(all.count == 6 && all == all.sorted { $0.description < $1.description })
        // One is taken however long it is, and the last may go beyond.
        #expect(try await next(500, 1) == [all[0]])
        #expect(try await next(500, 101) == Array(all[..<2]))
        #expect(try await next(500, 300) == Array(all[..<3]))
        #expect(try await next(4, 1_000_000) == Array(all[..<4]))
        #expect(try await next(after: all[3], 500, 1_000_000) == Array(all[4...]))
        #expect(try await next(after: all[5], 500, 1_000_000).isEmpty)
    }

    @Test("the words of each document are derived once")
    func once() async throws {
        let library = try await Library.open()
        let id = try await library.add("Gannets", "<p>seabirds of the north</p>")
        let before = try #require(try await library.indexed(id))
        try await library.spoilIndex()
        try await library.host.database.transaction(as: .service(.search, for: library.tenant.id)) { tx in
            try DocumentStore(tx).derive([DocumentID(id.uuid)])
        }
        #expect(try await library.indexed(id) == before)
    }

    @Test("after a failure a batch has fewer documents, down to one; when batches are quick they grow again")
    func paces() {
        let paces = ReindexPaces(), tenant = TenantID.make(), target = ReindexPaces.target
        #expect(paces.documents(of: tenant) == ReindexRun.batch)
        // What was in the batch counts, not what there was room for.
        paces.failed(for: 16, tenant)
        #expect(paces.documents(of: tenant) == 2)
        paces.failed(for: 2, tenant)
        paces.failed(for: 1, tenant)
        #expect(paces.documents(of: tenant) == 1)
        #expect(paces.documents(of: .make()) == ReindexRun.batch)
        for _ in 0..<3 { paces.took(target / 10, for: 1, tenant) }
        #expect(paces.documents(of: tenant) == 8)
        paces.took(target / 2, for: 8, tenant)
        #expect(paces.documents(of: tenant) == 8)
        paces.took(target * 2, for: 8, tenant)
        #expect(paces.documents(of: tenant) == 4)
        paces.took(target * 1000, for: 8, tenant)
        #expect(paces.documents(of: tenant) == 1)
        paces.end(tenant)
        #expect(paces.documents(of: tenant) == ReindexRun.batch)
    }

    @Test("a run ends when nothing follows, and what was skipped is not counted")
    func advancing() {
        let now = Date(timeIntervalSince1970: 1_768_473_000), ids = [DocumentID.make(), .make(), .make()]
        var run = ReindexRun.start(.make(at: now), from: .texts, total: 3, at: now)
        run.advance(over: Array(ids[..<1]), at: now)
        run.skip(ids[1])
        #expect(run.position == ids[1] && run.done == 1)
        run.advance(over: [ids[2]], at: now)
        #expect(run.done == 2 && run.position == ids[2] && run.finishedAt == nil)
        run.advance(over: [], at: now)
        #expect(run.done == 2 && run.position == ids[2] && run.finishedAt == now)
    }

    @Test("when what was handled cannot be forgotten, no rebuild is under way, and asking again begins one")
    func notForgotten() async throws {
        let library = try await Library.open()
        try await library.add("Fulmars")
        let admin = try await library.host.client(library.tenant.owner)
        let rows = "SELECT event_id FROM search.inbox WHERE tenant_id = '\(library.tenant.id)'"
        // Somebody holds the rows for longer than a statement may take.
        async let holding = Psql.rows("BEGIN; \(rows) FOR UPDATE; SELECT pg_sleep(13); COMMIT")
        try await library.host.eventually("they are held") { try await Psql.rows("\(rows) FOR UPDATE SKIP LOCKED").isEmpty }
        #expect(try await admin.post("\(Library.path)/reindex/from-events").status == 503)
        #expect(try await admin.get("\(Library.path)/reindex").status == 404)
        _ = try await holding
        let started = try await admin.post("\(Library.path)/reindex/from-events")
        #expect(started.status == 202 && started["source"] == "events" && started["status"] == "running")
        #expect(try await Psql.rows(rows).isEmpty)
        // Asking once more answers with the same.
        #expect(try await admin.post("\(Library.path)/reindex/from-events")["id"] == started["id"])
    }
}
