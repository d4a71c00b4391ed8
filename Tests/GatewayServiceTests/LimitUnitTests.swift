import NIOCore
import Testing

@testable import GatewayService

@Suite("Leases of limits, decided without sockets")
struct LimitUnitTests {
    static let second: UInt64 = 1_000_000_000

    private func text(_ write: (inout ByteBuffer) -> Void) -> String {
        var buffer = ByteBuffer()
        write(&buffer)
        return String(buffer: buffer)
    }

    private func grant(
        _ granted: Int, leased: Int = 0, leaseTime: Double = 0, available: Int = 0, fullIn: Double = 0, wait: Double = 0,
        blockedFor: Double = 0
    ) -> LeaseGrant {
        LeaseGrant(
            granted: granted, leased: leased, leaseTime: leaseTime, redisEnd: 1e15, available: available, fullIn: fullIn, wait: wait,
            blockedFor: blockedFor)
    }

    // MARK: Several replicas

    @Test("Whatever several replicas do, however long messages take: together they admit no more than one bucket would")
    func neverMore() {
        for seed in 1...60 as ClosedRange<UInt64> {
            var chance = SeededChance(seed + 1000)
            let quota = [1, 3, 20, 50, 100, 1000, 20_000].randomElement(using: &chance) ?? 1
            let window = [1, 10, 60].randomElement(using: &chance) ?? 1
            let policy = LimitPolicy(name: "x", quota: quota, window: window)
            var world = LimitSimulation(policy, replicas: .random(in: 1...4, using: &chance), seed: seed)
            for _ in 0..<1500 { Self.anything(in: &world, &chance) }
            world.pass(10_000_000)
            #expect(world.admissions.count >= quota)
            // Redis lets half a microsecond pass.
            #expect(world.overrun <= 0.5 / world.terms.microseconds + 1e-6, "seed \(seed), quota \(quota) in \(window) s")
        }
    }

    private static func anything(in world: inout LimitSimulation, _ chance: inout SeededChance) {
        let interval = world.terms.interval
        let replica = Int.random(in: 0..<world.replicas.count, using: &chance)
        switch Int.random(in: 0..<100, using: &chance) {
        case 0: world.pass(.random(in: 0...world.terms.window / 3, using: &chance))
        case 1:
            world.pass(.random(in: 0...2 * second, using: &chance))
            world.giveBackIdle()
        case 2...4: world.giveBackIdle(of: replica, evenInUse: true)
        case 5..<30: world.pass(.random(in: 0...interval * 2, using: &chance))
        case 30..<50: world.pass(.random(in: 0...3_000_000, using: &chance))
        case 50..<55:
            let others = Int.random(in: 0..<3, using: &chance)
            let pause = UInt64.random(in: 0...interval * 2, using: &chance)
            world.takeAndUndo(at: replica) { world in
                for _ in 0..<others {
                    world.pass(pause)
                    world.request(at: replica)
                }
            }
        default:
            let most = max(2, min(world.terms.quota / 10, 200))
            for _ in 0..<Int.random(in: 1...most, using: &chance) { world.request(at: replica) }
        }
    }

    @Test("A lease that goes back while a later one is out is not given out twice")
    func giveBackBetween() {
        var world = LimitSimulation(LimitPolicy(name: "x", quota: 100, window: 60), replicas: 3, seed: 3)
        func settle() { world.pass(20_000_000) }
        for _ in 0..<75 { world.request(at: 2) }
        settle()
        world.giveBackIdle(of: 2, evenInUse: true)
        settle()
        for replica in [0, 1] {
            for _ in 0..<4 {
                world.request(at: replica)
                settle()
            }
            #expect(world.replicas[replica].machine.holdsLease)
        }
        world.giveBackIdle(of: 0, evenInUse: true)
        // Until just before the other's last slots: all but these is full again.
        world.pass(world.replicas[1].machine.current.end - world.replicas[1].offset - world.now - 2 * world.terms.interval)
        for _ in 0..<120 { for replica in [1, 2] { world.request(at: replica) } }
        world.pass(100_000_000)
        #expect(world.overrun < 0.01)
    }

    @Test("Redis away, each replica admits what one bucket would, from where it knew the bucket to be; Redis learns of it afterwards")
    func away() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var chance = SeededChance(seed)
            var world = LimitSimulation(LimitPolicy(name: "x", quota: 200, window: 20), replicas: 3, seed: seed)
            var own: [[UInt64]] = [[], [], []]
            func requests(_ count: Int) {
                for _ in 0..<count {
                    let replica = Int.random(in: 0..<3, using: &chance)
                    let before = world.replicas[replica].admitted
                    world.request(at: replica)
                    if world.replicas[replica].admitted > before { own[replica].append(world.now) }
                    world.pass(.random(in: 0...5_000_000, using: &chance))
                }
            }
            requests(100)
            for replica in 0..<3 { world.goAway(replica) }
            requests(1500)
            for times in own { #expect(world.overrun(times) < 0.01) }
            for replica in 0..<3 { world.comeBack(replica) }
            // Three replicas that knew nothing of each other used the bucket up: it is.
            let before = world.admissions.count
            for _ in 0..<30 { for replica in 0..<3 { world.request(at: replica) } }
            world.pass(20_000_000)
            #expect(world.admissions.count - before <= 4)
        }
    }

    @Test("Whoever stays below the limit is never refused, over however many replicas")
    func neverLess() {
        for (quota, load) in [(100, 0.9), (1000, 0.3), (1000, 0.9), (20_000, 0.99)] {
            var world = LimitSimulation(LimitPolicy(name: "x", quota: quota, window: 60), replicas: 3, seed: 9)
            world.slowest = 1_000_000
            let gap = UInt64(60e9 / (Double(quota) * load))
            for index in 0..<5000 {
                world.pass(gap)
                world.request(at: index % 3)
                if index.isMultiple(of: 20) { world.giveBackIdle() }
            }
            world.pass(10_000_000)
            #expect(world.admissions.count == 5000)
        }
    }

    @Test("A large quota is asked for seldom: the lease grows with its use, up to a twentieth")
    func questions() {
        var world = LimitSimulation(LimitPolicy(name: "x", quota: 1_000_000, window: 60), replicas: 1, seed: 5)
        var largest = 0
        for index in 0..<300_000 {
            world.request(at: 0)
            largest = max(largest, world.replicas[0].machine.current.size)
            if index.isMultiple(of: 10) { world.pass(200_000) }
        }
        world.pass(20_000_000)
        #expect(world.admissions.count == 300_000)
        #expect(world.questions < 40)
        #expect(largest > 10_000)
        #expect(largest <= 50_000)
    }

    @Test("A bucket that is used up is not asked for each request that it refuses")
    func refusals() {
        var world = LimitSimulation(LimitPolicy(name: "x", quota: 1000, window: 60), replicas: 1, seed: 5)
        for _ in 0..<20_000 {
            world.request(at: 0)
            world.pass(100_000)
        }
        #expect(world.replicas[0].refused > 18_000)
        #expect(world.questions < 150)
    }

    // MARK: One machine

    @Test("A small quota is asked for each time, one question for all that wait meanwhile; in their order they are answered")
    func small() {
        let terms = LimitTerms(LimitPolicy(name: "sign-in", quota: 5, window: 900))
        var machine = LeaseMachine()
        #expect(!terms.isLeased)
        #expect(machine.take(terms, at: 10, isAway: false) == .ask)
        let first = machine.wait(terms, at: 10, keeps: true)
        #expect(first == LeaseRequest(need: 1, want: 0, sentAt: 10))
        #expect(machine.wait(terms, at: 11, keeps: true) == nil)
        #expect(machine.wait(terms, at: 12, keeps: true) == nil)
        guard let first else { return }
        let answer = machine.answered(grant(1, available: 1), to: first, terms, at: 20, keeps: true)
        #expect(answer.verdicts == [.allowed(remaining: 1, resetSeconds: 900)])
        #expect(answer.request == LeaseRequest(need: 2, want: 0, sentAt: 20))
        guard let second = answer.request else { return }
        let last = machine.answered(grant(1, wait: 180e6), to: second, terms, at: 30, keeps: true)
        #expect(last.verdicts == [.allowed(remaining: 0, resetSeconds: 900), .refused(retryAfter: 180)])
        #expect(last.request == nil)
        // A moment later it need not be asked again; soon it is, since a unit may have been given back.
        #expect(machine.take(terms, at: 40, isAway: false) == .refused(retryAfter: 180))
        #expect(machine.take(terms, at: 30 + LeaseMachine.longestHold, isAway: false) == .ask)
    }

    @Test("The slots of a lease pass with time, and what remains is told together with what Redis has")
    func lapse() {
        let terms = LimitTerms(LimitPolicy(name: "default", quota: 1000, window: 60))
        var machine = LeaseMachine()
        let request = LeaseRequest(need: 0, want: 10, sentAt: Self.second)
        // Ten slots of 60 ms, from the moment of the answer.
        _ = machine.answered(grant(0, leased: 10, leaseTime: 600_000, available: 990), to: request, terms, at: Self.second, keeps: true)
        #expect(machine.take(terms, at: Self.second, isAway: false) == .allowed(remaining: 999, resetSeconds: 60))
        #expect(machine.left == 9)
        #expect(machine.take(terms, at: Self.second + 301_000_000, isAway: false) == .allowed(remaining: 998, resetSeconds: 60))
        #expect(machine.left == 3)
        #expect(machine.take(terms, at: Self.second + 600_000_000, isAway: false) == .ask)
    }

    @Test("What remains is never less than nothing nor more than the quota")
    func remaining() {
        let terms = LimitTerms(LimitPolicy(name: "default", quota: 100, window: 60))
        var machine = LeaseMachine()
        let request = LeaseRequest(need: 0, want: 5, sentAt: 0)
        _ = machine.answered(grant(0, leased: 5, leaseTime: 9e6, available: 5000), to: request, terms, at: 0, keeps: true)
        #expect(machine.take(terms, at: 1, isAway: false) == .allowed(remaining: 100, resetSeconds: 60))
        var other = LeaseMachine()
        _ = other.answered(grant(0, leased: 5, leaseTime: 9e6, available: -70), to: request, terms, at: 0, keeps: true)
        #expect(other.take(terms, at: 1, isAway: false) == .allowed(remaining: 0, resetSeconds: 60))
    }

    @Test("A request that was answered from memory, and by Redis afterwards, is counted once")
    func late() {
        let terms = LimitTerms(LimitPolicy(name: "x", quota: 3, window: 900))
        var machine = LeaseMachine()
        guard let request = machine.wait(terms, at: 10, keeps: true) else { return #expect(Bool(false), "it must ask") }
        #expect(machine.answerFromMemory(terms, at: 60, isOver: false).map(\.isAllowed) == [true])
        #expect(machine.untold == 1)
        let late = machine.answered(grant(1, available: 2, fullIn: 300e6), to: request, terms, at: 70, keeps: true)
        #expect(late.verdicts.isEmpty)
        #expect(machine.report(terms, at: 80) == nil, "Redis knows of it")
        // Redis away again: two more, and no third.
        #expect((0..<3).map { _ in machine.take(terms, at: 90, isAway: true).isAllowed } == [true, true, false])
        // Given back before Redis had answered: what Redis granted goes back there.
        var other = LeaseMachine()
        guard let request = other.wait(terms, at: 10, keeps: true) else { return #expect(Bool(false), "it must ask") }
        _ = other.answerFromMemory(terms, at: 60, isOver: false)
        let isBack = other.untakeFromMemory(terms)
        #expect(isBack)
        let surplus = other.answered(grant(1, available: 2, fullIn: 300e6), to: request, terms, at: 70, keeps: true).surplus
        #expect(surplus == LeaseReturn(redisEnd: 0, microseconds: 300e6))
    }

    @Test("An undone take is as if it had never been; after another take the unit is lost rather than used twice")
    func undo() {
        let terms = LimitTerms(LimitPolicy(name: "default", quota: 1000, window: 60))
        var machine = LeaseMachine()
        let request = LeaseRequest(need: 0, want: 10, sentAt: 0)
        _ = machine.answered(grant(0, leased: 10, leaseTime: 900_000), to: request, terms, at: 0, keeps: true)
        _ = machine.take(terms, at: 5, isAway: false)
        machine.untake(takenAt: 5)
        #expect(machine.left == 10)
        _ = machine.take(terms, at: 6, isAway: false)
        _ = machine.take(terms, at: 7, isAway: false)
        machine.untake(takenAt: 6)
        #expect(machine.left == 8)
    }

    @Test("Whoever exceeds a limit that blocks is refused for that long, also from memory; Redis is told of it")
    func block() {
        let terms = LimitTerms(LimitPolicy(name: "x", quota: 2, window: 1, block: 60))
        var machine = LeaseMachine()
        for _ in 0..<2 { #expect(machine.take(terms, at: 0, isAway: true).isAllowed) }
        #expect(machine.take(terms, at: 0, isAway: true) == .refused(retryAfter: 60))
        #expect(machine.take(terms, at: 30 * Self.second, isAway: false) == .refused(retryAfter: 30))
        #expect(machine.report(terms, at: 30 * Self.second)?.blockedFor == 30e6)
        #expect(machine.take(terms, at: 60 * Self.second, isAway: true).isAllowed)
        var other = LeaseMachine()
        other.blocked(for: 5 * Self.second, at: 0)
        #expect(other.take(terms, at: 1, isAway: false) == .refused(retryAfter: 5))
    }

    @Test("An idle lease goes back after a second, and not while it is used")
    func giveBack() {
        let terms = LimitTerms(LimitPolicy(name: "default", quota: 1000, window: 60))
        var machine = LeaseMachine()
        let request = LeaseRequest(need: 0, want: 50, sentAt: 0)
        _ = machine.answered(grant(0, leased: 50, leaseTime: 3e6), to: request, terms, at: 0, keeps: true)
        _ = machine.take(terms, at: Self.second / 2, isAway: false)
        #expect(machine.giveBack(terms, at: Self.second).isEmpty)
        let returned = machine.giveBack(terms, at: Self.second * 3 / 2)
        // One and a half of three seconds of slots have passed.
        #expect(returned == [LeaseReturn(redisEnd: 1e15, microseconds: 25 * 60_000)])
        #expect(!machine.holdsLease)
    }

    // MARK: Header fields, rules

    @Test("The header fields are those of the IETF's draft")
    func fields() {
        let terms = LimitTerms(LimitPolicy(name: "default", quota: 1000, window: 60))
        #expect(String(decoding: terms.policyField, as: UTF8.self) == "\"default\";q=1000;w=60")
        #expect(text { terms.writeState(.allowed(remaining: 999, resetSeconds: 60), into: &$0) } == "\"default\";r=999;t=60")
        #expect(text { terms.writeState(.refused(retryAfter: 7), into: &$0) } == "\"default\";r=0;t=7")
        for number in [0, 9, 10, 99, 100, 10_000_000, .max] { #expect(text { $0.writeDecimal(number) } == "\(number)") }
        #expect(text { $0.writeDecimal(-5) } == "0")
    }

    @Test("A plan's numbers stand in place of a route's, by the policy's name; its tenant limit comes beside")
    func plans() {
        let route = [
            LimitRule(policy: LimitPolicy(name: "default", quota: 1000, window: 60), subject: .principal),
            LimitRule(policy: LimitPolicy(name: "uploads", quota: 10, window: 60), subject: .caller),
        ]
        let big = LimitPolicy(name: "default", quota: 9000, window: 60)
        let tenant = LimitPolicy(name: "tenant", quota: 50_000, window: 60)
        let plans = PlanLimits(plans: ["pro": ["default": big, "tenant": tenant]])
        #expect(plans.resolve(route, plan: nil) == route)
        #expect(plans.resolve(route, plan: "starter") == route)
        #expect(
            plans.resolve(route, plan: "pro")
                == [LimitRule(policy: big, subject: .principal), route[1], LimitRule(policy: tenant, subject: .tenant)])
    }

    @Test("Whom a limit counts for")
    func subjects() {
        func subject(_ kind: SubjectKind, _ principal: String?) -> String? {
            kind.subject(principal: principal, tenant: principal.map { _ in "t" }, address: "c0.0.2.1", account: nil)
        }
        #expect(subject(.principal, "person:1") == "person:1")
        #expect(subject(.principal, nil) == nil)
        #expect(subject(.anonymous, "person:1") == nil)
        #expect(subject(.anonymous, nil) == "address:c0.0.2.1")
        #expect(subject(.caller, nil) == "address:c0.0.2.1")
        #expect(subject(.address, "person:1") == "address:c0.0.2.1")
        #expect(subject(.tenant, "person:1") == "tenant:t")
        #expect(subject(.account, "person:1") == nil)
        let rule = LimitRule(policy: LimitPolicy(name: "reports", quota: 5, window: 60), subject: .tenant, routeLabel: "GET /reports")
        #expect(rule.subjectText("tenant:t") == "GET /reports|tenant:t")
        // Units of sign-ins may come back later, so none is leased.
        let signIn = LimitRule(policy: LimitPolicy(name: "sign-in", quota: 500, window: 900), subject: .account)
        #expect(!LimitTerms(signIn.policy).isLeased)
    }

    @Test("An address that guesses is held back until its guesses are past")
    func guesses() {
        let guesses = LimitGuesses(policy: LimitPolicy(name: "bad-keys", quota: 3, window: 60))
        for _ in 0..<3 {
            #expect(guesses.retryAfter("a", now: Self.second) == nil)
            guesses.note("a", now: Self.second)
        }
        #expect(guesses.retryAfter("a", now: Self.second) == 20)
        #expect(guesses.retryAfter("b", now: Self.second) == nil)
        #expect(guesses.retryAfter("a", now: 21 * Self.second) == nil)
    }
}
