import Contracts
import Foundation
import Postgres
import Synchronization
import TestKit
import Testing

@testable import SearchService

/// How long searches take among many documents of many organizations: a bench that needs the engine alone (`make bench-search`).
/// `TRIONEX_SEARCH_LOAD` says how many documents; without it nothing runs.
@Suite("Load", .enabled(if: ProcessInfo.processInfo.environment["TRIONEX_SEARCH_LOAD"] != nil))
struct LoadTests {
    private static let tenants = 100
    private static let words = 20_000
    private static let chunk = 500

    private static func setting(_ name: String, _ standard: Int) -> Int {
        ProcessInfo.processInfo.environment[name].flatMap { Int($0) } ?? standard
    }

    @Test("searches among many documents, idle and beside indexing", .timeLimit(.minutes(60)))
    func load() async throws {
        let documents = Self.setting("TRIONEX_SEARCH_LOAD", 100_000)
        let seconds = Self.setting("TRIONEX_SEARCH_SECONDS", 20)
        let host = try await Neighbourhood.shared.value.search
        let tenants = (0..<Self.tenants).map { _ in TestTenant() }
        let lexicon = Self.lexicon()
        let start = ContinuousClock.now
        try await Self.fill(tenants, documents / Self.tenants, lexicon, host.database)
        let filled = (ContinuousClock.now - start) / .seconds(1)
        // Printed, because the table is what this is run for (`make bench-search`).
        print(
            "\n| \(documents) documents, \(Self.tenants) organizations | p50 ms | p95 ms | p99 ms | searches/s of one client |\n|---|---|---|---|---|"
        )
        let index = SearchIndex(database: host.database)
        _ = try await Self.search(index, tenants, lexicon, for: 3)
        print(try await Self.search(index, tenants, lexicon, for: seconds).row("idle"))
        let indexed = Mutex(0)
        let busy = Task {
            var number = 0
            while !Task.isCancelled {
                number += 1
                let tenant = tenants[number % Self.tenants]
                try await Self.indexOne(tenant.id, lexicon, host.database)
                indexed.withLock { $0 += 1 }
            }
        }
        print(try await Self.search(index, tenants, lexicon, for: seconds).row("one writer indexing without pause"))
        busy.cancel()
        _ = try? await busy.value
        print(
            String(
                format: "\nIndexed meanwhile: %.0f documents/s. Filled at %.0f documents/s.",
                Double(indexed.withLock { $0 }) / Double(seconds), Double(documents) / filled))
    }

    /// Words of two to four syllables, the most frequent first.
    private static func lexicon() -> [String] {
        let syllables = "ba ce di fo gu ha je ki lo mu na pe qui ro su ta ve wi xo zu bre cla dri flo gru".split(separator: " ")
        return (0..<words).map { number in
            var rest = number
            var word = ""
            repeat {
                word += syllables[rest % syllables.count]
                rest /= syllables.count
            } while rest > 0 || word.count < 4
            return word + ["n", "r", "s", "l", "", "m", "t"][number % 7]
        }
    }

    /// Log-uniform, which is close to how often words of a language are used.
    private static func word(_ lexicon: [String]) -> String {
        lexicon[min(words - 1, Int(pow(Double(words), Double.random(in: 0..<1))) - 1)]
    }

    /// As many organizations at once as there are cores to derive their words.
    private static func fill(_ tenants: [TestTenant], _ count: Int, _ lexicon: [String], _ database: Database) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (number, tenant) in tenants.enumerated() {
                if number >= ProcessInfo.processInfo.activeProcessorCount { try await group.next() }
                if number % 10 == 0 { print("Indexed: \(number) of \(tenants.count) organizations") }
                group.addTask { try await fill(tenant.id, count, lexicon, database) }
            }
            try await group.waitForAll()
        }
    }

    private static func fill(_ tenant: TenantID, _ count: Int, _ lexicon: [String], _ database: Database) async throws {
        let caller = Caller.service(.search, for: tenant)
        for start in stride(from: 0, to: count, by: chunk) {
            let size = min(chunk, count - start)
            _ = try await database.execute(
                """
                WITH lexicon AS (SELECT \(lexicon)::text[] AS words),
                texts AS (
                    SELECT i,
                        (SELECT string_agg(words[floor(20000 ^ random())::integer + 0 * (s + i)], ' ') FROM generate_series(1, 6) AS s) AS title,
                        (SELECT string_agg(words[floor(20000 ^ random())::integer + 0 * (s + i)], ' ') FROM generate_series(1, 100) AS s) AS body
                    FROM lexicon, generate_series(1, \(size)) AS i)
                INSERT INTO documents (
                    tenant_id, id, type, version, searchable, title, slug, tags, category, body, published_at, title_key, words, length,
                    indexed_at)
                SELECT \(tenant), gen_random_uuid(), 'article', 1, true, title, 's', ARRAY['t' || i % 10], 'c' || i % 5, body,
                    now() - i * interval '1 hour', title_key(title), words, words_in(words), now()
                FROM texts, document_words('english', title, NULL, NULL, 'c' || i % 5, ARRAY['t' || i % 10], body) AS words
                """, as: caller, slow: true)
        }
        try await database.transaction(as: caller) { tx in
            try tx.execute(
                """
                INSERT INTO terms (tenant_id, needs, language, term, stem, documents)
                SELECT \(tenant), 'content:read', 'english', word, stem('english', word), ndoc
                FROM ts_stat('SELECT to_tsvector(''simple_words'', title || '' '' || body) FROM documents')
                """)
            try tx.execute(
                """
                INSERT INTO statistics (tenant_id, documents, length, languages, stale, counted_at, count_after)
                VALUES (\(tenant), \(count), 108, '{english}', false, now(), now())
                """)
        }
    }

    private static func indexOne(_ tenant: TenantID, _ lexicon: [String], _ database: Database) async throws {
        let body = (0..<100).map { _ in word(lexicon) }.joined(separator: " ")
        let title = "\(word(lexicon)) \(word(lexicon)) \(word(lexicon))"
        _ = try await database.transaction(as: .service(.search, for: tenant)) { tx in
            try DocumentStore(tx).index(
                Document(type: .article, id: .make(), version: 1, title: title, slug: "s", body: body, publishedAt: tx.now))
        }
    }

    private static func search(_ index: SearchIndex, _ tenants: [TestTenant], _ lexicon: [String], for seconds: Int) async throws -> Times {
        var times = Times()
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            guard let text = SearchText(rawValue: query(lexicon)) else { continue }
            let caller = tenants[Int.random(in: 0..<tenants.count)].viewer.caller
            let start = ContinuousClock.now
            _ = try await index.find(text, SearchFilter(), after: nil, limit: 21, as: caller, at: Date())
            times.add(ContinuousClock.now - start)
        }
        return times
    }

    /// One to three words; of three in ten the last is unfinished, one in ten has a typing error.
    private static func query(_ lexicon: [String]) -> String {
        var chosen = (0..<[1, 2, 2, 2, 3].randomElement(or: 2)).map { _ in word(lexicon) }
        let last = chosen.removeLast()
        switch Int.random(in: 0..<10) {
        case 0..<3: chosen.append(String(last.prefix(max(3, last.count * 2 / 3))))
        case 3: chosen.append(String(last.prefix(2) + last.dropFirst(3)))
        default: chosen.append(last)
        }
        return chosen.joined(separator: " ")
    }
}

private struct Times {
    private var milliseconds: [Double] = []

    mutating func add(_ duration: Duration) { milliseconds.append(duration / .milliseconds(1)) }

    func row(_ what: String) -> String {
        let sorted = milliseconds.sorted()
        func at(_ share: Double) -> String {
            sorted.isEmpty ? "" : String(format: "%.1f", sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))])
        }
        let rate = sorted.isEmpty ? 0 : 1000 * Double(sorted.count) / sorted.reduce(0, +)
        return "| \(what), \(sorted.count) searches | \(at(0.5)) | \(at(0.95)) | \(at(0.99)) | \(String(format: "%.0f", rate)) |"
    }
}

extension [Int] {
    fileprivate func randomElement(or standard: Int) -> Int { randomElement() ?? standard }
}
