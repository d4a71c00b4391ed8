import NIOCore

/// Where buckets are, and who asks Redis about them: `LimitBook`.
protocol LimitSource: AnyObject, Sendable {
    func bucket(_ policy: LimitPolicy, subject: String) -> LimitBucket
    /// Takes one unit, asking where that is needed.
    func ask(_ bucket: LimitBucket) async -> LimitVerdict
    /// Undoes a take.
    func giveBack(_ bucket: LimitBucket, takenAt: UInt64?)
}

/// The limits that one request counts against: it takes a unit of each, or of none when one refuses.
struct LimitGroup: Sendable {
    private struct Entry: Sendable {
        let bucket: LimitBucket
        var verdict = LimitVerdict.ask
        /// Nil when it was waited for.
        var takenAt: UInt64?
        var isHeld = false
    }

    private var entries: [Entry] = []

    /// For the next request; keeps its memory.
    mutating func removeAll() { entries.removeAll(keepingCapacity: true) }

    mutating func add(_ bucket: LimitBucket) { entries.append(Entry(bucket: bucket)) }

    var isEmpty: Bool { entries.isEmpty }

    /// The name of the policy that refuses, and the seconds to wait.
    var refusal: (policy: String, retryAfter: Int)? {
        for entry in entries { if case .refused(let retryAfter) = entry.verdict { return (entry.bucket.terms.policy.name, retryAfter) } }
        return nil
    }

    // MARK: Taking

    /// What can be decided at once: `.allowed` with all taken, `.refused` or `.ask` with none. `.ask` means `settled`.
    ///
    /// What is undone here was taken here, of a lease or of memory, so it never needs Redis.
    mutating func take(_ now: UInt64) -> LimitVerdict {
        var least = LimitVerdict.allowed(remaining: .max, resetSeconds: 0)
        for index in entries.indices {
            let verdict = entries[index].bucket.take(now)
            entries[index].verdict = verdict
            guard case .allowed(let remaining, _) = verdict else {
                for taken in entries.indices { undo(taken) { _ = $0.untake(takenAt: $1) } }
                return verdict
            }
            entries[index].takenAt = now
            entries[index].isHeld = true
            if case .allowed(let before, _) = least, remaining < before { least = verdict }
        }
        return least
    }

    /// The same with Redis asked where that is needed. What must be asked comes first, and of that what is asked each time,
    /// so that little is taken only to be given back.
    func settled(in book: some LimitSource, now: @Sendable () -> UInt64 = { Monotonic.now() }) async -> LimitGroup {
        var group = self
        let start = now()
        for isLeased in [false, true] {
            for index in group.entries.indices {
                let bucket = group.entries[index].bucket
                guard bucket.terms.isLeased == isLeased, bucket.mustAsk(start) else { continue }
                guard await group.ask(index, in: book, now: now) else { return group }
            }
        }
        for index in group.entries.indices where !group.entries[index].isHeld {
            guard await group.ask(index, in: book, now: now) else { return group }
        }
        return group
    }

    /// All taken, or who refuses.
    var verdict: LimitVerdict {
        var least = LimitVerdict.allowed(remaining: .max, resetSeconds: 0)
        for entry in entries {
            guard case .allowed(let remaining, _) = entry.verdict, entry.isHeld else { continue }
            if case .allowed(let before, _) = least, remaining < before { least = entry.verdict }
        }
        if let refusal { return .refused(retryAfter: refusal.retryAfter) }
        return entries.allSatisfy(\.isHeld) ? least : .ask
    }

    /// False when it refuses; then the others have their units back.
    private mutating func ask(_ index: Int, in book: some LimitSource, now: @Sendable () -> UInt64) async -> Bool {
        let moment = now()
        var verdict = entries[index].bucket.take(moment)
        entries[index].takenAt = verdict == .ask ? nil : moment
        if verdict == .ask { verdict = await book.ask(entries[index].bucket) }
        entries[index].verdict = verdict
        guard verdict.isAllowed else {
            for taken in entries.indices { undo(taken) { book.giveBack($0, takenAt: $1) } }
            return false
        }
        entries[index].isHeld = true
        return true
    }

    private mutating func undo(_ index: Int, _ giveBack: (LimitBucket, UInt64?) -> Void) {
        guard entries[index].isHeld else { return }
        entries[index].isHeld = false
        if case .allowed(let remaining, let seconds) = entries[index].verdict {
            entries[index].verdict = .allowed(remaining: remaining + 1, resetSeconds: seconds)
        }
        giveBack(entries[index].bucket, entries[index].takenAt)
    }

    /// Undoes what was taken, as for a sign-in that succeeded. What the answer says of the limits stays as it was.
    mutating func giveBack(in book: some LimitSource) {
        for index in entries.indices where entries[index].isHeld {
            entries[index].isHeld = false
            book.giveBack(entries[index].bucket, takenAt: entries[index].takenAt)
        }
    }

    /// The same where the request is refused by something else: the answer says what is left after it.
    mutating func takeBack(in book: some LimitSource) {
        for index in entries.indices { undo(index) { book.giveBack($0, takenAt: $1) } }
    }

    // MARK: Header fields

    /// Writes the value of `RateLimit-Policy`: every limit that the request counts against.
    func writePolicies(into buffer: inout ByteBuffer) {
        for index in entries.indices {
            if index > 0 { buffer.writeStaticString(", ") }
            buffer.writeBytes(entries[index].bucket.terms.policyField)
        }
    }

    /// Writes the value of `RateLimit`: what is left of each, as far as it is known. Nothing when none is.
    func writeStates(into buffer: inout ByteBuffer) {
        var isFirst = true
        for entry in entries where entry.verdict != .ask {
            if !isFirst { buffer.writeStaticString(", ") }
            isFirst = false
            entry.bucket.terms.writeState(entry.verdict, into: &buffer)
        }
    }
}
