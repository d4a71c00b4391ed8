import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@testable import SearchService

/// Ranking against judged queries, beside plain PostgreSQL full text over the same rows.
///
/// The set is made here, from a seed; `TRIONEX_JUDGED` names a file of a larger one (`make bench-relevance`), and then the figures are
/// printed as a table.
@Suite("Relevance")
struct RelevanceTests {
    @Test("the first ten results are better than plain full text's, and words with a typing error find what was meant")
    func judged() async throws {
        let file = ProcessInfo.processInfo.environment["TRIONEX_JUDGED"]
        let set =
            try file.map { try JSON.decode(JudgedSet.self, from: Data(contentsOf: URL(filePath: $0))) } ?? JudgedSet.generated(seed: 7)
        let library = try await Library.open()
        let ids = try await library.take(set.documents)
        let index = SearchIndex(database: library.host.database)
        let caller = library.tenant.viewer.caller
        var ours: [String: Figures] = [:], plain: [String: Figures] = [:], loose: [String: Figures] = [:]
        for query in set.queries {
            let grades = Dictionary(uniqueKeysWithValues: query.grades.map { (ids[Int($0.key) ?? 0], $0.value) })
            let text = try #require(SearchText(rawValue: query.text))
            let found = try await index.find(text, SearchFilter(type: .article), after: nil, limit: 10, as: caller, at: Date()).0
            ours[query.kind, default: Figures()].add(found.hits.map(\.id), grades)
        }
        for (query, results) in zip(set.queries, try await library.plain(set.queries.map(\.text))) {
            let grades = Dictionary(uniqueKeysWithValues: query.grades.map { (ids[Int($0.key) ?? 0], $0.value) })
            plain[query.kind, default: Figures()].add(results.all, grades)
            loose[query.kind, default: Figures()].add(results.any, grades)
        }
        let all = (Figures.total(ours), Figures.total(plain), Figures.total(loose))
        if file != nil {
            // Printed, because the table is what a judged set is given for (`make bench-relevance`).
            print("\n| \(set.documents.count) documents, \(set.queries.count) queries | search | ts_rank, all words | ts_rank, any word |")
            print("|---|---|---|---|")
            for kind in ours.keys.sorted() {
                print("| nDCG@10, \(kind) | \(ours[kind]?.text ?? "") | \(plain[kind]?.text ?? "") | \(loose[kind]?.text ?? "") |")
            }
            print("| nDCG@10, all | \(all.0.text) | \(all.1.text) | \(all.2.text) |")
            let success = [ours, plain, loose].map { $0["typo"]?.success ?? "" }
            print("| success@10, typo | \(success.joined(separator: " | ")) |")
        }
        #expect(all.0.mean > all.1.mean + 0.05 && all.0.mean > all.2.mean + 0.05, "\(all.0.text), \(all.1.text), \(all.2.text)")
        #expect((ours["typo"]?.successful ?? 0) >= 0.85, "of words with a typing error")
    }
}

/// Documents, queries, and what each should find: the number of a document and its grade.
struct JudgedSet: Codable {
    struct Text: Codable {
        let title: String
        let body: String
    }
    struct Query: Codable {
        let kind: String
        let text: String
        let grades: [String: Int]
    }
    let documents: [Text]
    let queries: [Query]

    /// 240 documents of 40 subjects, each with words of its own among frequent ones; the words of a subject are rare elsewhere.
    static func generated(seed: UInt64) -> JudgedSet {
        var chance = Chance(state: seed)
        let subjects = (0..<40).map { _ in (0..<4).map { _ in chance.word(6...10) } }
        let frequent = (0..<300).map { _ in chance.word(3...7) }
        var documents: [Text] = [], about: [Int] = []
        for number in 0..<240 {
            let subject = number % 40
            var body = (0..<80).map { _ in frequent[chance.below(1 + chance.below(300))] }
            for word in subjects[subject] { for _ in 0...chance.below(3) { body[chance.below(80)] = word } }
            // And now and then a word of another subject, in passing.
            body[chance.below(80)] = subjects[chance.below(40)][0]
            let isTitled = chance.below(2) == 0
            documents.append(
                Text(
                    title: "\(frequent[chance.below(300)]) \(isTitled ? subjects[subject][0] : frequent[chance.below(300)])",
                    body: body.joined(separator: " ")))
            about.append(subject)
        }
        var queries: [Query] = []
        for (subject, words) in subjects.enumerated() {
            let grades = Dictionary(uniqueKeysWithValues: about.indices.filter { about[$0] == subject }.map { ("\($0)", 1) })
            queries.append(Query(kind: "words", text: "\(frequent[chance.below(20)]) \(words[0]) \(words[1])", grades: grades))
            queries.append(Query(kind: "typo", text: chance.misspelled(words[0]), grades: grades))
            queries.append(Query(kind: "beginning", text: "\(words[2]) \(words[1].prefix(4))", grades: grades))
        }
        return JudgedSet(documents: documents, queries: queries)
    }
}

/// Numbers that are the same on every run (SplitMix64).
private struct Chance {
    var state: UInt64

    mutating func below(_ limit: Int) -> Int {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return Int((value ^ (value >> 31)) % UInt64(limit))
    }

    mutating func word(_ lengths: ClosedRange<Int>) -> String {
        let (consonants, vowels) = (Array("bcdfgklmnprtvz"), Array("aiou"))
        let length = lengths.lowerBound + below(lengths.count)
        return String((0..<length).map { $0 % 2 == 0 ? consonants[below(consonants.count)] : vowels[below(vowels.count)] })
    }

    mutating func misspelled(_ word: String) -> String {
        var letters = Array(word)
        let place = 1 + below(letters.count - 2)
        switch below(3) {
        case 0: letters.swapAt(place, place + 1)
        case 1: letters.remove(at: place)
        default: letters.insert("e", at: place)
        }
        return String(letters)
    }
}

/// How good the first ten results of several queries are.
private struct Figures {
    private var gains: [Double] = []
    private var best: [Bool] = []

    var mean: Double { gains.isEmpty ? 0 : gains.reduce(0, +) / Double(gains.count) }
    /// The share of queries with one of the best documents among the first ten (success@10).
    var successful: Double { best.isEmpty ? 0 : Double(best.count(where: \.self)) / Double(best.count) }
    var text: String { String(format: "%.3f", mean) }
    var success: String { String(format: "%.3f", successful) }

    mutating func add(_ results: [DocumentID], _ grades: [DocumentID: Int]) {
        func gain(_ grades: [Int]) -> Double {
            grades.prefix(10).enumerated().reduce(0) { $0 + (pow(2, Double($1.element)) - 1) / log2(Double($1.offset + 2)) }
        }
        let ideal = gain(grades.values.sorted(by: >))
        gains.append(ideal == 0 ? 0 : gain(results.map { grades[$0] ?? 0 }) / ideal)
        let highest = grades.values.max() ?? 0
        best.append(results.prefix(10).contains { grades[$0] == highest })
    }

    static func total(_ figures: [String: Figures]) -> Figures {
        figures.values.reduce(into: Figures()) {
            $0.gains += $1.gains
            $0.best += $1.best
        }
    }
}

extension Library {
    /// Indexes the documents as events would, in one go, and counts their words.
    fileprivate func take(_ texts: [JudgedSet.Text]) async throws -> [DocumentID] {
        let ids = texts.map { _ in DocumentID.make() }
        let published = Date(timeIntervalSince1970: 1_768_473_000)
        for start in stride(from: 0, to: texts.count, by: 100) {
            try await host.database.transaction(as: .service(.search, for: tenant.id)) { tx in
                for index in start..<min(start + 100, texts.count) {
                    try DocumentStore(tx).index(
                        Document(
                            type: .article, id: ids[index], version: 1, title: texts[index].title, slug: "s", body: texts[index].body,
                            publishedAt: published))
                }
            }
        }
        try await count()
        return ids
    }

    /// The first ten of the same rows by PostgreSQL's own means, in English, as its manual shows it: documents with all words of each text,
    /// and documents with any of them.
    fileprivate func plain(_ texts: [String]) async throws -> [(all: [DocumentID], any: [DocumentID])] {
        try await host.database.transaction(as: .service(.search, for: tenant.id)) { tx in
            try tx.execute(
                """
                CREATE TEMPORARY TABLE plain ON COMMIT DROP AS
                SELECT id, to_tsvector('pg_catalog.english', title || ' ' || body) AS vector FROM documents WHERE searchable
                """)
            return try texts.map { text in
                func first(_ wanted: SQL) throws -> [DocumentID] {
                    try tx.query(
                        Query(
                            """
                            SELECT id FROM plain, (SELECT \(fragment: wanted) AS wanted) AS query
                            WHERE vector @@ wanted ORDER BY ts_rank(vector, wanted) DESC, id LIMIT 10
                            """, column: "id"))
                }
                return (
                    try first("websearch_to_tsquery('pg_catalog.english', \(text))"),
                    try first("replace(plainto_tsquery('pg_catalog.english', \(text))::text, '&', '|')::tsquery")
                )
            }
        }
    }
}
