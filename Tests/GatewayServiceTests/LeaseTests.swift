import DevStack
import Foundation
import Logging
import NIOCore
import Redis
import ServiceLifecycle
import Synchronization
import Testing

@testable import GatewayService

/// A Redis of its own and several replicas' books on it.
final class LimitTown: Sendable {
    let server: RedisServer
    let books: [LimitBook]
    let redis: Redis
    let log: Town.Lines
    private let folder: ScratchDirectory
    private let group: ServiceGroup
    private let task: Task<Void, any Error>

    /// Patient, so that a busy machine does not look like a Redis that is away.
    static func with(
        replicas: Int = 1, patience: Duration = .seconds(20), maximum: Int = 100_000, _ body: (LimitTown) async throws -> Void
    ) async throws {
        let folder = try ScratchDirectory("trionex-limit-tests")
        let server = try await RedisServer.start(in: folder.path, port: try Ports.free(), persistent: false)
        let town = try LimitTown(server, folder, replicas: replicas, patience: patience, maximum: maximum)
        do {
            try await eventually("Redis answers") { (try? await town.redis.ping()) != nil }
            try await body(town)
        } catch {
            await town.stop()
            throw error
        }
        await town.stop()
    }

    private init(_ server: RedisServer, _ folder: ScratchDirectory, replicas: Int, patience: Duration, maximum: Int) throws {
        self.server = server
        self.folder = folder
        var configuration = try RedisConfiguration(url: server.url)
        if patience > .seconds(1) { configuration.timeout = patience }
        let log = Town.Lines()
        self.log = log
        let logger = Logger(label: "limits") { _ in LineLog(lines: log) }
        let redis = Redis(configuration, logger: quiet)
        self.redis = redis
        var settings = LimitBook.Settings()
        settings.patience = patience
        settings.maximum = maximum
        let books = (0..<replicas).map { _ in LimitBook(redis: Redis(configuration, logger: quiet), settings: settings, logger: logger) }
        self.books = books
        let group = ServiceGroup(services: books, logger: quiet)
        self.group = group
        task = Task { try await group.run() }
    }

    func shutDown() async {
        await group.triggerGracefulShutdown()
        _ = try? await task.value
    }

    private func stop() async {
        server.process.send(.resume)
        await shutDown()
        await server.stop()
        folder.remove()
    }

    func has(_ text: String) -> Bool { log.all.contains { $0.contains(text) } }

    /// One request, as the gateway makes it.
    static func admit(_ book: LimitBook, _ bucket: LimitBucket) async -> LimitVerdict {
        let verdict = bucket.take(Monotonic.now())
        return verdict == .ask ? await book.ask(bucket) : verdict
    }

    /// So many requests at once, spread over all replicas; how many were admitted.
    func admitted(_ policy: LimitPolicy, _ subject: String, requests: Int) async -> Int {
        await withTaskGroup(of: Bool.self) { group in
            for index in 0..<requests {
                let book = books[index % books.count]
                group.addTask { await Self.admit(book, book.bucket(policy, subject: subject)).isAllowed }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
    }

    /// Units that the bucket lacks, as Redis has it.
    func used(_ policy: LimitPolicy, _ subject: String) async throws -> Double {
        let clock = try #require(try await redis.command(["TIME"]).array).compactMap { $0.text.flatMap(Double.init) }
        let held = try await redis.get("trionex:limit:\(policy.name):\(subject)")
        let numbers = (held ?? "").split(separator: " ").compactMap { Double($0) }
        guard let full = numbers.first else { return 0 }
        let free = stride(from: 3, to: numbers.count, by: 2).reduce(0) { $0 + numbers[$1] }
        return max(0, (full - free - clock[0] * 1_000_000 - clock[1]) / LimitTerms(policy).microseconds)
    }

    func scripts() async throws -> Int {
        let statistics = try #require(try await redis.command(["INFO", "commandstats"]).text)
        return statistics.split(whereSeparator: \.isNewline).filter { $0.hasPrefix("cmdstat_eval") }
            .compactMap { $0.split(separator: "=").dropFirst().first?.split(separator: ",").first.flatMap { Int($0) } }.reduce(0, +)
    }
}

private struct LineLog: LogHandler {
    let lines: Town.Lines
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.info
    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) { lines.append("\(event.message)") }
}

@Suite("Limits over several replicas, with a real Redis")
struct LeaseTests {
    /// So long a window that nothing comes anew meanwhile.
    private func policy(_ quota: Int, block: Int = 0, name: String = "default") -> LimitPolicy {
        LimitPolicy(name: name, quota: quota, window: 86_400, block: block)
    }

    @Test(
        "Three replicas admit exactly the quota of six times as many requests at once, leased or asked for each time",
        arguments: [100, 1000, 40])
    func exact(quota: Int) async throws {
        try await LimitTown.with(replicas: 3) { town in
            let policy = policy(quota)
            #expect(await town.admitted(policy, "a", requests: quota * 6) == quota)
            #expect(await town.admitted(policy, "a", requests: 30) == 0)
            #expect(await town.admitted(policy, "b", requests: 6) == 6)
        }
    }

    @Test("Ten thousand requests of a quota of a million need few questions")
    func fewQuestions() async throws {
        try await LimitTown.with { town in
            let policy = LimitPolicy(name: "default", quota: 1_000_000, window: 60)
            let book = town.books[0]
            let bucket = book.bucket(policy, subject: "a")
            for _ in 0..<10_000 { #expect(await LimitTown.admit(book, bucket).isAllowed) }
            #expect(book.snapshot.asked < 30)
            let scripts = try await town.scripts()
            #expect(scripts < 40)
        }
    }

    @Test("What remains goes down one by one for one replica")
    func remaining() async throws {
        try await LimitTown.with { town in
            let bucket = town.books[0].bucket(policy(1000), subject: "a")
            for left in (900..<1000).reversed() {
                #expect(await LimitTown.admit(town.books[0], bucket) == .allowed(remaining: left, resetSeconds: 86_400))
            }
        }
    }

    @Test("A lease that lies idle goes back after a second, and everything at the shutdown")
    func giveBack() async throws {
        try await LimitTown.with(replicas: 2) { town in
            let policy = policy(1000)
            for subject in ["a", "b"] { #expect(await town.admitted(policy, subject, requests: 100) == 100) }
            try await eventually("the rest is given back") { abs(try await town.used(policy, "a") - 100) < 0.1 }
            // Used again, so that leases are out when the program ends.
            #expect(await town.admitted(policy, "b", requests: 50) == 50)
            await town.shutDown()
            #expect(abs(try await town.used(policy, "b") - 150) < 0.1)
        }
    }

    @Test("A stretch that was given back before others' is given out again, and only once")
    func stretches() async throws {
        try await LimitTown.with { town in
            let terms = LimitTerms(policy(100))
            let interval = terms.microseconds
            func lease(_ need: Int, _ want: Int) async throws -> (granted: Int, leased: Int, end: Double) {
                let answer = try await town.redis.run(
                    LimitScripts.lease, keys: ["trionex:limit:default:s"],
                    arguments: [String(interval), String(terms.windowMicroseconds), "\(need)", "\(want)", "0", "none"])
                let parts = try #require(answer.array)
                return (try #require(parts[0].integer), try #require(parts[1].integer), try #require(parts[3].text.flatMap(Double.init)))
            }
            func back(_ end: Double, _ units: Int) async throws {
                _ = try await town.redis.run(
                    LimitScripts.giveBack, keys: ["trionex:limit:default:s"],
                    arguments: [String(terms.windowMicroseconds), String(format: "%.3f", end), String(Double(units) * interval)])
            }
            let first = try await lease(40, 5)
            let second = try await lease(0, 5)
            #expect(first.leased == 5)
            #expect(second.leased == 5)
            #expect(abs(second.end - first.end - 5 * interval) < 1)
            try await back(first.end, 3)
            #expect(abs(try await town.used(policy(100), "s") - 47) < 0.1)
            let third = try await lease(1, 5)
            #expect(third.granted == 1)
            #expect(third.leased == 2)
            #expect(abs(third.end - first.end) < 1)
            // The last one that was given out shortens the line; twice the same does not.
            try await back(second.end, 5)
            #expect(abs(try await town.used(policy(100), "s") - 45) < 0.1)
            try await back(second.end, 5)
            #expect(abs(try await town.used(policy(100), "s") - 45) < 0.1)
            #expect(try await lease(100, 0).granted == 55)
            #expect(try await lease(1, 0).granted == 0)
        }
    }

    @Test("A clock of Redis that was set back does not refuse anybody for longer than a window")
    func clockSetBack() async throws {
        try await LimitTown.with { town in
            let policy = LimitPolicy(name: "default", quota: 100, window: 2)
            _ = try await town.redis.set("trionex:limit:default:a", "1900000000000000.000 1900000000000000.000")
            let bucket = town.books[0].bucket(policy, subject: "a")
            #expect(await !LimitTown.admit(town.books[0], bucket).isAllowed)
            try await eventually("it is admitted again") { await LimitTown.admit(town.books[0], bucket).isAllowed }
        }
    }

    @Test("Whoever exceeds a limit that blocks is refused on all replicas at once, also where a lease is left")
    func block() async throws {
        try await LimitTown.with(replicas: 2) { town in
            let policy = LimitPolicy(name: "default", quota: 1000, window: 1, block: 3)
            let buckets = town.books.map { $0.bucket(policy, subject: "a") }
            for _ in 0..<40 { _ = await LimitTown.admit(town.books[1], buckets[1]) }
            try await eventually("blocked") {
                for _ in 0..<500 { _ = await LimitTown.admit(town.books[0], buckets[0]) }
                return await LimitTown.admit(town.books[0], buckets[0]) == .refused(retryAfter: 3)
            }
            try await eventually("blocked on the other replica") {
                if case .refused(let seconds) = buckets[1].take(Monotonic.now()) { seconds > 1 } else { false }
            }
            try await eventually("the block ends") {
                let one = await LimitTown.admit(town.books[0], buckets[0])
                let other = await LimitTown.admit(town.books[1], buckets[1])
                return one.isAllowed && other.isAllowed
            }
        }
    }

    @Test("Units are given back to a quota that is asked for each time; those of a request that another limit refuses too")
    func allOrNone() async throws {
        try await LimitTown.with { town in
            let book = town.books[0]
            let small = book.bucket(policy(2, name: "sign-in"), subject: "a")
            let large = book.bucket(policy(1000), subject: "a")
            func request() async -> LimitGroup {
                var group = LimitGroup()
                group.add(large)
                group.add(small)
                return group.take(Monotonic.now()) == .ask ? await group.settled(in: book) : group
            }
            for left in [1, 0] {
                let group = await request()
                #expect(group.verdict == .allowed(remaining: left, resetSeconds: 86_400))
            }
            let refused = await request()
            #expect(refused.refusal?.policy == "sign-in")
            var buffer = ByteBuffer()
            refused.writePolicies(into: &buffer)
            buffer.writeStaticString(" / ")
            refused.writeStates(into: &buffer)
            let wait = try #require(refused.refusal?.retryAfter)
            let fields = String(buffer: buffer).replacing("\"", with: "").replacing("86400", with: "day")
            #expect(fields == "default;q=1000;w=day, sign-in;q=2;w=day / default;r=998;t=day, sign-in;r=0;t=\(wait)")
            book.giveBack(small)
            try await eventually("one more is allowed") { await LimitTown.admit(book, small).isAllowed }
            #expect(await !LimitTown.admit(book, small).isAllowed)
            await town.shutDown()
            #expect(abs(try await town.used(policy(1000), "a") - 2) < 0.1)
        }
    }

    @Test("A small unit is given back when a leased limit refuses")
    func smallGoesBack() async throws {
        try await LimitTown.with { town in
            let book = town.books[0]
            let large = policy(60)
            #expect(await town.admitted(large, "a", requests: 61) == 60)
            var group = LimitGroup()
            group.add(book.bucket(large, subject: "a"))
            group.add(book.bucket(policy(2, name: "uploads"), subject: "a"))
            try await Task.sleep(for: .milliseconds(150))
            #expect(await group.settled(in: book).refusal?.policy == "default")
            try await eventually("it is given back") { try await town.used(policy(2, name: "uploads"), "a") < 0.1 }
        }
    }

    @Test("With Redis gone each replica counts in memory, with what it knew; with Redis back, it is told")
    func killed() async throws {
        try await LimitTown.with(replicas: 2, patience: .milliseconds(500)) { town in
            let policy = policy(100)
            #expect(await town.admitted(policy, "a", requests: 20) == 20)
            await town.server.process.stop([StopStep(.kill, grace: .seconds(5))])
            #expect(await town.admitted(policy, "new", requests: 400) == 200)
            let more = await town.admitted(policy, "a", requests: 400)
            // No replica knew less than half of what was used.
            #expect((130...180).contains(more))
            #expect(town.has("counted by this replica alone"))
            let folder = try #require(town.server.process.launch.directory)
            let again = try await RedisServer.start(in: folder, port: town.server.port, persistent: false)
            try await eventually("Redis counts again") {
                town.books.allSatisfy { !$0.snapshot.isAway } && town.has("counted in Redis again")
            }
            try await eventually("Redis was told") { abs(try await town.used(policy, "new") - 100) < 0.1 }
            #expect(await town.admitted(policy, "new", requests: 10) == 0)
            await again.stop()
        }
    }

    @Test("A Redis that accepts and never answers holds requests up once, and briefly; when it answers it counts again")
    func hung() async throws {
        try await LimitTown.with(patience: .milliseconds(200)) { town in
            let book = town.books[0]
            let policy = policy(40)
            try await eventually("Redis answers in time") {
                _ = await LimitTown.admit(book, book.bucket(policy, subject: "warm"))
                return !book.snapshot.isAway
            }
            town.server.process.send(.stop)
            let start = ContinuousClock.now
            #expect(await town.admitted(policy, "a", requests: 100) == 40)
            // Were each held up, it would be twenty seconds.
            #expect(ContinuousClock.now - start < .seconds(10))
            // From here on nobody waits at all.
            for index in 0..<1000 { #expect(book.bucket(policy, subject: "\(index)").take(Monotonic.now()).isAllowed) }
            #expect(book.snapshot.isAway)
            town.server.process.send(.resume)
            try await eventually("Redis counts again") { !book.snapshot.isAway }
            try await eventually("Redis was told") { try await town.used(policy, "a") > 39 }
        }
    }

    @Test("No more buckets are held than may be; one that had to leave and is still held counts with the one in its place")
    func bounded() async throws {
        try await LimitTown.with(patience: .milliseconds(500), maximum: 160) { town in
            let book = town.books[0]
            let policy = policy(3)
            await town.server.process.stop([StopStep(.kill, grace: .seconds(5))])
            let held = book.bucket(policy, subject: "held")
            #expect(await LimitTown.admit(book, held).isAllowed)
            for index in 0..<5000 { _ = book.bucket(policy, subject: "\(index)") }
            #expect(book.snapshot.buckets <= 160)
            // The idle ones went first: of a subject that has used something there is still the one bucket.
            #expect(book.bucket(policy, subject: "held") === held)
            for index in 0..<5000 { _ = await LimitTown.admit(book, book.bucket(policy, subject: "used\(index)")) }
            let other = book.bucket(policy, subject: "held")
            #expect(other !== held)
            var admitted = 0
            for _ in 0..<10 {
                for bucket in [held, other] { if await LimitTown.admit(book, bucket).isAllowed { admitted += 1 } }
            }
            // What was forgotten may be used anew, but by all together.
            #expect((2...3).contains(admitted))
            #expect(book.snapshot.buckets <= 160)
        }
    }
}
