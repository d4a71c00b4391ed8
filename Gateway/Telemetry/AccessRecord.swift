/// What there is to tell of one request when it is over. The bytes are those of the request, and good for no longer than the call.
struct AccessRecord: ~Copyable {
    static var none: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: nil, count: 0) }

    var route: Route?
    /// What it is called where there is no route.
    var action: StaticString?
    var method = AccessRecord.none
    var status = 0
    /// When it was over, and how long it took, in nanoseconds of the clock that nobody sets.
    var endedAt: UInt64 = 0
    var duration: UInt64 = 0
    /// From the request's being sent to the head of the answer; nil when no service answered.
    var upstreamDuration: UInt64?
    var replica: Replica?
    /// How many replicas it was sent to.
    var tries = 0
    /// Bytes of the bodies.
    var received = 0
    var sent = 0
    var identity: Identity?
    var address: String?
    var agent = AccessRecord.none
    var requestID = AccessRecord.none
    var trace: TraceLine?
    var problem: String?
    /// `CacheStatus.word`.
    var cache: StaticString?
    /// `HTTP/1.1` or `HTTP/2`.
    var version: StaticString?

    static let unrouted: StaticString = "unrouted"
}

extension Exchange {
    /// Told once, when the request is over and before anything of it is let go.
    func tell(_ telemetry: LoopTelemetry) {
        withRecord { telemetry.finished($0) }
    }

    func withRecord(_ body: (borrowing AccessRecord) -> Void) {
        guard let request else { return body(record(AccessRecord.none, AccessRecord.none)) }
        request.with(request.method) { method in
            let isTold: Void? = request.withValue(.userAgent) { agent in body(record(method, agent)) }
            if isTold == nil { body(record(method, AccessRecord.none)) }
        }
    }

    private func record(_ method: UnsafeRawBufferPointer, _ agent: UnsafeRawBufferPointer) -> AccessRecord {
        var record = AccessRecord()
        record.method = method
        record.route = route
        record.action = action
        record.status = status
        record.endedAt = Monotonic.now()
        record.duration = record.endedAt &- min(record.endedAt, startedAt)
        if answeredAt > 0, sentAt > 0 { record.upstreamDuration = answeredAt &- min(answeredAt, sentAt) }
        record.replica = replica
        record.tries = tries
        record.received = received
        record.sent = sent
        record.identity = identity
        record.address = visitor?.text
        record.agent = agent
        record.requestID = requestID.raw
        record.trace = trace
        record.problem = problem
        record.cache = cacheStatus?.word
        record.version = version
        return record
    }
}
