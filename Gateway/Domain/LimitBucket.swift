import Synchronization

/// What all buckets of a book share.
final class LimitLink: Sendable {
    /// Whether Redis is away, so that each bucket counts for itself.
    let isAway = Atomic(false)
    /// Whether this replica is stopping: then nothing is kept for later.
    let isClosing = Atomic(false)
    let refusals = Atomic(0)
}

/// What a bucket needs done for it by whoever talks to Redis.
protocol LimitBucketKeeper: AnyObject, Sendable {
    /// Asks Redis, and hands the answer to `answered` or `failed`.
    func ask(_ request: LeaseRequest, for bucket: LimitBucket)
    /// Calls `expire` once the first that waits has waited long enough.
    func watch(_ bucket: LimitBucket)
    /// The bucket holds a lease, which must be given back some day.
    func holdsLease(_ bucket: LimitBucket)
    /// The bucket was counted in memory, of which Redis must be told.
    func countedInMemory(_ bucket: LimitBucket)
}

/// The units of one policy that one subject has; shared by all event loops, and held by whoever asks often.
final class LimitBucket: Sendable {
    private struct State {
        var machine = LeaseMachine()
        var waiters: [CheckedContinuation<LimitVerdict, Never>] = []
        var waitingSince: UInt64 = 0
        var isListedAsLeased = false
        var isListedAsUntold = false
        /// Whether the book has forgotten this bucket, and which it has in its place.
        var isDetached = false
        var successor: LimitBucket?

        /// Whether the book does not know yet that Redis must be told.
        mutating func mustTell(_ terms: LimitTerms, _ now: UInt64) -> Bool {
            guard !isListedAsUntold, machine.untold > 0 || (terms.block > 0 && machine.blockedUntil > now) else { return false }
            isListedAsUntold = true
            return true
        }
    }

    let terms: LimitTerms
    let subject: [UInt8]
    /// Where the book has it.
    let place: UInt64
    private let link: LimitLink
    private weak let keeper: (any LimitBucketKeeper)?
    private let state = Mutex(State())

    init(_ terms: LimitTerms, subject: [UInt8], place: UInt64, link: LimitLink, keeper: any LimitBucketKeeper) {
        self.terms = terms
        self.subject = subject
        self.place = place
        self.link = link
        self.keeper = keeper
    }

    /// The bucket's key in Redis: `trionex:limit:<policy>:<subject>`.
    var key: String { "\(Self.keyPrefix)\(terms.policy.name):\(String(decoding: subject, as: UTF8.self))" }
    static let keyPrefix = "trionex:limit:"

    private var keeps: Bool { !link.isClosing.load(ordering: .relaxed) }

    // MARK: Taking

    /// Takes one unit at this time (monotonic nanoseconds), if that can be decided here; `.ask` means `LimitBook.ask`.
    func take(_ now: UInt64) -> LimitVerdict {
        let isAway = link.isAway.load(ordering: .relaxed)
        var request: LeaseRequest?
        var successor: LimitBucket?
        var mustTell = false
        let verdict = state.withLock { state -> LimitVerdict in
            if state.isDetached, !state.machine.holdsLease {
                successor = state.successor
                return .ask
            }
            let verdict = state.machine.take(terms, at: now, isAway: isAway)
            if isAway {
                mustTell = state.mustTell(terms, now)
            } else if case .allowed = verdict, keeps {
                request = state.machine.prefetch(terms, at: now)
            }
            return verdict
        }
        if let successor { return successor.take(now) }
        if let request { keeper?.ask(request, for: self) }
        if mustTell { keeper?.countedInMemory(self) }
        if case .refused = verdict { link.refusals.add(1, ordering: .relaxed) }
        return verdict
    }

    /// Whether `take` would answer `.ask`.
    func mustAsk(_ now: UInt64) -> Bool {
        if link.isAway.load(ordering: .relaxed) { return false }
        return state.withLock { $0.machine.mustAsk(terms, at: now) }
    }

    /// Undoes what `take` took at this time, or what was waited for (nil). False when Redis must be told.
    func untake(takenAt: UInt64?) -> Bool {
        state.withLock { state in
            if state.machine.untakeFromMemory(terms) { return true }
            guard terms.isLeased else { return false }
            if let takenAt { state.machine.untake(takenAt: takenAt) }
            return true
        }
    }

    // MARK: Waiting for Redis

    /// Waits for a unit; the continuation is resumed with a verdict that is not `.ask`.
    func wait(_ now: UInt64, _ continuation: CheckedContinuation<LimitVerdict, Never>) {
        let isAway = link.isAway.load(ordering: .relaxed)
        var request: LeaseRequest?
        var isFirst = false
        var mustTell = false
        let verdict = state.withLock { state -> LimitVerdict in
            let verdict = state.machine.take(terms, at: now, isAway: isAway)
            if isAway { mustTell = state.mustTell(terms, now) }
            guard verdict == .ask else { return verdict }
            isFirst = state.waiters.isEmpty
            if isFirst { state.waitingSince = now }
            state.waiters.append(continuation)
            request = state.machine.wait(terms, at: now, keeps: keeps)
            return .ask
        }
        if mustTell { keeper?.countedInMemory(self) }
        if verdict != .ask {
            if case .refused = verdict { link.refusals.add(1, ordering: .relaxed) }
            return continuation.resume(returning: verdict)
        }
        if isFirst { keeper?.watch(self) }
        guard let request else { return }
        guard let keeper else { return failed(at: now) }
        keeper.ask(request, for: self)
    }

    /// Redis has answered.
    func answered(_ grant: LeaseGrant, to request: LeaseRequest, at now: UInt64) -> LeaseReturn? {
        var resumed: ArraySlice<CheckedContinuation<LimitVerdict, Never>> = []
        var isFirst = false
        var isFirstLease = false
        let answer = state.withLock { state in
            let answer = state.machine.answered(grant, to: request, terms, at: now, keeps: keeps)
            resumed = state.waiters.prefix(answer.verdicts.count)
            state.waiters.removeFirst(answer.verdicts.count)
            isFirst = !state.waiters.isEmpty && !answer.verdicts.isEmpty
            if isFirst { state.waitingSince = now }
            if state.machine.holdsLease, !state.isListedAsLeased {
                state.isListedAsLeased = true
                isFirstLease = true
            }
            return answer
        }
        resume(resumed, answer.verdicts)
        if isFirstLease { keeper?.holdsLease(self) }
        if isFirst { keeper?.watch(self) }
        if let request = answer.request { keeper?.ask(request, for: self) }
        return answer.surplus
    }

    /// Redis could not be asked: whoever waits is answered from memory.
    func failed(at now: UInt64) { answerFromMemory(at: now, isOver: true, patience: 0) }

    /// Whether somebody has waited for so long.
    func isLate(at now: UInt64, patience: UInt64) -> Bool {
        state.withLock { !$0.waiters.isEmpty && now >= $0.waitingSince + patience }
    }

    /// Whoever has waited for so long is answered from memory, and the others with them.
    func expire(at now: UInt64, patience: UInt64) { answerFromMemory(at: now, isOver: false, patience: patience) }

    private func answerFromMemory(at now: UInt64, isOver: Bool, patience: UInt64) {
        var resumed: [CheckedContinuation<LimitVerdict, Never>] = []
        var mustTell = false
        let verdicts = state.withLock { state -> [LimitVerdict] in
            guard isOver || (!state.waiters.isEmpty && now >= state.waitingSince + patience) else { return [] }
            let verdicts = state.machine.answerFromMemory(terms, at: now, isOver: isOver)
            swap(&resumed, &state.waiters)
            mustTell = state.mustTell(terms, now)
            return verdicts
        }
        if mustTell { keeper?.countedInMemory(self) }
        resume(resumed[...], verdicts)
    }

    private func resume(_ waiters: ArraySlice<CheckedContinuation<LimitVerdict, Never>>, _ verdicts: [LimitVerdict]) {
        for (waiter, verdict) in zip(waiters, verdicts) {
            if case .refused = verdict { link.refusals.add(1, ordering: .relaxed) }
            waiter.resume(returning: verdict)
        }
    }

    // MARK: For the book

    /// What goes back to Redis now, and whether the bucket still holds leases.
    func giveBack(at now: UInt64, evenInUse: Bool = false) -> (returns: [LeaseReturn], holdsLease: Bool) {
        state.withLock { state in
            let returns = state.machine.giveBack(terms, at: now, evenInUse: evenInUse)
            state.isListedAsLeased = state.machine.holdsLease || state.machine.isAsking
            return (returns, state.isListedAsLeased)
        }
    }

    /// What Redis must be told of.
    func report(at now: UInt64) -> LeaseReport? {
        state.withLock { state in
            state.isListedAsUntold = false
            return state.machine.report(terms, at: now)
        }
    }

    /// The report did not reach Redis: it must be made again.
    func untell(_ report: LeaseReport) {
        let mustTell = state.withLock { state in
            state.machine.untell(report)
            defer { state.isListedAsUntold = true }
            return !state.isListedAsUntold
        }
        if mustTell { keeper?.countedInMemory(self) }
    }

    func blocked(for nanoseconds: UInt64, at now: UInt64) { state.withLock { $0.machine.blocked(for: nanoseconds, at: now) } }

    /// Leaves the book, when nothing is lost by it or when it must.
    func detach(at now: UInt64, force: Bool) -> Bool {
        state.withLock { state in
            guard force || state.machine.isIdle(at: now) else { return false }
            state.isDetached = true
            return true
        }
    }

    /// When nothing of it would be lost.
    var fullAt: UInt64 { state.withLock { $0.machine.fullAt } }

    func attach() { state.withLock { $0.isDetached = false } }
    func replace(by bucket: LimitBucket) { state.withLock { $0.successor = bucket } }
    /// Whether the book must be asked which bucket counts.
    var standing: (isDetached: Bool, successor: LimitBucket?) { state.withLock { ($0.isDetached, $0.successor) } }
    var holdsLease: Bool { state.withLock { $0.machine.holdsLease } }
}
