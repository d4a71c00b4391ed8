import Contracts
import Foundation
import TestKit
import Testing

@testable import SearchService

@Suite("Words that are several to the parser")
struct SplitWordTests {
    @Test("a word with a hyphen is found as a whole, written with or without it, and not by its parts")
    func hyphen() async throws {
        let library = try await Library.open()
        try await library.add("Cotton t-shirt", "<p>plain</p>")
        try await library.add("Cotton T shirt", "<p>plain</p>")
        try await library.add("Shirt of linen", "<p>plain</p>")
        try await library.add("Talk", "<p>I don't know, plain as it is</p>")
        for text in ["t-shirt", "T-Shirts", "\"t-shirt\"", "(t-shirt),", "t‑shirt"] {
            let answer = try await library.search(text)
            let found = Set(answer["data"].array.compactMap { $0["title"].string })
            #expect(found.isSubset(of: ["Cotton t-shirt", "Cotton T shirt"]) && found.contains("Cotton t-shirt"), "\(text): \(found)")
            #expect(answer["total"].int == found.count)
        }
        #expect(try await Set(library.titles("t-shirt")) == ["Cotton t-shirt", "Cotton T shirt"])
    }

    @Test("excluding such a word leaves out documents with it, and none with a part of it")
    func excluded() async throws {
        let library = try await Library.open()
        try await library.add("Cotton t-shirt", "<p>plain</p>")
        try await library.add("Shirt of linen", "<p>plain</p>")
        try await library.add("Talk", "<p>I don't know, plain as it is</p>")
        #expect(try await Set(library.titles("plain -t-shirt")) == ["Shirt of linen", "Talk"])
        #expect(try await library.titles("plain -don't -t-shirt") == ["Shirt of linen"])
    }

    @Test("frequent parts meet nobody's demand, also where some of the words are enough")
    func frequentParts() async throws {
        let library = try await Library.open()
        try await library.add("State-of-the-art engines")
        try await library.add("The art of war")
        try await library.add("State of affairs")
        try await library.add("Turbines")
        try await library.count()
        #expect(try await library.titles("state-of-the-art") == ["State-of-the-art engines"])
        #expect(try await Set(library.titles("state-of-the-art turbines")) == ["State-of-the-art engines", "Turbines"])
        #expect(try await library.titles("state-of-the-art -engines").isEmpty)
        let hit = try await library.search("state-of-the-art")["data"][0]
        #expect(hit["highlightedTitle"].string?.contains("<mark>art</mark>") == true, "\(hit)")
    }

    @Test("an apostrophe joins what stands beside it, whichever kind it is", arguments: ["l'histoire", "L’histoire", "l'histoires"])
    func apostrophe(text: String) async throws {
        let library = try await Library.open()
        let french = "<p>une page pour les amis et sur la ville qui est dans le pays avec nous</p>"
        try await library.add("L'histoire", french)
        try await library.add("L'eau", french)
        try await library.add("L’air", french)
        #expect(try await library.titles(text) == ["L'histoire"])
    }

    @Test("a file is found by its name while it is typed, and by no other's year")
    func fileName() async throws {
        let library = try await Library.open()
        for year in ["2023", "2024"] {
            try await library.host.publish(
                FileUploaded(
                    fileID: .make(), name: "report-\(year).pdf", contentType: "application/pdf", size: 3, sha256: "00", uploadedBy: nil),
                for: library.tenant.id)
        }
        try await library.add("Minutes", "<p>see report-2024 of the committee, and covid-19</p>")
        try await library.host.eventually("both are found") { try await library.search("report", "&type=file")["total"] == 2 }
        for text in ["report-2024.pdf", "Report-2024.PDF", "report-2024.p", "report-2024.", "report-2024", "report_2024"] {
            #expect(try await library.titles(text, "&type=file") == ["report-2024.pdf"], "\(text)")
        }
        #expect(try await Set(library.titles("report-20", "&type=file")) == ["report-2023.pdf", "report-2024.pdf"])
        #expect(try await Set(library.titles("report-2024")) == ["report-2024.pdf", "Minutes"])
        #expect(try await library.titles("report-2024 -report-2023") == library.titles("report-2024"))
        #expect(try await library.titles("covid-19") == ["Minutes"])
    }

    @Test("what is being typed is completed across a hyphen, with a typing error in a part forgiven")
    func typing() async throws {
        let library = try await Library.open()
        try await library.add("Cotton t-shirt")
        try await library.add("Shirt of linen")
        try await library.add("Talk", "<p>I don't know</p>")
        try await library.host.eventually("its words are known") { try await library.terms().contains("shirt") }
        for text in ["t-sh", "t-shi", "cotton t-shir", "t-shirt", "t-shrit"] {
            #expect(try await library.titles(text) == ["Cotton t-shirt"], "\(text)")
        }
        #expect(try await library.suggestions("t-shi") == ["Cotton t-shirt"])
        #expect(try await library.suggestions("cotton t-shirt") == ["Cotton t-shirt"])
        #expect(try await library.suggestions("linen t-shi").isEmpty)
    }

    @Test("addresses are found as a whole and while they are typed")
    func addresses() async throws {
        let library = try await Library.open()
        try await library.host.publish(
            UserCreated(userID: .make(), email: "ada@engines.example", firstName: "Ada", lastName: "Byron", role: "editor"),
            for: library.tenant.id)
        try await library.host.publish(
            UserCreated(userID: .make(), email: "ada@looms.example", firstName: "Ada", lastName: "Loom", role: "editor"),
            for: library.tenant.id)
        try await library.add("Papers", "<p>see https://papers.example/a-b/notes?x=1 for more</p>")
        try await library.add("Other papers", "<p>see https://papers.example/other or example things</p>")
        try await library.host.eventually("they are found") { try await library.search("ada", "&type=person")["total"] == 2 }
        for text in ["ada@engines.example", "ada@engines.ex", "ada@eng"] {
            #expect(try await library.titles(text) == ["Ada Byron"], "\(text)")
        }
        for text in ["https://papers.example/a-b/notes?x=1", "papers.example/a-b/notes?x=1", "papers.example/a-b/no", "papers.example"] {
            #expect(try await library.titles(text).contains("Papers"), "\(text)")
        }
        #expect(try await library.titles("papers.example/a-b/notes?x=1 notes").first == "Papers")
        #expect(try await library.titles("see -papers.example/a-b/notes?x=1") == ["Other papers"])
    }

    @Test("a phrase among alternatives stays a phrase")
    func alternatives() async throws {
        let library = try await Library.open()
        try await library.add("Green apples")
        try await library.add("Red apples")
        try await library.add("Pears")
        #expect(try await Set(library.titles("pears or \"green apples\"")) == ["Green apples", "Pears"])
        #expect(try await Set(library.titles("pears or green-apples")) == ["Green apples", "Pears"])
    }

    @Test("such a word weighs what its rarest part does, and single letters and signs, which nobody counts, do not matter")
    func weight() {
        let corpus = Corpus(documents: 1000, averageLength: 100)
        let meanings = [
            Meaning(word: 1, kind: .exact, stem: "state-of-the-art", documents: 0),
            Meaning(word: 1, kind: .exact, stem: "state", documents: 90, reading: 1, piece: 1),
            Meaning(word: 1, kind: .exact, stem: "the", documents: 1000, reading: 1, piece: 2),
            Meaning(word: 1, kind: .exact, stem: "art", documents: 20, reading: 1, piece: 3),
            Meaning(word: 2, kind: .exact, stem: "t", documents: 0, reading: 1, piece: 1),
            Meaning(word: 2, kind: .exact, stem: "shirt", documents: 300, reading: 1, piece: 2),
        ]
        let plan = SearchPlan(Question("state-of-the-art t-shirt x"), meanings, mode: .all, corpus: corpus)
        #expect(plan?.scored.map(\.exact) == [["state-of-the-art", "art"], ["shirt"]])
        let weights = [20, 300].map { (corpus.weight(ofWordIn: $0) * 1000).rounded() / 1000 }
        #expect(plan?.scored.map(\.weight) == weights)
        #expect(plan?.groups == [["state-of-the-art", "art"], ["shirt"]])
        #expect(TSQuery.anyOf(plan?.phrases.last?.stems ?? [], plan?.phrases.last?.compounds ?? []) == "(('t') <-> ('shirt'))")
    }
}
