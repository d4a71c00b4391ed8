import Synchronization

/// What requests say of one replica, kept for `OutlierEjection`.
final class EjectionRecord: Sendable {
    /// Since the last good answer.
    fileprivate let failures = Atomic<Int>(0)
    fileprivate let connectFailures = Atomic<Int>(0)
    /// 0: not ejected.
    fileprivate let until = Atomic<UInt64>(0)
    /// Ejections that are not yet forgotten.
    fileprivate let level = Atomic<Int>(0)
    fileprivate let goodSince = Atomic<UInt64>(0)
    fileprivate let ejections = Atomic<UInt64>(0)

    var failuresInARow: Int { failures.load(ordering: .relaxed) }
    var ejectedUntil: UInt64 { until.load(ordering: .relaxed) }
    var isEjected: Bool { until.load(ordering: .relaxed) != 0 }
    var timesEjected: UInt64 { ejections.load(ordering: .relaxed) }
}

/// Which replica is left alone for a while because requests to it fail. How many may be at once is the group's to say.
struct OutlierEjection: Sendable {
    let spec: UpstreamSpec.Ejection

    /// Of `count` replicas, how many may be out at once. One of one never is.
    func most(of count: Int) -> Int { count < 2 ? 0 : min(count - 1, Int(Double(count) * spec.maximumShare)) }

    @inline(__always)
    func succeeded(_ record: EjectionRecord, now: UInt64) {
        if record.failures.load(ordering: .relaxed) != 0 {
            record.failures.store(0, ordering: .relaxed)
            record.connectFailures.store(0, ordering: .relaxed)
        }
        if record.level.load(ordering: .relaxed) != 0 { forget(record, now) }
    }

    /// True when it should be ejected.
    func failed(_ record: EjectionRecord, connecting: Bool) -> Bool {
        // What was under way when it was ejected says nothing new.
        guard !record.isEjected else { return false }
        let failures = record.failures.wrappingAdd(1, ordering: .relaxed).newValue
        guard connecting else {
            record.connectFailures.store(0, ordering: .relaxed)
            return failures >= spec.failures
        }
        let connects = record.connectFailures.wrappingAdd(1, ordering: .relaxed).newValue
        return failures >= spec.failures || connects >= spec.connectFailures
    }

    func eject(_ record: EjectionRecord, now: UInt64) {
        let level = record.level.wrappingAdd(1, ordering: .relaxed).newValue
        record.ejections.wrappingAdd(1, ordering: .relaxed)
        record.until.store(now &+ Growth.time(base: spec.base, cap: spec.cap, level: level), ordering: .relaxed)
    }

    /// Back on trial: the next failure ejects it again, for longer.
    func takeBack(_ record: EjectionRecord, now: UInt64) {
        record.until.store(0, ordering: .relaxed)
        record.failures.store(spec.failures - 1, ordering: .relaxed)
        record.connectFailures.store(spec.connectFailures - 1, ordering: .relaxed)
        record.goodSince.store(now, ordering: .relaxed)
    }

    private func forget(_ record: EjectionRecord, _ now: UInt64) {
        let since = record.goodSince.load(ordering: .relaxed)
        guard !record.isEjected, now > since, now - since >= spec.forgetAfter else { return }
        // Of two loops that see this at once, one forgets.
        guard record.goodSince.compareExchange(expected: since, desired: now, ordering: .relaxed).exchanged else { return }
        record.level.wrappingSubtract(1, ordering: .relaxed)
    }
}
