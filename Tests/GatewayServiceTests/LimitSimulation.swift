@testable import GatewayService

/// Chance that is the same at each run.
struct SeededChance: RandomNumberGenerator {
    private var state: UInt64
    init(_ seed: UInt64) { state = seed &* 0x9E37_79B9_7F4A_7C15 | 1 }
    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state &* 0x2545_F491_4F6C_DD1D
    }
}

/// The bucket in Redis, with the arithmetic of `LimitScripts`, in microseconds.
struct SimulatedRedisBucket {
    private(set) var full = 0.0
    private(set) var blocked = 0.0
    private(set) var free: [(end: Double, length: Double)] = []
    private(set) var isKnown = false
    let interval: Double
    let window: Double
    let block: Double

    init(_ terms: LimitTerms) {
        interval = terms.microseconds
        window = terms.windowMicroseconds
        block = Double(terms.block) / 1_000
    }

    private mutating func read(_ now: Double) {
        full = max(full, now)
        if full > now + window + 1 {
            full = now + window
            free = []
        }
        free = free.map { ($0.end, min($0.length, $0.end - now)) }.filter { $0.length > 0 }
    }

    private func units(_ length: Double) -> Int { Int(((length + 0.5) / interval).rounded(.down)) }

    mutating func lease(need: Int, want: Int, at now: Double) -> LeaseGrant {
        read(now)
        func answer(_ granted: Int, _ leased: Int, _ last: Double, _ left: Int, _ wait: Double) -> LeaseGrant {
            LeaseGrant(
                granted: granted, leased: leased, leaseTime: last - now, redisEnd: last, available: left, fullIn: full - now, wait: wait,
                blockedFor: max(0, blocked - now))
        }
        if blocked > now { return answer(0, 0, now, 0, blocked - now) }
        func room() -> Int { max(0, units(now + window - full)) }
        free.sort { $0.end < $1.end }
        var granted = 0
        for index in free.indices {
            let taken = min(need - granted, units(free[index].length))
            free[index].length -= Double(taken) * interval
            granted += taken
        }
        let top = min(need - granted, room())
        full += Double(top) * interval
        granted += top
        var left = room() + free.reduce(0) { $0 + units($1.length) }
        var leased = granted < need ? 0 : min(want, left, max(left / 4, Int(Double(LimitScripts.smallestShare) / interval)))
        var last = now
        if leased > 0 {
            if let index = free.firstIndex(where: { units($0.length) > 0 }) {
                leased = min(leased, units(free[index].length))
                last = free[index].end - free[index].length + Double(leased) * interval
                free[index].length -= Double(leased) * interval
            } else {
                leased = min(leased, room())
                full += Double(leased) * interval
                last = full
            }
            left -= leased
        }
        var wait = 0.0
        if granted < need {
            wait = max(0, full + interval - window - now)
            if block > 0 {
                blocked = now + block
                wait = block
            }
        }
        free.removeAll { $0.length <= 0.5 }
        isKnown = true
        return answer(granted, leased, last, left, wait)
    }

    mutating func giveBack(_ lease: LeaseReturn, at now: Double) {
        read(now)
        let last = lease.redisEnd == 0 ? full : lease.redisEnd
        let length = min(lease.microseconds, last - now)
        guard isKnown, length > 0, last <= full + 0.5 else { return }
        free.append((last, length))
        free.sort { $0.end > $1.end }
        while let first = free.first, first.end >= full - 0.5 {
            full -= first.length
            free.removeFirst()
        }
        if free.count > LimitScripts.largestFree, let shortest = free.indices.min(by: { free[$0].length < free[$1].length }) {
            free.remove(at: shortest)
        }
    }

    mutating func tell(_ report: LeaseReport, at now: Double) {
        let wasKnown = isKnown
        read(now)
        if !wasKnown { full = now + report.floor }
        isKnown = true
        full = min(full + report.used, now + window)
        if report.blockedFor > 0 { blocked = max(blocked, now + report.blockedFor) }
    }

    /// Redis was started again without its data.
    mutating func forget() {
        full = 0
        blocked = 0
        free = []
        isKnown = false
    }
}

/// Several replicas and one Redis on one clock, with chance deciding who does what next, and how long messages take.
struct LimitSimulation {
    struct Replica {
        var machine = LeaseMachine()
        /// Its monotonic clock is so far ahead of the others'.
        let offset: UInt64
        var isAway = false
        var isAlive = true
        /// When Redis will have answered, or done, what was sent; with the answer's way back.
        var inFlight: [(arrival: UInt64, back: UInt64, request: LeaseRequest)] = []
        var answers: [(arrival: UInt64, grant: LeaseGrant, request: LeaseRequest, decidedAt: UInt64)] = []
        var returning: [(arrival: UInt64, lease: LeaseReturn)] = []
        var admitted = 0
        var refused = 0
    }

    /// Redis' clock is a wall clock.
    static let epoch = 1_760_000_000_000_000.0

    let terms: LimitTerms
    var chance: SeededChance
    var now: UInt64 = 5_000_000_000
    var redis: SimulatedRedisBucket
    var replicas: [Replica]
    /// When each request was admitted: where Redis admitted it, when Redis did.
    var admissions: [UInt64] = []
    var questions = 0
    var slowest: UInt64 = 3_000_000

    init(_ policy: LimitPolicy, replicas count: Int, seed: UInt64) {
        terms = LimitTerms(policy)
        chance = SeededChance(seed)
        redis = SimulatedRedisBucket(terms)
        replicas = (0..<count).map { Replica(offset: UInt64($0) * 77_777_777) }
    }

    private var redisNow: Double { Self.epoch + (Double(now) / 1_000).rounded(.down) }

    /// Lets time pass, and delivers what is due meanwhile in the order of its times.
    mutating func pass(_ nanoseconds: UInt64) {
        let end = now + nanoseconds
        while let next = nextArrival(), next <= end {
            now = max(now, next)
            deliver()
        }
        now = end
    }

    private func nextArrival() -> UInt64? {
        replicas.flatMap { $0.inFlight.map(\.arrival) + $0.answers.map(\.arrival) + $0.returning.map(\.arrival) }.min()
    }

    private mutating func deliver() {
        for index in replicas.indices {
            while let at = replicas[index].inFlight.firstIndex(where: { $0.arrival <= now }) {
                let sent = replicas[index].inFlight.remove(at: at)
                let grant = redis.lease(need: sent.request.need, want: sent.request.want, at: redisNow)
                replicas[index].answers.append((now + sent.back, grant, sent.request, now))
            }
            while let at = replicas[index].returning.firstIndex(where: { $0.arrival <= now }) {
                redis.giveBack(replicas[index].returning.remove(at: at).lease, at: redisNow)
            }
            while let at = replicas[index].answers.firstIndex(where: { $0.arrival <= now }) {
                let answer = replicas[index].answers.remove(at: at)
                let asked = replicas[index].machine.asked
                let local = now + replicas[index].offset
                let result = replicas[index].machine.answered(answer.grant, to: answer.request, terms, at: local, keeps: true)
                for (place, verdict) in result.verdicts.enumerated() {
                    let byRedis = place < min(answer.grant.granted, asked)
                    count(verdict, of: index, at: byRedis ? answer.decidedAt : now)
                }
                if let request = result.request { send(request, from: index) }
                if let surplus = result.surplus { sendBack(surplus, from: index) }
            }
        }
    }

    private mutating func count(_ verdict: LimitVerdict, of index: Int, at time: UInt64) {
        switch verdict {
        case .allowed:
            replicas[index].admitted += 1
            admissions.append(time)
        case .refused: replicas[index].refused += 1
        case .ask: break
        }
    }

    private mutating func send(_ request: LeaseRequest, from index: Int) {
        questions += 1
        let way = UInt64.random(in: 20_000...slowest, using: &chance)
        let back = UInt64.random(in: 20_000...slowest, using: &chance)
        replicas[index].inFlight.append((now + way, back, request))
    }

    private mutating func sendBack(_ lease: LeaseReturn, from index: Int) {
        let way = UInt64.random(in: 20_000...slowest, using: &chance)
        replicas[index].returning.append((now + way, lease))
    }

    // MARK: What replicas do

    /// One request; its answer may come later.
    mutating func request(at index: Int) {
        let local = now + replicas[index].offset
        let isAway = replicas[index].isAway
        let verdict = replicas[index].machine.take(terms, at: local, isAway: isAway)
        count(verdict, of: index, at: now)
        if verdict == .ask {
            if let request = replicas[index].machine.wait(terms, at: local, keeps: true) { send(request, from: index) }
        } else if verdict.isAllowed, !isAway, let request = replicas[index].machine.prefetch(terms, at: local) {
            send(request, from: index)
        }
    }

    /// Takes a unit and gives it back at once, or after others took.
    mutating func takeAndUndo(at index: Int, between: (inout LimitSimulation) -> Void) {
        let moment = now + replicas[index].offset
        guard !replicas[index].isAway, replicas[index].machine.take(terms, at: moment, isAway: false).isAllowed else { return }
        between(&self)
        replicas[index].machine.untake(takenAt: moment)
    }

    mutating func giveBackIdle(of only: Int? = nil, evenInUse: Bool = false) {
        for index in replicas.indices where only == nil || only == index {
            let local = now + replicas[index].offset
            for lease in replicas[index].machine.giveBack(terms, at: local, evenInUse: evenInUse) { sendBack(lease, from: index) }
        }
    }

    mutating func goAway(_ index: Int) {
        replicas[index].isAway = true
        replicas[index].inFlight = []
        replicas[index].answers = []
        let verdicts = replicas[index].machine.answerFromMemory(terms, at: now + replicas[index].offset, isOver: true)
        for verdict in verdicts { count(verdict, of: index, at: now) }
    }

    mutating func comeBack(_ index: Int) {
        if let report = replicas[index].machine.report(terms, at: now + replicas[index].offset) { redis.tell(report, at: redisNow) }
        replicas[index].isAway = false
    }

    // MARK: What must hold

    /// By how many units the admissions overran one bucket that sees all of them; 0 when they kept to it.
    func overrun(_ admissions: [UInt64]) -> Double {
        let interval = Double(terms.interval)
        var full = 0.0
        var worst = 0.0
        for time in admissions.sorted() {
            full = max(full, Double(time)) + interval
            worst = max(worst, (full - Double(time) - Double(terms.window)) / interval)
        }
        return worst
    }

    var overrun: Double { overrun(admissions) }
}
