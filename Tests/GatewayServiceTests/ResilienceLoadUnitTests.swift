import Synchronization
import Testing

@testable import GatewayService

private let millisecond: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
private let start: UInt64 = 1_000 * second

/// What `resume` was told, in order.
private final class Told: Sendable {
    private let held = Mutex<[(String, Admission)]>([])
    var all: [String] { held.withLock { $0.map { "\($0.0):\($0.1 == .go ? "go" : "shed")" } } }
    func callback(_ name: String) -> @Sendable (Admission) -> Void {
        { [self] admission in held.withLock { $0.append((name, admission)) } }
    }
}

private func spec(limit: Int, capacity: Int = 512) -> UpstreamSpec {
    var spec = UpstreamSpec(addresses: [.init(host: "a", port: 1)])
    spec.concurrency.floor = limit
    spec.concurrency.initial = limit
    spec.concurrency.ceiling = limit
    spec.queue.capacity = capacity
    return spec
}

@Suite("The queue before a busy service")
struct AdmissionQueueTests {
    @Test("Places go at once, further requests wait, in order of importance and then of arrival")
    func order() {
        let group = UpstreamGroup(name: "g", spec: spec(limit: 2)), told = Told()
        #expect(group.tryEnter())
        #expect(group.enter(.bulk, now: start, resume: told.callback("x")) == .go)
        #expect(!group.tryEnter())
        for (name, priority) in [
            ("b1", Priority.bulk), ("n1", .normal), ("c1", .critical), ("n2", .normal), ("c2", .critical), ("b2", .bulk),
        ] {
            #expect(group.enter(priority, now: start, resume: told.callback(name)) == .wait)
        }
        #expect(group.snapshot(now: start).waiting == .init(critical: 2, normal: 2, bulk: 2))
        for _ in 0..<6 { group.leave(now: start + 1, latency: nil, ok: true) }
        #expect(told.all == ["c1:go", "c2:go", "n1:go", "n2:go", "b1:go", "b2:go"])
        #expect(group.snapshot(now: start).inFlight == 2)
        for _ in 0..<2 { group.leave(now: start + 1, latency: nil, ok: true) }
        #expect(group.snapshot(now: start).inFlight == 0)
        #expect(group.tryEnter())
    }

    @Test("A full queue sends away who matters least and came last")
    func shedding() {
        let group = UpstreamGroup(name: "g", spec: spec(limit: 1, capacity: 3)), told = Told()
        #expect(group.tryEnter())
        for (name, priority) in [("b1", Priority.bulk), ("b2", .bulk), ("n1", .normal)] {
            #expect(group.enter(priority, now: start, resume: told.callback(name)) == .wait)
        }
        #expect(group.enter(.bulk, now: start, resume: told.callback("b3")) == .shed(retryAfter: 1))
        #expect(group.enter(.normal, now: start, resume: told.callback("n2")) == .wait)
        #expect(group.enter(.critical, now: start, resume: told.callback("c1")) == .wait)
        #expect(told.all == ["b2:shed", "b1:shed"])
        #expect(group.enter(.normal, now: start, resume: told.callback("n3")) == .shed(retryAfter: 1))
        #expect(group.enter(.critical, now: start, resume: told.callback("c2")) == .wait)
        #expect(told.all == ["b2:shed", "b1:shed", "n2:shed"])
        #expect(group.snapshot(now: start).waiting == .init(critical: 2, normal: 1, bulk: 0))
        #expect(group.snapshot(now: start).shed == .init(critical: 0, normal: 2, bulk: 3))
    }

    @Test("Nobody waits longer than the patience, also when nobody leaves")
    func deadline() {
        let group = UpstreamGroup(name: "g", spec: spec(limit: 1)), told = Told()
        #expect(group.tryEnter())
        #expect(group.enter(.normal, now: start, resume: told.callback("a")) == .wait)
        #expect(group.enter(.normal, now: start + second / 2, resume: told.callback("b")) == .wait)
        group.tick(now: start + second - 1)
        #expect(told.all.isEmpty)
        group.tick(now: start + second)
        #expect(told.all == ["a:shed"])
        group.leave(now: start + second, latency: nil, ok: true)
        #expect(told.all == ["a:shed", "b:go"])
    }

    @Test("Who waited too long does not get the place of one that leaves")
    func late() {
        let group = UpstreamGroup(name: "g", spec: spec(limit: 1)), told = Told()
        #expect(group.tryEnter())
        #expect(group.enter(.critical, now: start, resume: told.callback("a")) == .wait)
        group.leave(now: start + 2 * second, latency: nil, ok: true)
        #expect(told.all == ["a:shed"])
        #expect(group.snapshot(now: start).inFlight == 0 && group.tryEnter())
    }

    @Test("Without room to wait there is none")
    func noQueue() {
        let group = UpstreamGroup(name: "g", spec: spec(limit: 1, capacity: 0)), told = Told()
        #expect(group.tryEnter())
        for priority in Priority.allCases {
            #expect(group.enter(priority, now: start, resume: told.callback("a")) == .shed(retryAfter: 1))
        }
        #expect(told.all.isEmpty)
    }

    @Test("Whatever happens: bounds hold, each is told once, and order is kept", arguments: UInt64(1)...20)
    func random(seed: UInt64) {
        var chance = Chance(state: seed)
        let limit = 3, capacity = 5
        let group = UpstreamGroup(name: "g", spec: spec(limit: limit, capacity: capacity)), told = Told()
        var inside = 0, waited = 0, now = start, seen = 0
        var waiting: [(String, Priority)] = []
        for step in 0..<3_000 {
            now += chance.below(80) * millisecond
            switch chance.below(5) {
            case 0, 1, 2:
                let priority = Priority.allCases[Int(chance.below(3))]
                switch group.enter(priority, now: now, resume: told.callback("\(step)")) {
                case .go: inside += 1
                case .wait:
                    waited += 1
                    waiting.append(("\(step)", priority))
                case .shed: break
                }
            case 3 where inside > 0:
                inside -= 1
                group.leave(now: now, latency: nil, ok: true)
            default: group.tick(now: now)
            }
            let all = told.all
            for entry in all[seen...] {
                let parts = entry.split(separator: ":")
                guard let index = waiting.firstIndex(where: { $0.0 == parts[0] }) else {
                    Issue.record("\(entry) was told twice, or never waited")
                    continue
                }
                let (_, priority) = waiting[index]
                if parts[1] == "go" {
                    inside += 1
                    #expect(!waiting.contains { $0.1.rawValue < priority.rawValue }, "less important first")
                    #expect(waiting.firstIndex { $0.1 == priority } == index, "not in order of arrival")
                }
                waiting.remove(at: index)
            }
            seen = all.count
            let snapshot = group.snapshot(now: now)
            #expect(inside <= limit && snapshot.inFlight == inside)
            #expect(waiting.count <= capacity && snapshot.waiting.total == waiting.count)
        }
        #expect(waited > 100, "the test must make some wait")
    }
}

@Suite("The learnt limit of requests at once")
struct ConcurrencyLimitTests {
    /// Closed loop: `load` requests are always under way; the service has `workers`, each needs `work`, so latency grows with the queue.
    private func run(_ limit: ConcurrencyLimit, seconds: Int, from: UInt64, load: Int, workers: Int, work: UInt64) -> UInt64 {
        var now = from
        let end = from + UInt64(seconds) * second
        while now < end {
            let inside = min(load, limit.current)
            let latency = max(work, work * UInt64(inside) / UInt64(workers))
            // As many end in a step as the service does in it.
            let step = 10 * millisecond
            let done = max(1, Int(UInt64(min(inside, workers)) * step / work))
            for _ in 0..<done { limit.note(latency: latency, ok: true, inside: inside, now: now) }
            now += step
        }
        return now
    }

    @Test("It falls when latency rises under load, and recovers when the load goes")
    func fallsAndRecovers() {
        let limit = ConcurrencyLimit(.init())
        var now = run(limit, seconds: 10, from: start, load: 50, workers: 100, work: 20 * millisecond)
        #expect(limit.current == 256)
        now = run(limit, seconds: 30, from: now, load: 5_000, workers: 40, work: 20 * millisecond)
        #expect(64...170 ~= limit.current, "fell to \(limit.current)")
        now = run(limit, seconds: 30, from: now, load: 5_000, workers: 4_000, work: 20 * millisecond)
        #expect(limit.current > 1_000, "rose to \(limit.current)")
    }

    @Test("A healthy system is never throttled, however much runs")
    func healthy() {
        let limit = ConcurrencyLimit(.init())
        var now = start, lowest = Int.max
        for load in [10, 200, 1_000, 3_000, 20, 4_000] {
            now = run(limit, seconds: 20, from: now, load: load, workers: 100_000, work: 3 * millisecond)
            lowest = min(lowest, limit.current)
        }
        #expect(lowest >= 256)
        #expect(limit.current == 4_096)
    }

    @Test("A long overload does not become the usual")
    func longOverload() {
        let limit = ConcurrencyLimit(.init())
        var now = run(limit, seconds: 10, from: start, load: 50, workers: 100, work: 20 * millisecond)
        now = run(limit, seconds: 120, from: now, load: 5_000, workers: 40, work: 20 * millisecond)
        #expect(limit.current <= 200, "\(limit.current)")
    }

    @Test("Latency without load, as of slow routes, takes nothing away")
    func slowRoutes() {
        let limit = ConcurrencyLimit(.init())
        var now = run(limit, seconds: 10, from: start, load: 5, workers: 100, work: 2 * millisecond)
        now = run(limit, seconds: 60, from: now, load: 20, workers: 100, work: 2 * second)
        #expect(limit.current == 256)
    }

    @Test("It never leaves its bounds, whatever it is told", arguments: UInt64(1)...10)
    func bounds(seed: UInt64) {
        var chance = Chance(state: seed)
        let spec = UpstreamSpec.Concurrency()
        let limit = ConcurrencyLimit(spec)
        var now = start
        for _ in 0..<50_000 {
            now += chance.below(20) * millisecond
            let latency: UInt64? = chance.below(10) == 0 ? nil : chance.below(3) == 0 ? .max >> chance.below(60) : chance.below(second)
            limit.note(latency: latency, ok: chance.below(4) != 0, inside: Int(chance.below(10_000)), now: now)
            #expect(spec.floor...spec.ceiling ~= limit.current)
        }
    }

    @Test("Answers that say overloaded lower it to the floor, and no further")
    func refusals() {
        let limit = ConcurrencyLimit(.init())
        var now = start
        for _ in 0..<10_000 {
            limit.note(latency: nil, ok: false, inside: 10, now: now)
            now += 5 * millisecond
        }
        #expect(limit.current == 64)
    }

    @Test("Streams teach nothing")
    func streams() {
        let limit = ConcurrencyLimit(.init())
        for step in 0..<10_000 { limit.note(latency: nil, ok: true, inside: 250, now: start + UInt64(step) * 5 * millisecond) }
        #expect(limit.current == 256)
    }
}

/// Requests of many tasks through one group.
private final class Rush: Sendable {
    let group: UpstreamGroup
    private let clock = Atomic<UInt64>(start)
    private let inside = Atomic<Int>(0)
    private let highest = Atomic<Int>(0)
    private let gone = Atomic<Int>(0)
    private let refused = Atomic<Int>(0)

    init(_ group: UpstreamGroup) { self.group = group }

    var peak: Int { highest.load(ordering: .relaxed) }
    var served: Int { gone.load(ordering: .relaxed) }
    var shed: Int { refused.load(ordering: .relaxed) }

    func request(_ number: Int) async {
        await withCheckedContinuation { (done: CheckedContinuation<Void, Never>) in
            let now = clock.load(ordering: .relaxed)
            let admission = group.enter(Priority.allCases[number % 3], now: now) { [self] admission in
                end(number, admission)
                done.resume()
            }
            guard admission != .wait else { return }
            end(number, admission)
            done.resume()
        }
    }

    private func end(_ number: Int, _ admission: Admission) {
        guard admission == .go else {
            refused.wrappingAdd(1, ordering: .relaxed)
            return
        }
        let now = clock.wrappingAdd(1_000, ordering: .relaxed).newValue
        highest.max(inside.wrappingAdd(1, ordering: .relaxed).newValue, ordering: .relaxed)
        if let replica = group.pick(now: now) {
            group.began(replica)
            let outcome: Outcome = number % 10 == 0 ? .broken : number % 7 == 0 ? .connectFailed : .answered(status: 200)
            group.finished(replica, outcome, latency: 1_000, now: now)
        }
        inside.wrappingSubtract(1, ordering: .relaxed)
        gone.wrappingAdd(1, ordering: .relaxed)
        group.leave(now: now, latency: 1_000, ok: true)
    }
}

@Suite("Many threads at one group")
struct ResilienceConcurrencyTests {
    @Test("Counts are right after eight threads are done, and limits held all the while")
    func threads() async {
        var numbers = spec(limit: 4, capacity: 8)
        numbers.addresses = (0..<4).map { .init(host: "a", port: $0 + 1) }
        let group = UpstreamGroup(name: "g", spec: numbers), rush = Rush(group)
        let tasks = 40, requests = 3_000
        await withDiscardingTaskGroup { running in
            for task in 0..<tasks {
                running.addTask { for number in 0..<requests { await rush.request(task + number) } }
            }
        }
        let snapshot = group.snapshot(now: start)
        #expect(rush.served + rush.shed == tasks * requests)
        #expect(snapshot.shed.total == rush.shed)
        #expect(snapshot.inFlight == 0 && snapshot.waiting.total == 0)
        #expect(snapshot.replicas.allSatisfy { $0.inFlight == 0 })
        #expect(1...4 ~= rush.peak)
    }

    @Test("Threads that only begin and finish leave nothing under way")
    func beginAndFinish() async {
        let group = UpstreamGroup(name: "g", spec: UpstreamSpec(addresses: [.init(host: "a", port: 1), .init(host: "b", port: 1)]))
        await withDiscardingTaskGroup { running in
            for thread in 0..<8 {
                running.addTask {
                    for number in 0..<20_000 {
                        let now = start + UInt64(number) * 1_000
                        guard let replica = group.pick(now: now) else { continue }
                        group.began(replica)
                        group.finished(replica, thread == 0 && number % 5 == 0 ? .timedOut : .answered(status: 200), latency: 1, now: now)
                    }
                }
            }
        }
        #expect(group.replicas.map(\.inFlight) == [0, 0])
        #expect(group.replicas.reduce(0) { $0 + $1.requests } == 160_000)
    }
}

/// Chance that is the same each time (SplitMix64).
private struct Chance {
    var state: UInt64
    mutating func below(_ bound: UInt64) -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return (z ^ (z >> 31)) % max(1, bound)
    }
}
