/// One moment of an upstream group, for the admin listener and the metrics. Times are nanoseconds.
struct GroupSnapshot: Sendable, Equatable, Encodable {
    struct OfReplica: Sendable, Equatable, Encodable {
        enum State: String, Sendable, Equatable, Encodable { case healthy, ejected, unhealthy }

        let id: Int
        let authority: String
        let weight: Int
        let isCanary: Bool
        let state: State
        let inFlight: Int
        let requests: UInt64
        let failures: UInt64
        /// Failures since the last good answer.
        let failuresInARow: Int
        /// How often it was ejected since it is known.
        let ejections: UInt64
        /// Until it is tried again; 0 when it is not ejected.
        let ejectedFor: UInt64
        /// To the head of an answer, the latest counting most.
        let latency: UInt64
    }

    enum Breaker: String, Sendable, Equatable, Encodable { case closed, open, halfOpen }

    struct Waiting: Sendable, Equatable, Encodable {
        var critical = 0
        var normal = 0
        var bulk = 0
        var total: Int { critical + normal + bulk }
    }

    let name: String
    let replicas: [OfReplica]
    /// More than half are out, so all are tried.
    let isPanicking: Bool
    let breaker: Breaker
    /// How often it opened.
    let breakerOpenings: UInt64
    /// Requests with a place within the limit.
    let inFlight: Int
    let limit: Int
    let waiting: Waiting
    /// Requests that were refused for want of a place, or waited too long for one, by priority.
    let shed: Waiting
    let retries: UInt64
    /// Second attempts that the budget forbade.
    let retriesRefused: UInt64
    /// The median to the head of an answer, followed slowly.
    let medianLatency: UInt64
}
