import Contracts
import DevStack
import Foundation
import Logging
import Messaging
import Postgres
import Synchronization

/// How soon what is published is found by search, and counted in the overview of analytics: on the running platform, as a client sees it
/// through the gateway. Idle, while other organizations publish, and while another one has ten thousand updates queued.
struct FreshnessFigures {
    let gateway: String
    /// Administrator's address of the database.
    let database: String
    /// Publications a second of other organizations.
    let rate: Int
    let book: FigureBook

    static let idleSamples = 200
    static let others = 20
    static let loadedFor: Duration = .seconds(30)
    static let updates = 10_000
    /// Articles that the updates are of: each changes fifty times.
    static let updated = 200

    /// From before `publish` was sent until the answer that had it.
    private struct Sample: Sendable {
        let found: Double
        let counted: Double
    }

    func measure() async throws {
        let reader = try await Reader(try await Newcomer.register(at: gateway))
        _ = try await samples(of: reader, count: 20)
        let idle = try await samples(of: reader, count: Self.idleSamples)
        show(idle, "idle")

        let load = try await PublicationLoad.prepared(at: gateway, organizations: Self.others, rate: rate, for: Self.loadedFor)
        let (loaded, achieved) = try await whileRunning({ try await load.run() }) { try await samples(of: reader, count: 1) }
        show(loaded, String(format: "while %d others publish %.0f articles a second", Self.others, achieved))

        // What the load has left to do is done by then.
        _ = try await samples(of: reader, count: 40)
        let flood = UpdateFlood(database: database)
        let (flooded, seconds) = try await whileRunning({ try await flood.run() }) { try await samples(of: reader, count: 1) }
        await flood.shutdown()
        show(flooded, String(format: "while another's %dk queued updates are taken in (%.1f s)", Self.updates / 1_000, seconds))
        for (what, time) in [("found", \Sample.found), ("counted", \Sample.counted)] {
            let ratios = [0.5, 0.95].map { part in
                let spread = { (samples: [Sample]) in Spread(samples.map { $0[keyPath: time] }).quantile(part) }
                return String(format: "%.2f ×", spread(flooded) / max(spread(idle), 0.001))
            }
            book.row("delay by these updates of the other organization's publish → \(what), p50 / p95", ratios.joined(separator: " / "))
        }
    }

    private func show(_ samples: [Sample], _ when: String) {
        for (what, time) in [("found by search", \Sample.found), ("counted in the overview", \Sample.counted)] {
            book.row(
                "publish → \(what), \(when), p50 / p95 / p99 of \(samples.count)", Spread(samples.map { $0[keyPath: time] }).text)
        }
    }

    private func samples(of reader: Reader, count: Int) async throws -> [Sample] {
        var samples: [Sample] = []
        for _ in 0..<count { samples.append(try await reader.sample()) }
        return samples
    }

    /// Samples until the other work is done, and what that returned.
    private func whileRunning(
        _ work: @escaping @Sendable () async throws -> Double, _ sample: () async throws -> [Sample]
    ) async throws -> ([Sample], Double) {
        let isOver = Mutex(false)
        async let result = {
            defer { isOver.withLock { $0 = true } }
            return try await work()
        }()
        var samples: [Sample] = []
        while !isOver.withLock({ $0 }) { samples += try await sample() }
        return (samples, try await result)
    }

    /// Somebody who publishes, and looks for it.
    private final class Reader: Sendable {
        private let person: Newcomer
        /// What the overview has counted for certain.
        private let counted: Mutex<Int>
        private static let limit: Duration = .seconds(60)

        init(_ person: Newcomer) async throws {
            self.person = person
            counted = Mutex(try await Self.publications(person))
        }

        private static func publications(_ person: Newcomer) async throws -> Int {
            let answer = try await person.client.get("/api/v1/analytics/overview")
            guard answer.status == 200, let count = answer["totals"]["publications"].int else {
                throw StackFailure("the overview answered \(answer.status)")
            }
            return count
        }

        func sample() async throws -> Sample {
            let word = "w\(UUID().uuidString.lowercased().prefix(8))"
            let id = try await person.draft("Fresh \(word)")
            let expected = counted.withLock {
                $0 += 1; return $0
            }
            let start = ContinuousClock.now
            try await person.publish(id: id)
            let person = person
            async let found = Self.time(since: start, "finding") { try await person.finds(word) }
            async let counted = Self.time(since: start, "counting") { try await Self.publications(person) >= expected }
            return Sample(found: try await found, counted: try await counted)
        }

        private static func time(
            since start: ContinuousClock.Instant, _ what: String, _ isThere: () async throws -> Bool
        ) async throws -> Double {
            while try await !isThere() {
                guard ContinuousClock.now - start < limit else { throw StackFailure("\(what) took longer than a minute") }
                try await Task.sleep(for: .milliseconds(2))
            }
            return (ContinuousClock.now - start) / .milliseconds(1)
        }
    }
}

/// Other organizations that publish articles, evenly over time, each of which was written before.
private struct PublicationLoad: Sendable {
    private let drafts: [(person: Newcomer, id: String)]
    private let rate: Int
    private static let workers = 16

    static func prepared(at gateway: String, organizations: Int, rate: Int, for time: Duration) async throws -> PublicationLoad {
        var people: [Newcomer] = []
        for _ in 0..<organizations { people.append(try await Newcomer.register(at: gateway)) }
        let count = Int(Double(rate) * (time / .seconds(1)))
        FigureBook.say("writing \(count) drafts of \(organizations) organizations")
        let drafts = try await Lanes.map(count, in: workers) { [people] number in
            let person = people[number % people.count]
            return (person, try await person.draft("Load \(number)", text: Prose.text(words: 150, seed: number)))
        }
        return PublicationLoad(drafts: drafts, rate: rate)
    }

    /// Returns how many a second it really were. Who is late does not wait.
    func run() async throws -> Double {
        let start = ContinuousClock.now
        _ = try await Lanes.map(drafts.count, in: Self.workers) { number in
            try await Task.sleep(until: start + .seconds(Double(number) / Double(rate)), clock: .continuous)
            try await drafts[number].person.publish(id: drafts[number].id)
        }
        return Double(drafts.count) / ((ContinuousClock.now - start) / .seconds(1))
    }
}

/// An organization that changes its articles ten thousand times at once. The events are announced as content announces them, in its outbox,
/// without the requests that would cause them, so that all of them wait at the same time.
private struct UpdateFlood: Sendable {
    private let content: Database
    private let search: Database
    private let tenant = TenantID.make()
    private static let together = 500

    init(database: String) {
        let quiet = Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() }
        content = Database(DatabaseConfiguration(url: database.replacingUser(with: "content")), service: .content, logger: quiet)
        search = Database(DatabaseConfiguration(url: database.replacingUser(with: "search")), service: .search, logger: quiet)
    }

    func shutdown() async {
        await content.shutdown()
        await search.shutdown()
    }

    /// Seconds from the first that was announced until search has all of them.
    func run() async throws -> Double {
        let articles = (0..<FreshnessFigures.updated).map { _ in ArticleID.make() }
        let start = ContinuousClock.now
        let versions = FreshnessFigures.updates / FreshnessFigures.updated
        for first in stride(from: 0, to: FreshnessFigures.updates, by: Self.together) {
            let events = (first..<first + Self.together).map { number in
                Self.update(articles[number % articles.count], version: number / articles.count + 1)
            }
            try await content.transaction(as: .service(.content, for: tenant)) { tx in try Outbox(tx).append(events) }
        }
        let done = Query<Int>("SELECT count(*) AS n FROM documents WHERE version = \(versions)", column: "n")
        while try await search.first(done, as: .service(.search, for: tenant)) ?? 0 < articles.count {
            try await Task.sleep(for: .milliseconds(100))
        }
        return (ContinuousClock.now - start) / .seconds(1)
    }

    private static func update(_ id: ArticleID, version: Int) -> ArticleUpdated {
        ArticleUpdated(
            articleID: id, slug: "a\(id)", title: "Updated \(version)", content: "<p>\(Prose.text(words: 150, seed: version))</p>",
            excerpt: nil, category: "bench", tags: [], authorID: nil, version: version, published: true, publishedAt: Date())
    }
}

/// Words by the number of the text: some are frequent and most are rare, as in a language.
enum Prose {
    static let vocabulary = 20_000

    static func text(words: Int, seed: Int) -> String {
        var state = UInt64(truncatingIfNeeded: seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1
        return (0..<words).map { _ in
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            let chance = Double(state >> 11) / Double(1 << 53)
            return "word" + String(Int(pow(chance, 4) * Double(vocabulary)), radix: 26)
        }.joined(separator: " ")
    }
}

/// The same for many numbers, a few at a time.
enum Lanes {
    /// Results in the order of the numbers. The numbers are taken in their order.
    static func map<T: Sendable>(_ count: Int, in lanes: Int, _ body: @escaping @Sendable (Int) async throws -> T) async throws -> [T] {
        try await withThrowingTaskGroup(of: (Int, T).self) { group in
            var results: [(Int, T)] = []
            results.reserveCapacity(count)
            for number in 0..<count {
                if number >= lanes, let result = try await group.next() { results.append(result) }
                group.addTask { (number, try await body(number)) }
            }
            for try await result in group { results.append(result) }
            return results.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }
}
