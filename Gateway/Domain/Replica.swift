import Synchronization

/// How a request to a replica ended.
enum Outcome: Sendable, Equatable {
    /// The head of an answer came, and what was to come after it came whole.
    case answered(status: Int)
    /// No connection: nothing was sent.
    case connectFailed
    /// The connection ended, or what came was no HTTP, before the answer was whole.
    case broken
    case timedOut
    /// The client went, or the gateway had its own reason: says nothing of the replica.
    case cancelled
}

/// One process of a service, and what is known of it. All loops share it; it outlives a reload of the file that still names it.
final class Replica: Sendable {
    private static let ids = Atomic<Int>(0)
    /// A sample's weight in the average of latencies is one in so many.
    private static let smoothing: Int64 = 16

    /// Of this process's replicas, never used twice.
    let id: Int
    /// The name of the group it was made for.
    let group: String
    let host: String
    let port: Int
    /// As in the `Host` field.
    let authority: String

    private let heldWeight: Atomic<Int>
    private let heldCanary: Atomic<Bool>
    private let running = Atomic<Int>(0)
    private let answers = Atomic<UInt64>(0)
    private let failed = Atomic<UInt64>(0)
    private let average = Atomic<Int64>(0)
    private let isWell = Atomic<Bool>(true)
    /// What the requests say of it, for `OutlierEjection` alone.
    let record = EjectionRecord()

    init(group: String, _ address: UpstreamSpec.Address) {
        id = Self.ids.wrappingAdd(1, ordering: .relaxed).oldValue
        self.group = group
        host = address.host
        port = address.port
        authority = address.authority
        heldWeight = Atomic(address.weight)
        heldCanary = Atomic(address.isCanary)
    }

    /// Its part of the requests, against the weights of the others.
    var weight: Int { heldWeight.load(ordering: .relaxed) }
    var isCanary: Bool { heldCanary.load(ordering: .relaxed) }
    /// Requests under way, of all loops.
    var inFlight: Int { running.load(ordering: .relaxed) }
    var requests: UInt64 { answers.load(ordering: .relaxed) }
    var failures: UInt64 { failed.load(ordering: .relaxed) }
    /// Nanoseconds to the head of an answer, the latest counting most; 0 before the first.
    var latency: UInt64 { UInt64(max(0, average.load(ordering: .relaxed))) }
    /// What the health checks say; true before the first.
    var isHealthy: Bool { isWell.load(ordering: .relaxed) }

    /// Takes what a new file says of the same address.
    func adopt(_ address: UpstreamSpec.Address) {
        heldWeight.store(address.weight, ordering: .relaxed)
        heldCanary.store(address.isCanary, ordering: .relaxed)
    }

    /// True when that is news.
    func setHealthy(_ healthy: Bool) -> Bool { isWell.exchange(healthy, ordering: .relaxed) != healthy }

    func began() { running.wrappingAdd(1, ordering: .relaxed) }

    func finished(failed hasFailed: Bool) {
        running.wrappingSubtract(1, ordering: .relaxed)
        answers.wrappingAdd(1, ordering: .relaxed)
        if hasFailed { failed.wrappingAdd(1, ordering: .relaxed) }
    }

    /// Two loops at once may lose one sample, which an average bears.
    func sample(latency: UInt64) {
        let sample = Int64(clamping: latency), former = average.load(ordering: .relaxed)
        average.store(former == 0 ? sample : former &+ (sample &- former) / Self.smoothing, ordering: .relaxed)
    }
}
