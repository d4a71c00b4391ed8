/// Units of a bucket that this replica may use without asking.
///
/// In Redis a bucket is a line of slots, one interval each, and a lease is a stretch of it. Each request uses up one slot that has
/// not begun to pass; no slot is given out twice. So all replicas together never admit more than one bucket would.
struct Lease: Sendable, Equatable {
    static let none = Lease(left: 0, size: 0, end: 0, redisEnd: 0)

    var left: Int
    /// As it was given out.
    let size: Int
    /// When its last slot is over: monotonic nanoseconds of this replica, rather too early than too late.
    let end: UInt64
    /// The same in microseconds of Redis' clock, by which Redis knows the stretch.
    let redisEnd: Double

    /// Drops the slots that have begun to pass, and returns how many those are. Redis has them anew.
    mutating func lapse(at now: UInt64, interval: UInt64) -> Int {
        guard left > 0 else { return 0 }
        let room = end > now ? end - now : 0
        if UInt64(left) * interval <= room { return 0 }
        let kept = Int(room / interval)
        defer { left = kept }
        return left - kept
    }
}

/// What is asked of Redis: units for the requests that wait, and units to keep.
struct LeaseRequest: Sendable, Equatable {
    let need: Int
    let want: Int
    let sentAt: UInt64
}

/// What Redis answers. Times are microseconds.
struct LeaseGrant: Sendable, Equatable {
    /// Of those needed.
    var granted: Int
    var leased: Int
    /// From the answer's time to the end of the lease's last slot.
    var leaseTime: Double
    var redisEnd: Double
    /// What Redis has left, this grant being taken off.
    var available: Int
    /// Until the bucket is full again.
    var fullIn: Double
    /// Until one more is there, when not all needed were.
    var wait: Double
    var blockedFor: Double
}

/// What is told of a bucket that was counted in memory.
struct LeaseReport: Sendable, Equatable {
    /// Microseconds that Redis had in the bucket when it was last heard of, as far as they have not passed: for a Redis that forgot.
    let floor: Double
    /// Microseconds that were used since.
    let used: Double
    let units: Int
    let blockedFor: Double
}

/// A stretch of slots that goes back.
struct LeaseReturn: Sendable, Equatable {
    let redisEnd: Double
    let microseconds: Double
}

/// One bucket as one replica sees it: its leases, what it knows of Redis, and its own count for while Redis is away.
///
/// Knows no clock and no Redis: time is passed in as monotonic nanoseconds, and what must be asked is returned.
struct LeaseMachine: Sendable, Equatable {
    /// A lease is given back when it was not used for so long.
    static let idleTime: UInt64 = 1_000_000_000
    /// Leases asked for in quicker succession grow.
    static let growthTime: UInt64 = 2_000_000_000
    /// Refused by Redis, a bucket is asked again after so long, or earlier when a unit is there earlier…
    static let longestHold: UInt64 = 100_000_000
    /// …but not before this: one that is used up must not ask for each single unit.
    static let shortestHold: UInt64 = 50_000_000

    private(set) var current = Lease.none
    private(set) var next = Lease.none
    private(set) var isAsking = false
    /// Requests that wait for an answer; those of them that were there when the question left come first.
    private(set) var waiting = 0
    private(set) var asked = 0
    private(set) var blockedUntil: UInt64 = 0
    private(set) var lastUse: UInt64 = 0
    /// When the whole bucket will be full again, as far as it is known here; in memory this is what counts.
    private(set) var fullAt: UInt64 = 0
    /// Units counted in memory that Redis does not know of.
    private(set) var untold = 0
    private var remote = 0
    private var refusedUntil: UInt64 = 0
    private var nextUnitAt: UInt64 = 0
    private var lastAsked: UInt64 = 0
    private var prefetchAfter: UInt64 = 0
    private var size = 0

    var left: Int { current.left + next.left }
    var holdsLease: Bool { current.left > 0 || next.left > 0 }

    /// Nothing would be lost if this were forgotten.
    func isIdle(at now: UInt64) -> Bool {
        !holdsLease && !isAsking && waiting == 0 && untold == 0 && blockedUntil <= now && fullAt <= now
    }

    // MARK: Taking

    /// Takes one unit if that can be decided here. `.ask` means neither yes nor no; away, there is always an answer.
    mutating func take(_ terms: LimitTerms, at now: UInt64, isAway: Bool) -> LimitVerdict {
        if blockedUntil > now { return Self.refusal(blockedUntil - now) }
        lapse(terms, at: now)
        if current.left > 0 {
            current.left -= 1
            lastUse = now
            return .allowed(remaining: remaining(terms), resetSeconds: terms.policy.window)
        }
        if isAway { return takeFromMemory(terms, at: now) }
        if refusedUntil > now { return Self.refusal(nextUnitAt > now ? nextUnitAt - now : 0) }
        return .ask
    }

    /// Whether `take` would say `.ask`.
    mutating func mustAsk(_ terms: LimitTerms, at now: UInt64) -> Bool {
        lapse(terms, at: now)
        return blockedUntil <= now && current.left == 0 && refusedUntil <= now
    }

    /// Undoes a take of a lease, if nothing happened since: then it is as if it had never been. Otherwise the unit is lost, since
    /// a later request may have been given a later slot on its account.
    mutating func untake(takenAt: UInt64) {
        guard current.left < current.size, lastUse == takenAt else { return }
        current.left += 1
    }

    private mutating func lapse(_ terms: LimitTerms, at now: UInt64) {
        remote += current.lapse(at: now, interval: terms.interval)
        if current.left == 0, next.left > 0 {
            current = next
            next = .none
            remote += current.lapse(at: now, interval: terms.interval)
        }
    }

    private func remaining(_ terms: LimitTerms) -> Int { max(0, min(terms.quota, current.left + next.left + remote)) }

    private static func refusal(_ nanoseconds: UInt64) -> LimitVerdict {
        .refused(retryAfter: max(1, Int((nanoseconds + 999_999_999) / 1_000_000_000)))
    }

    // MARK: Asking

    /// One more request waits; what to ask of Redis when nothing is on its way.
    mutating func wait(_ terms: LimitTerms, at now: UInt64, keeps: Bool) -> LeaseRequest? {
        waiting += 1
        return isAsking ? nil : request(terms, at: now, keeps: keeps)
    }

    /// What to ask for in the background, when half of the lease is used.
    mutating func prefetch(_ terms: LimitTerms, at now: UInt64) -> LeaseRequest? {
        guard !isAsking, terms.isLeased, next.left == 0, current.left * 2 <= current.size, current.size > 1, prefetchAfter <= now
        else { return nil }
        return request(terms, at: now, keeps: true)
    }

    private mutating func request(_ terms: LimitTerms, at now: UInt64, keeps: Bool) -> LeaseRequest {
        var want = 0
        if terms.isLeased, keeps {
            if size == 0 {
                size = terms.firstLease
            } else if now < lastAsked + Self.growthTime {
                size = min(terms.largestLease, size * 2)
            }
            // Of a lease of one unit the waiting request is the user.
            want = size == 1 && waiting > 0 ? 0 : size
        }
        isAsking = true
        asked = waiting
        lastAsked = now
        return LeaseRequest(need: waiting, want: want, sentAt: now)
    }

    /// What the answer means for the requests that wait, in their order; the rest waits on for `request`.
    struct Answered: Sendable, Equatable {
        var verdicts: [LimitVerdict]
        var request: LeaseRequest?
        /// A lease that there is no room for, or units that came too late.
        var surplus: LeaseReturn?
    }

    /// Takes in Redis' answer.
    mutating func answered(
        _ grant: LeaseGrant, to request: LeaseRequest, _ terms: LimitTerms, at now: UInt64, keeps: Bool
    ) -> Answered {
        var answer = Answered(verdicts: [])
        isAsking = false
        remote = grant.available
        // An answer that came too late has admitted requests that were counted in memory meanwhile: those are told of by it. What
        // nobody needs any more, since it was given back in memory, goes back.
        let unneeded = max(0, grant.granted - asked), told = min(untold, unneeded)
        untold -= told
        if unneeded > told, !terms.isLeased {
            answer.surplus = LeaseReturn(redisEnd: 0, microseconds: Double(unneeded - told) * terms.microseconds)
        }
        fullAt = max(now, now + Self.nanoseconds(grant.fullIn)) + UInt64(untold) * terms.interval
        if grant.blockedFor > 0 { blockedUntil = max(blockedUntil, now + Self.nanoseconds(grant.blockedFor)) }
        if grant.leased > 0 {
            answer.surplus = add(grant, sentAt: request.sentAt, terms, at: now)
        } else {
            prefetchAfter = now + Self.shortestHold
        }
        // Whoever waited when the question left was admitted in Redis, just when it answered.
        let served = min(grant.granted, asked)
        for index in 0..<served {
            let rest = max(0, min(terms.quota, left + remote + served - 1 - index))
            answer.verdicts.append(.allowed(remaining: rest, resetSeconds: terms.policy.window))
        }
        if served > 0 { lastUse = now }
        if grant.granted < request.need {
            let wait = Self.nanoseconds(grant.wait)
            nextUnitAt = now + wait
            refusedUntil = now + min(max(wait, Self.shortestHold), Self.longestHold)
            let refusal = Self.refusal(blockedUntil > now ? blockedUntil - now : wait)
            for _ in served..<max(served, asked) { answer.verdicts.append(refusal) }
        } else {
            refusedUntil = 0
        }
        waiting -= answer.verdicts.count
        asked = 0
        while waiting > 0 {
            let verdict = take(terms, at: now, isAway: false)
            if verdict == .ask { break }
            answer.verdicts.append(verdict)
            waiting -= 1
        }
        if waiting > 0 { answer.request = self.request(terms, at: now, keeps: keeps) }
        return answer
    }

    private mutating func add(_ grant: LeaseGrant, sentAt: UInt64, _ terms: LimitTerms, at now: UInt64) -> LeaseReturn? {
        // Redis looked at its clock after the question left, so this is no later than the true end.
        let end = sentAt + UInt64(max(0, grant.leaseTime) * 1_000)
        let lease = Lease(left: grant.leased, size: grant.leased, end: end, redisEnd: grant.redisEnd)
        lapse(terms, at: now)
        if current.left == 0 {
            current = lease
        } else if next.left == 0 {
            next = lease
        } else {
            return LeaseReturn(redisEnd: grant.redisEnd, microseconds: Double(grant.leased) * terms.microseconds)
        }
        lastUse = max(lastUse, now)
        return nil
    }

    // MARK: Away

    /// Redis did not answer, or not in time: whoever waits is answered from memory.
    mutating func answerFromMemory(_ terms: LimitTerms, at now: UInt64, isOver: Bool) -> [LimitVerdict] {
        if isOver { isAsking = false }
        var verdicts: [LimitVerdict] = []
        while waiting > 0 {
            verdicts.append(take(terms, at: now, isAway: true))
            waiting -= 1
        }
        asked = 0
        return verdicts
    }

    private mutating func takeFromMemory(_ terms: LimitTerms, at now: UInt64) -> LimitVerdict {
        let full = max(fullAt, now) + terms.interval
        guard full <= now + terms.window else {
            if terms.block > 0 { blockedUntil = now + terms.block }
            return Self.refusal(max(terms.block, full - now - terms.window))
        }
        fullAt = full
        untold += 1
        lastUse = now
        return .allowed(remaining: Int((now + terms.window - full) / terms.interval), resetSeconds: terms.policy.window)
    }

    /// Undoes a take from memory. False when there is none that Redis does not know of.
    mutating func untakeFromMemory(_ terms: LimitTerms) -> Bool {
        guard untold > 0 else { return false }
        untold -= 1
        fullAt -= min(fullAt, terms.interval)
        return true
    }

    /// What Redis must be told, once; `untell` when it could not be.
    mutating func report(_ terms: LimitTerms, at now: UInt64) -> LeaseReport? {
        let isBlocked = terms.block > 0 && blockedUntil > now
        guard untold > 0 || isBlocked else { return nil }
        let level = fullAt > now ? fullAt - now : 0
        let used = min(level, UInt64(untold) * terms.interval)
        defer { untold = 0 }
        return LeaseReport(
            floor: Double(level - used) / 1_000, used: Double(used) / 1_000, units: untold,
            blockedFor: isBlocked ? Double(blockedUntil - now) / 1_000 : 0)
    }

    mutating func untell(_ report: LeaseReport) { untold += report.units }

    // MARK: Giving back, blocks

    /// Leases that were not used for a while, or all of them at the end.
    mutating func giveBack(_ terms: LimitTerms, at now: UInt64, evenInUse: Bool = false) -> [LeaseReturn] {
        guard holdsLease, evenInUse || (!isAsking && now >= lastUse + Self.idleTime) else { return [] }
        lapse(terms, at: now)
        var returns: [LeaseReturn] = []
        for lease in [current, next] where lease.left > 0 {
            returns.append(LeaseReturn(redisEnd: lease.redisEnd, microseconds: Double(lease.left) * terms.microseconds))
            fullAt -= min(fullAt, UInt64(lease.left) * terms.interval)
            remote += lease.left
        }
        current = .none
        next = .none
        size = max(terms.firstLease, size / 4)
        return returns
    }

    /// Another replica saw the limit exceeded.
    mutating func blocked(for nanoseconds: UInt64, at now: UInt64) { blockedUntil = max(blockedUntil, now + nanoseconds) }

    private static func nanoseconds(_ microseconds: Double) -> UInt64 { UInt64(max(0, min(microseconds, 1e15)) * 1_000) }
}

extension LimitTerms {
    /// Until one used unit is there again.
    var microseconds: Double { Double(interval) / 1_000 }
    var windowMicroseconds: Double { Double(window) / 1_000 }
}
