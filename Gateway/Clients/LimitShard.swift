import Synchronization

/// A part of the book's buckets under a lock of its own, so that event loops seldom meet.
final class LimitShard: Sendable {
    static let count = 16
    /// Buckets that are looked at to find one that can be forgotten.
    static let evictionSample = 32
    /// Subjects whose place is the same; more than one is all but impossible, several policies of one subject are not.
    private static let depth = 4

    private struct State {
        var buckets: [LimitBucket] = []
        /// Place, moved on for each that is there already → index.
        var index: [UInt64: Int] = [:]
        /// Where the search for a bucket to forget goes on.
        var hand = 0
    }

    private let maximum: Int
    private let state = Mutex(State())

    init(maximum: Int) { self.maximum = maximum }

    var count: Int { state.withLock { $0.buckets.count } }

    /// Keyed by chance at each start, so that nobody can choose subjects that meet.
    static func place(_ policy: String, _ subject: UnsafeRawBufferPointer) -> UInt64 {
        var hasher = Hasher()
        hasher.combine(policy)
        hasher.combine(bytes: subject)
        return UInt64(bitPattern: Int64(hasher.finalize()))
    }

    static func index(_ place: UInt64) -> Int { Int(place >> 60) }

    func bucket(
        _ policy: LimitPolicy, _ subject: UnsafeRawBufferPointer, place: UInt64, now: () -> UInt64, make: () -> LimitBucket
    ) -> LimitBucket {
        state.withLock { state in
            if let found = Self.find(policy, subject, place, state) { return found }
            let bucket = make()
            insert(bucket, into: &state, now: now)
            return bucket
        }
    }

    /// All buckets of a subject, whatever their numbers.
    func buckets(_ policy: String, _ subject: UnsafeRawBufferPointer, place: UInt64) -> [LimitBucket] {
        state.withLock { state in
            (0..<Self.depth).compactMap { step -> LimitBucket? in
                guard let index = state.index[place &+ UInt64(step)] else { return nil }
                let bucket = state.buckets[index]
                return bucket.terms.policy.name == policy && Self.equal(bucket.subject, subject) ? bucket : nil
            }
        }
    }

    /// Takes back a bucket that had to leave, or returns the one that is there in its place.
    func restore(_ bucket: LimitBucket, now: () -> UInt64) -> LimitBucket {
        state.withLock { state in
            let found = bucket.subject.withUnsafeBytes { Self.find(bucket.terms.policy, $0, bucket.place, state) }
            if let found {
                if found !== bucket { bucket.replace(by: found) }
                return found
            }
            bucket.attach()
            insert(bucket, into: &state, now: now)
            return bucket
        }
    }

    private static func find(
        _ policy: LimitPolicy, _ subject: UnsafeRawBufferPointer, _ place: UInt64, _ state: borrowing State
    ) -> LimitBucket? {
        for step in 0..<UInt64(depth) {
            guard let index = state.index[place &+ step] else { continue }
            let bucket = state.buckets[index]
            if equal(bucket.subject, subject), bucket.terms.policy == policy { return bucket }
        }
        return nil
    }

    private static func equal(_ held: [UInt8], _ bytes: UnsafeRawBufferPointer) -> Bool {
        held.count == bytes.count && held.withUnsafeBytes { $0.elementsEqual(bytes) }
    }

    private func insert(_ bucket: LimitBucket, into state: inout State, now: () -> UInt64) {
        if state.buckets.count >= maximum { evict(from: &state, at: now()) }
        for step in 0..<UInt64(Self.depth) where state.index[bucket.place &+ step] == nil {
            state.index[bucket.place &+ step] = state.buckets.count
            state.buckets.append(bucket)
            return
        }
        // All its places are taken by policies of former settings, or by chance: the first makes room.
        if let index = state.index[bucket.place] {
            _ = state.buckets[index].detach(at: 0, force: true)
            state.buckets[index] = bucket
        }
    }

    /// Forgets one that loses nothing by it; among those looked at, the one that loses least, if there is none.
    private func evict(from state: inout State, at now: UInt64) {
        var least: (index: Int, fullAt: UInt64)?
        for _ in 0..<min(Self.evictionSample, state.buckets.count) {
            state.hand = (state.hand + 1) % state.buckets.count
            let bucket = state.buckets[state.hand]
            if bucket.detach(at: now, force: false) { return remove(state.hand, from: &state) }
            let fullAt = bucket.fullAt
            if fullAt < least?.fullAt ?? .max { least = (state.hand, fullAt) }
        }
        guard let least else { return }
        _ = state.buckets[least.index].detach(at: now, force: true)
        remove(least.index, from: &state)
    }

    private func remove(_ index: Int, from state: inout State) {
        let last = state.buckets.count - 1
        if let key = Self.key(of: index, in: state) { state.index[key] = nil }
        if index != last {
            if let key = Self.key(of: last, in: state) { state.index[key] = index }
            state.buckets[index] = state.buckets[last]
        }
        state.buckets.removeLast()
    }

    private static func key(of index: Int, in state: borrowing State) -> UInt64? {
        let place = state.buckets[index].place
        return (0..<UInt64(depth)).map { place &+ $0 }.first { state.index[$0] == index }
    }
}
