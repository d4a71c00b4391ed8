import NIOCore
import Synchronization

/// Whether a request may go to its service now.
enum Admission: Sendable, Equatable {
    /// It has a place, which it must give back.
    case go
    /// It stands in the queue; `resume` will say.
    case wait
    /// Too many. Seconds until it is worth asking again.
    case shed(retryAfter: Int)
}

/// The places of a group, and the bounded queue before them: the more important first, in order of arrival among equals. When the queue is
/// full, whoever matters least and came last goes.
final class AdmissionQueue: Sendable {
    typealias Resume = @Sendable (Admission) -> Void

    private struct Waiter: Sendable {
        let deadline: UInt64
        let resume: Resume
    }

    private struct Lines: Sendable {
        /// By raw value of the priority. All wait equally long at most, so the first of a line has its earliest deadline.
        var lines = [CircularBuffer<Waiter>](repeating: CircularBuffer(), count: Priority.allCases.count)
        var shed = [Int](repeating: 0, count: Priority.allCases.count)
        var total = 0

        func hasWaiters(upTo priority: Priority) -> Bool { lines[...Int(priority.rawValue)].contains { !$0.isEmpty } }

        mutating func append(_ waiter: Waiter, _ priority: Priority) {
            lines[Int(priority.rawValue)].append(waiter)
            total += 1
        }

        mutating func next() -> Waiter? {
            guard let index = lines.firstIndex(where: { !$0.isEmpty }) else { return nil }
            total -= 1
            return lines[index].popFirst()
        }

        /// Takes away the last that matters less.
        mutating func evict(for priority: Priority) -> Waiter? {
            guard let index = lines.lastIndex(where: { !$0.isEmpty }), index > Int(priority.rawValue) else { return nil }
            total -= 1
            shed[index] += 1
            return lines[index].popLast()
        }

        mutating func expired(_ now: UInt64) -> [Waiter] {
            var gone: [Waiter] = []
            for index in lines.indices {
                while let first = lines[index].first, first.deadline <= now {
                    gone.append(first)
                    lines[index].removeFirst()
                    shed[index] += 1
                    total -= 1
                }
            }
            return gone
        }
    }

    private let spec: UpstreamSpec.Queue
    private let limit: ConcurrencyLimit
    private let taken = Atomic<Int>(0)
    /// How many stand in the lines, or are about to.
    private let waiting = Atomic<Int>(0)
    private let lines = Mutex(Lines())

    init(_ spec: UpstreamSpec.Queue, limit: ConcurrencyLimit) {
        self.spec = spec
        self.limit = limit
    }

    /// Places taken.
    var inside: Int { taken.load(ordering: .relaxed) }

    /// A place, if there is one and nobody waits.
    @inline(__always)
    func tryEnter() -> Bool {
        waiting.load(ordering: .sequentiallyConsistent) == 0 && take()
    }

    func enter(_ priority: Priority, now: UInt64, resume: @escaping Resume) -> Admission {
        if tryEnter() { return .go }
        let shed = Admission.shed(retryAfter: spec.retryAfter)
        let (admission, refused) = lines.withLock { lines -> (Admission, [Waiter]) in
            var refused = lines.expired(now)
            defer { waiting.store(lines.total, ordering: .sequentiallyConsistent) }
            // Announced before the last look at the places: whoever leaves after that look finds this request in its line.
            waiting.store(lines.total + 1, ordering: .sequentiallyConsistent)
            if !lines.hasWaiters(upTo: priority), take() { return (.go, refused) }
            if lines.total >= spec.capacity {
                guard let evicted = lines.evict(for: priority) else {
                    lines.shed[Int(priority.rawValue)] += 1
                    return (shed, refused)
                }
                refused.append(evicted)
            }
            lines.append(Waiter(deadline: now &+ spec.patience, resume: resume), priority)
            return (.wait, refused)
        }
        for waiter in refused { waiter.resume(shed) }
        return admission
    }

    /// Gives a place back, to the next in the queue if there is one.
    @inline(__always)
    func leave(now: UInt64) {
        taken.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        if waiting.load(ordering: .sequentiallyConsistent) != 0 { serve(now) }
    }

    /// Sends away those who waited too long, also when nobody leaves. To be called every 100 ms or so; costs nothing while nobody waits.
    func tick(now: UInt64) {
        if waiting.load(ordering: .sequentiallyConsistent) != 0 { serve(now) }
    }

    var waitingNow: GroupSnapshot.Waiting { lines.withLock { Self.byPriority($0.lines.map(\.count)) } }
    /// Since the beginning.
    var shedSoFar: GroupSnapshot.Waiting { lines.withLock { Self.byPriority($0.shed) } }

    private static func byPriority(_ counts: [Int]) -> GroupSnapshot.Waiting {
        GroupSnapshot.Waiting(critical: counts[0], normal: counts[1], bulk: counts[2])
    }

    private func take() -> Bool {
        var count = taken.load(ordering: .sequentiallyConsistent)
        while count < limit.current {
            let (exchanged, original) = taken.weakCompareExchange(
                expected: count, desired: count + 1, ordering: .sequentiallyConsistent)
            if exchanged { return true }
            count = original
        }
        return false
    }

    private func serve(_ now: UInt64) {
        let (refused, served) = lines.withLock { lines -> ([Waiter], [Waiter]) in
            let refused = lines.expired(now)
            var served: [Waiter] = []
            while lines.total > 0, take() {
                guard let waiter = lines.next() else { break }
                served.append(waiter)
            }
            waiting.store(lines.total, ordering: .sequentiallyConsistent)
            return (refused, served)
        }
        for waiter in refused { waiter.resume(.shed(retryAfter: spec.retryAfter)) }
        for waiter in served { waiter.resume(.go) }
    }
}
