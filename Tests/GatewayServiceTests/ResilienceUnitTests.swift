import Synchronization
import Testing

@testable import GatewayService

private let millisecond: UInt64 = 1_000_000
private let second: UInt64 = 1_000_000_000
/// Far from 0, as a real clock is.
private let start: UInt64 = 1_000 * second

private func addresses(_ count: Int, canaries: Int = 0) -> [UpstreamSpec.Address] {
    (0..<count).map { UpstreamSpec.Address(host: "r\($0)", port: 80, isCanary: $0 >= count - canaries) }
}

private func group(_ count: Int, canaries: Int = 0, _ change: (inout UpstreamSpec) -> Void = { _ in }) -> UpstreamGroup {
    var spec = UpstreamSpec(addresses: addresses(count, canaries: canaries))
    change(&spec)
    return UpstreamGroup(name: "content", spec: spec, seed: 7)
}

extension UpstreamGroup {
    fileprivate func fail(_ replica: Replica, _ times: Int = 1, _ outcome: Outcome = .answered(status: 502), now: UInt64) {
        for _ in 0..<times {
            began(replica)
            finished(replica, outcome, latency: 0, now: now)
        }
    }

    fileprivate func succeed(_ replica: Replica, _ times: Int = 1, latency: UInt64 = 5 * millisecond, now: UInt64) {
        for _ in 0..<times {
            began(replica)
            finished(replica, .answered(status: 200), latency: latency, now: now)
        }
    }

    /// How often each replica is picked, nothing being under way.
    fileprivate func shares(of count: Int, avoiding: Replica? = nil, now: UInt64) -> [Int] {
        var counts = [Int](repeating: 0, count: replicas.count)
        for _ in 0..<count {
            guard let picked = pick(avoiding: avoiding, now: now) else { continue }
            counts[replicas.firstIndex { $0 === picked } ?? 0] += 1
        }
        return counts
    }
}

@Suite("Choosing a replica")
struct ReplicaChoiceTests {
    @Test("Replicas of equal weight get equal shares")
    func equalShares() {
        let shares = group(4).shares(of: 40_000, now: start)
        #expect(shares.allSatisfy { 9_500...10_500 ~= $0 }, "\(shares)")
    }

    @Test("Weights are kept where nothing is under way")
    func weights() {
        let group = group(3) { spec in
            spec.addresses[0].weight = 1
            spec.addresses[1].weight = 3
            spec.addresses[2].weight = 6
        }
        let shares = group.shares(of: 100_000, now: start)
        #expect(9_000...11_000 ~= shares[0] && 29_000...31_000 ~= shares[1] && 59_000...61_000 ~= shares[2], "\(shares)")
    }

    @Test("The one with fewer requests under way is preferred")
    func leastRequests() {
        let group = group(2)
        for _ in 0..<3 { group.began(group.replicas[0]) }
        #expect(group.shares(of: 100, now: start) == [0, 100])
    }

    @Test("Under load each has requests under way in proportion to its weight")
    func weightedLoad() {
        let group = group(2) { $0.addresses[1].weight = 3 }
        for _ in 0..<400 { if let picked = group.pick(now: start) { group.began(picked) } }
        #expect(95...105 ~= group.replicas[0].inFlight, "\(group.replicas.map(\.inFlight))")
    }

    @Test("No replica runs away from the others", arguments: [2, 3, 16, 64])
    func balance(count: Int) {
        let group = group(count)
        for _ in 0..<(count * 100) { if let picked = group.pick(now: start) { group.began(picked) } }
        let loads = group.replicas.map(\.inFlight)
        #expect(loads.allSatisfy { 85...115 ~= $0 }, "\(loads)")
    }

    @Test("A canary gets its share to the request", arguments: [(5, 0.05), (50, 0.5), (1, 0.01), (0, 0), (100, 1)])
    func canary(percent: Int, share: Double) {
        let group = group(3, canaries: 1) { $0.canaryShare = share }
        let shares = group.shares(of: 10_000, now: start)
        #expect(shares[2] == percent * 100, "\(shares)")
        #expect(shares[0] + shares[1] == 10_000 - percent * 100)
    }

    @Test("Without a share the weights say the canary's, evenly over time")
    func canaryByWeight() {
        let group = group(2, canaries: 1) { spec in
            spec.addresses[0].weight = 95
            spec.addresses[1].weight = 5
        }
        for _ in 0..<50 { #expect(group.shares(of: 100, now: start)[1] == 5) }
    }

    @Test("A second attempt goes elsewhere, and not to the canary while there is another")
    func avoiding() {
        let group = group(3, canaries: 1) { $0.canaryShare = 0.5 }
        #expect(group.shares(of: 100, avoiding: group.replicas[0], now: start) == [0, 100, 0])
        #expect(group.shares(of: 100, avoiding: group.replicas[2], now: start)[2] == 0)
    }

    @Test("Where there is one replica, a second attempt has no other")
    func avoidingTheOnly() {
        let group = group(1)
        #expect(group.pick(avoiding: group.replicas[0], now: start) === group.replicas[0])
    }

    @Test("A canary that is out leaves its share to the others, and the other way round")
    func canaryOut() {
        let group = group(4, canaries: 1) { $0.canaryShare = 0.5 }
        _ = group.setHealthy(group.replicas[3], false, now: start)
        #expect(group.shares(of: 100, now: start)[3] == 0)
        _ = group.setHealthy(group.replicas[3], true, now: start)
        #expect(group.shares(of: 100, now: start)[3] == 50)
    }

    @Test("What is unhealthy is not asked, unless more than half are")
    func health() {
        let group = group(4)
        #expect(group.setHealthy(group.replicas[0], false, now: start))
        #expect(!group.setHealthy(group.replicas[0], false, now: start))
        _ = group.setHealthy(group.replicas[1], false, now: start)
        let two = group.shares(of: 1_000, now: start)
        #expect(two[0] == 0 && two[1] == 0 && two[2] > 400 && two[3] > 400)
        #expect(!group.snapshot(now: start).isPanicking)
        _ = group.setHealthy(group.replicas[2], false, now: start)
        let panic = group.shares(of: 1_000, now: start)
        #expect(group.snapshot(now: start).isPanicking)
        #expect(panic.allSatisfy { $0 > 0 } && panic[3] >= panic.max() ?? 0, "\(panic)")
        _ = group.setHealthy(group.replicas[2], true, now: start)
        #expect(group.shares(of: 1_000, now: start)[0] == 0)
    }

    @Test("A group without addresses has nobody to pick")
    func empty() {
        #expect(UpstreamGroup(name: "none", spec: UpstreamSpec()).pick(now: start) == nil)
    }

    @Test("A new file keeps the state of addresses that stay")
    func reload() {
        let groups = UpstreamGroups(["content": UpstreamSpec(addresses: addresses(3))])
        guard let before = groups["content"] else { return }
        _ = before.setHealthy(before.replicas[1], false, now: start)
        groups.apply(["content": UpstreamSpec(addresses: addresses(3))])
        #expect(groups["content"] === before)
        var more = UpstreamSpec(addresses: addresses(4))
        more.addresses[2].weight = 7
        groups.apply(["content": more, "files": UpstreamSpec(addresses: addresses(1))])
        guard let after = groups["content"] else { return }
        #expect(after !== before && after.replicas[..<3].elementsEqual(before.replicas, by: ===))
        #expect(after.replicas[2].weight == 7 && after.shares(of: 1_000, now: start)[1] == 0)
        #expect(groups.all.map(\.name) == ["content", "files"])
        #expect(Set(groups.all.flatMap { $0.replicas.map(\.id) }).count == 5)
        groups.apply([:])
        #expect(groups.all.isEmpty)
    }
}

@Suite("Ejection of replicas that fail")
struct OutlierEjectionTests {
    @Test("Failures in a row eject, and good answers between them do not")
    func inARow() {
        let group = group(4)
        let bad = group.replicas[0]
        group.fail(bad, 4, now: start)
        group.succeed(bad, now: start)
        group.fail(bad, 4, now: start)
        #expect(group.shares(of: 400, now: start)[0] > 0)
        group.fail(bad, now: start)
        #expect(group.shares(of: 400, now: start)[0] == 0)
        #expect(group.snapshot(now: start).replicas[0].state == .ejected)
        #expect(group.snapshot(now: start).replicas[0].ejectedFor == second)
    }

    @Test(
        "What speaks against a replica",
        arguments: [Outcome.answered(status: 502), .answered(status: 503), .answered(status: 504), .broken, .timedOut])
    func failures(outcome: Outcome) {
        let group = group(4)
        group.fail(group.replicas[0], 4, outcome, now: start)
        #expect(group.shares(of: 400, now: start)[0] > 0)
        group.fail(group.replicas[0], 1, outcome, now: start)
        #expect(group.shares(of: 400, now: start)[0] == 0)
    }

    @Test(
        "What does not",
        arguments: [Outcome.answered(status: 200), .answered(status: 404), .answered(status: 429), .answered(status: 500), .cancelled])
    func noFailures(outcome: Outcome) {
        let group = group(4)
        group.fail(group.replicas[0], 100, outcome, now: start)
        #expect(group.shares(of: 400, now: start)[0] > 0)
        #expect(group.snapshot(now: start).replicas[0].failures == 0)
    }

    @Test("Two refused connections are enough")
    func connects() {
        let group = group(4)
        group.fail(group.replicas[0], 1, .connectFailed, now: start)
        #expect(group.shares(of: 400, now: start)[0] > 0)
        group.fail(group.replicas[0], 1, .connectFailed, now: start)
        #expect(group.shares(of: 400, now: start)[0] == 0)
    }

    @Test("Each ejection is twice as long, up to the cap, and good time shortens them again")
    func growth() {
        let group = group(4)
        let bad = group.replicas[0]
        var now = start
        var times: [UInt64] = []
        for round in 0..<9 {
            group.fail(bad, round == 0 ? 5 : 1, now: now)
            let out = group.snapshot(now: now).replicas[0].ejectedFor
            times.append(out / second)
            #expect(group.shares(of: 400, now: now + out - 1)[0] == 0)
            now += out
            #expect(group.shares(of: 400, now: now)[0] > 0, "back when its time is over")
        }
        #expect(times == [1, 2, 4, 8, 16, 32, 60, 60, 60])
        for _ in 0..<9 {
            now += 30 * second
            group.succeed(bad, now: now)
        }
        group.fail(bad, 5, now: now)
        #expect(group.snapshot(now: now).replicas[0].ejectedFor == second)
    }

    @Test("At most half are out at once, and never the only one", arguments: [(1, 0), (2, 1), (3, 1), (4, 2), (5, 2), (10, 5)])
    func half(count: Int, most: Int) {
        let group = group(count) { $0.breaker.isOn = false }
        for replica in group.replicas { group.fail(replica, 50, .connectFailed, now: start) }
        #expect(group.snapshot(now: start).replicas.count { $0.state == .ejected } == most)
        for _ in 0..<100 { #expect(group.pick(now: start)?.record.isEjected == false) }
    }

    @Test("The health check's return ends an ejection from before")
    func healthEndsEjection() {
        let group = group(2)
        group.fail(group.replicas[0], 2, .connectFailed, now: start)
        _ = group.setHealthy(group.replicas[0], false, now: start)
        _ = group.setHealthy(group.replicas[0], true, now: start + 1)
        #expect(group.shares(of: 100, now: start + 1)[0] > 0)
    }
}

@Suite("The circuit breaker")
struct CircuitBreakerTests {
    @Test("It opens at the share, not before the least number of requests, and says when to come again")
    func opens() {
        let group = group(1)
        let only = group.replicas[0]
        group.fail(only, 19, .timedOut, now: start)
        #expect(group.pick(now: start) === only && group.retryAfter(now: start) == nil)
        group.fail(only, 1, .timedOut, now: start)
        #expect(group.pick(now: start) == nil)
        #expect(group.retryAfter(now: start) == 1)
        #expect(group.snapshot(now: start).breaker == .open)
    }

    @Test("Fewer failures than the share leave it closed")
    func share() {
        let group = group(1)
        for _ in 0..<100 {
            group.succeed(group.replicas[0], 6, now: start)
            group.fail(group.replicas[0], 5, now: start)
        }
        #expect(group.pick(now: start) != nil)
    }

    @Test("Failures of long ago do not count")
    func window() {
        let group = group(1)
        group.fail(group.replicas[0], 19, now: start)
        group.fail(group.replicas[0], 1, now: start + 25 * second)
        #expect(group.pick(now: start + 25 * second) != nil)
    }

    @Test("A service that says 503 or 500 is alive", arguments: [500, 503])
    func alive(status: Int) {
        let group = group(1)
        group.fail(group.replicas[0], 1_000, .answered(status: status), now: start)
        #expect(group.pick(now: start) != nil)
    }

    @Test("Half open, one probe goes at a time; a good one closes it")
    func halfOpen() {
        let group = group(1)
        let only = group.replicas[0]
        group.fail(only, 20, .connectFailed, now: start)
        #expect(group.pick(now: start + second - 1) == nil)
        let later = start + second
        #expect(group.snapshot(now: later).breaker == .halfOpen)
        #expect(group.pick(now: later) === only)
        group.began(only)
        for _ in 0..<10 { #expect(group.pick(now: later) == nil) }
        group.finished(only, .answered(status: 200), latency: 1, now: later)
        for _ in 0..<10 { #expect(group.pick(now: later) === only) }
        #expect(group.snapshot(now: later).breaker == .closed)
        group.fail(only, 19, .connectFailed, now: later)
        #expect(group.pick(now: later) === only, "what was before it closed is forgotten")
    }

    @Test("A bad probe opens it for twice as long, up to the cap")
    func growth() {
        let group = group(1)
        let only = group.replicas[0]
        var now = start
        group.fail(only, 20, .connectFailed, now: now)
        for expected in [1, 2, 4, 8, 16, 30, 30] {
            #expect(group.retryAfter(now: now) == expected)
            now += UInt64(expected) * second
            #expect(group.pick(now: now) != nil)
            group.fail(only, 1, .connectFailed, now: now)
        }
        #expect(group.snapshot(now: now).breakerOpenings == 8)
    }

    @Test("A probe that was cancelled, or never ended, lets another go")
    func lostProbe() {
        let group = group(1)
        let only = group.replicas[0]
        group.fail(only, 20, .connectFailed, now: start)
        let later = start + second
        #expect(group.pick(now: later) != nil)
        group.fail(only, 1, .cancelled, now: later)
        #expect(group.pick(now: later) != nil)
        #expect(group.pick(now: later + 10 * second - 1) == nil)
        #expect(group.pick(now: later + 10 * second) != nil)
    }

    @Test("Several probes can be asked for")
    func probes() {
        let group = group(1) { $0.breaker.probes = 3 }
        group.fail(group.replicas[0], 20, .broken, now: start)
        let later = start + second
        for _ in 0..<3 {
            #expect(group.snapshot(now: later).breaker == .halfOpen)
            #expect(group.pick(now: later) != nil)
            #expect(group.pick(now: later) == nil)
            group.succeed(group.replicas[0], now: later)
        }
        #expect(group.snapshot(now: later).breaker == .closed)
    }

    @Test("Switched off, it never opens")
    func off() {
        let group = group(1) { $0.breaker.isOn = false }
        group.fail(group.replicas[0], 10_000, .broken, now: start)
        #expect(group.pick(now: start) != nil)
    }
}

@Suite("The budget of second attempts")
struct RetryBudgetTests {
    @Test("Thirty in ten seconds are there in any case, and come back")
    func always() {
        let group = group(1)
        #expect((0..<100).count { _ in group.mayRetry(now: start) } == 30)
        #expect((0..<100).count { _ in group.mayRetry(now: start + 9 * second) } == 0)
        #expect((0..<100).count { _ in group.mayRetry(now: start + 30 * second) } == 30)
        #expect(group.snapshot(now: start).retries == 60)
        #expect(group.snapshot(now: start).retriesRefused == 240)
    }

    @Test("A fifth of the recent requests may be tried again, never more")
    func share() {
        let group = group(2)
        group.succeed(group.replicas[0], 10_000, now: start)
        #expect((0..<5_000).count { _ in group.mayRetry(now: start) } == 2_000)
    }

    @Test("Over any time, retries stay within the share while everything fails")
    func storm() {
        let group = group(2)
        var retries = 0, requests = 0
        for step in 0..<60_000 {
            let now = start + UInt64(step) * millisecond
            group.fail(group.replicas[step % 2], now: now)
            requests += 1
            if group.mayRetry(now: now) { retries += 1 }
        }
        #expect(retries <= requests * 22 / 100 && retries >= requests * 17 / 100, "\(retries) of \(requests)")
    }
}
