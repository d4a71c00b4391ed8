import Contracts
import Foundation
import TestKit
import Testing

@testable import SearchService

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

    @Test("an index built anew from the events serves on meanwhile, and loses what no event tells of at its end, not before")
    func fromEvents() async throws {
        let library = try await Library.open()
        let kept = ArticleID.make(), event = EventID.make()
        try await library.publish("Ocelots", id: kept, version: 2, eventID: event)
        try await library.host.eventually("it is in") { try await library.indexed(kept) != nil }
        let lost = try await library.add("Pangolins", "<p>lost event</p>")
        let changed = try await library.add("Quolls")
        try await library.spoilIndex()
        let admin = try await library.host.client(library.tenant.owner)
        #expect(try await admin.post("\(Library.path)/reindex/finish", [:]).status == 409)
        let started = try await admin.post("\(Library.path)/reindex/from-events")
        #expect(started.status == 202 && started["source"] == "events" && started["total"] == 3 && started["done"] == 0)
        // Nobody loses an index by ending what has not begun.
        #expect(try await admin.post("\(Library.path)/reindex/finish", ["hides": 3])["type"] == "/problems/no-events-came")
        #expect(try await admin.get("\(Library.path)/reindex")["hides"] == 3)
        // The same event once more, as its owner's outbox would publish it, and a new one of another document.
        try await library.publish("Ocelots", id: kept, version: 2, eventID: event)
        try await library.update("Quolls today", id: changed, version: 3)
        try await library.host.eventually("both are told of, one is confirmed") {
            let run = try await admin.get("\(Library.path)/reindex")
            return run["done"] == 1 && run["hides"] == 1
        }
        #expect(try await library.titles("ocelots") == ["Ocelots"])
        let hidden = try await library.add("Rabbits")
        try await library.unpublish(hidden, version: 3)
        try await library.host.eventually("withdrawal counts meanwhile") { try await library.indexed(hidden)?.searchable == false }
        for agreed: JSONValue in [[:], ["hides": 0], ["hides": 2]] {
            let refused = try await admin.post("\(Library.path)/reindex/finish", agreed)
            #expect(refused.status == 409 && refused["type"] == "/problems/rebuild-hides-documents")
            #expect(refused["detail"].string?.contains("{\"hides\": 1}") == true)
        }
        #expect(try await library.indexed(lost)?.searchable == true)
        let finished = try await admin.post("\(Library.path)/reindex/finish", ["hides": 1])
        #expect(finished.status == 200 && finished["status"] == "finished" && finished["done"] == 1 && finished["hides"] == 1)
        #expect(try await library.titles("ocelots") == ["Ocelots"])
        #expect(try await library.titles("quolls") == ["Quolls today"])
        #expect(try await library.titles("pangolins").isEmpty)
        #expect(try await library.indexed(lost)?.searchable == false)
        #expect(try await library.titles("rabbits").isEmpty)
    }

    @Test("what ordinary changes tell of while a rebuild waits does not let it end: nothing was published again")
    func ordinaryChanges() async throws {
        let library = try await Library.open()
        let changed = try await library.add("Vicuñas")
        try await library.add("Wombats")
        let admin = try await library.host.client(library.tenant.owner)
        #expect(try await admin.post("\(Library.path)/reindex/from-events").status == 202)
        try await library.add("Xerus")
        try await library.update("Vicuñas today", id: changed, version: 3)
        try await library.host.eventually("the change is in") { try await library.titles("today") == ["Vicuñas today"] }
        #expect(try await admin.get("\(Library.path)/reindex")["done"] == 0)
        #expect(try await admin.post("\(Library.path)/reindex/finish", ["hides": 1])["type"] == "/problems/no-events-came")
        #expect(try await library.titles("wombats") == ["Wombats"])
    }

    @Test("what a rebuild hid keeps its text, comes back when its event does, and is forgotten after its time")
    func hidden() async throws {
        let library = try await Library.open()
        let kept = ArticleID.make(), lost = ArticleID.make(), gone = ArticleID.make()
        let event = EventID.make()
        try await library.publish("Yaks", id: kept, version: 2, eventID: event)
        for (title, id) in [("Zebras", lost), ("Zorillas", gone)] { try await library.add(title, "<p>late</p>", id: id) }
        try await library.host.eventually("it is in") { try await library.indexed(kept) != nil }
        let admin = try await library.host.client(library.tenant.owner)
        #expect(try await admin.post("\(Library.path)/reindex/from-events").status == 202)
        try await library.publish("Yaks", id: kept, version: 2, eventID: event)
        try await library.host.eventually("it is confirmed") { try await admin.get("\(Library.path)/reindex")["done"] == 1 }
        #expect(try await admin.post("\(Library.path)/reindex/finish", ["hides": 2]).status == 200)
        for id in [lost, gone] {
            let document = try #require(try await library.indexed(id))
            #expect(!document.searchable && document.text.contains("late"))
        }
        #expect(try await library.search("late")["total"] == 0)
        #expect(try await library.suggestions("z").isEmpty)
        try await library.publish("Zebras", "<p>late</p>", id: lost, version: 2)
        try await library.host.eventually("it is back, though no rebuild waits") { try await library.titles("late") == ["Zebras"] }
        let database = library.host.database
        try await ReindexWorker.emptyHidden(of: library.tenant.id, at: Date(timeIntervalSinceNow: 29 * 86_400), in: database)
        #expect(try await library.indexed(gone)?.text.contains("late") == true)
        try await ReindexWorker.emptyHidden(of: library.tenant.id, at: Date(timeIntervalSinceNow: 31 * 86_400), in: database)
        #expect(try await library.indexed(gone)?.text.contains("late") == false)
        #expect(try await library.titles("late") == ["Zebras"])
    }

    @Test("a rebuild that is cancelled leaves everything as it is")
    func cancelling() async throws {
        let library = try await Library.open()
        try await library.add("Servals")
        let admin = try await library.host.client(library.tenant.owner)
        #expect(try await admin.post("\(Library.path)/reindex/from-events").status == 202)
        let cancelled = try await admin.post("\(Library.path)/reindex/cancel")
        #expect(cancelled["status"] == "finished" && cancelled["hides"] == 0)
        #expect(try await library.titles("servals") == ["Servals"])
    }

    @Test("a rebuild that has ended is not ended again, whichever way it did")
    func endedOnce() async throws {
        let library = try await Library.open()
        let admin = try await library.host.client(library.tenant.owner)
        for end in ["cancel", "finish"] {
            #expect(try await admin.post("\(Library.path)/reindex/from-events").status == 202)
            let body: JSONValue? = end == "finish" ? [:] : nil
            #expect(try await admin.post("\(Library.path)/reindex/\(end)", body).status == 200)
            for again in [
                try await admin.post("\(Library.path)/reindex/cancel"), try await admin.post("\(Library.path)/reindex/finish", [:]),
            ] {
                #expect(again.status == 409 && again["type"] == "/problems/no-rebuild-under-way", "\(again.text)")
            }
        }
    }

    @Test("what is withdrawn while the index is derived anew stays withdrawn")
    func withdrawn() async throws {
        let library = try await Library.open()
        var ids: [ArticleID] = []
        for number in 0..<12 { ids.append(try await library.add("Tapir \(number)")) }
        let admin = try await library.host.client(library.tenant.owner)
        for (number, id) in ids.enumerated() {
            async let run = admin.post("\(Library.path)/reindex")
            try await library.unpublish(id, version: 3)
            #expect(try await run.status == 202)
            if number == 11 {
                try await library.host.eventually("the last is hidden") { try await library.indexed(id)?.searchable == false }
            }
        }
        try await library.host.eventually("no run is under way") { try await admin.get("\(Library.path)/reindex")["status"] == "finished" }
        #expect(try await library.search("tapir")["total"] == 0)
    }

    @Test("reading does not give the right to reindex")
    func permission() async throws {
        let library = try await Library.open()
        #expect(try await library.reader.post("\(Library.path)/reindex").status == 403)
        #expect(try await library.reader.get("\(Library.path)/reindex").status == 403)
    }
}
