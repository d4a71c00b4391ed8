/// The numbers that one HTTP/2 connection must stay within. Times are counted in ticks of one second, so that no clock can move them.
struct HTTP2Limits: Sendable, Equatable {
    /// Requests at once (SETTINGS_MAX_CONCURRENT_STREAMS).
    var concurrentStreams: UInt32 = 128
    /// Requests in the life of a connection; then it is told to come again, so that load spreads over replicas.
    var requests = 1_000_000
    /// Bytes of one request's body that a client may send ahead of being read.
    var streamWindow: UInt32 = 256 << 10
    /// The same of all requests of a connection together.
    var connectionWindow: Int32 = 1 << 20
    /// Bytes of an answer that wait in one stream before its service is told to stop.
    var streamBuffer = 64 << 10
    /// The same of all streams of a connection; beyond it each still gets `crowdedBuffer`.
    var connectionBuffer = 1 << 20
    var crowdedBuffer = 16 << 10
    /// Streams that fail, by the client's RST_STREAM (CVE-2023-44487) or by frames that make us reset them (CVE-2025-8671):
    /// this many at once, and this many a second for long.
    var resetBurst = 200
    var resetsPerSecond = 50
    /// CONTINUATION frames of one head (CVE-2024-27316).
    var continuations = 8
    /// Entries of one SETTINGS frame.
    var settingsEntries = 32
    /// Answers to PING and SETTINGS that wait because the client does not read.
    var waitingAcknowledgements = 500
    /// Ticks without a stream before the connection is closed.
    var idleTicks = 75
    /// Ticks in which a head must be whole once it has begun.
    var headTicks = 10
    /// Ticks in which a waiting answer must move by `stallBytes`, or a body by one byte.
    var stallTicks = 30
    var stallBytes = 1_024
    /// Ticks in which a client may close a connection by itself that is over.
    var lingeringTicks = 2
    /// Ticks between the first GOAWAY of a drain, which lets requests on their way in, and the last.
    var graceTicks = 1
}

/// How many streams of a connection failed of late: a bucket that is filled by the ticks of one second.
struct ResetBudget {
    private(set) var left: Int
    private let limits: HTTP2Limits

    init(_ limits: HTTP2Limits) {
        self.limits = limits
        left = limits.resetBurst
    }

    /// Whether one more failed stream is borne.
    mutating func take() -> Bool {
        guard left > 0 else { return false }
        left -= 1
        return true
    }

    mutating func tick() { left = min(limits.resetBurst, left + limits.resetsPerSecond) }
}
