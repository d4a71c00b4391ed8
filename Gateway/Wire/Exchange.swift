import Contracts
import NIOCore
import ServiceKit

extension Exchange {
    func refuse(_ refusal: HeadRefusal) { refuse(unread: GatewayFailure(refusal)) }
}

/// One request on its way through the gateway and its answer back, on one event loop from the first byte to the last.
///
/// What can be decided is decided at once; only what must be asked of another program (a lease of a limit, what an API key is good
/// for, which organization a slug names) lets go of the event loop. The objects are used again for other requests, so everything
/// that comes back later carries the ticket of the request it was for.
final class Exchange: Timed, ClientExchange {
    enum Phase {
        case idle
        /// Who is it, may they, and where to.
        case deciding
        /// The body is read whole before anything is decided on it.
        case collecting
        /// Waits for a place, or a connection.
        case waiting
        /// The request is being sent, or its answer waited for.
        case forwarding
        /// The head of the answer has been sent.
        case answering
        case tunnel
        case over
    }

    /// Unchecked, since an exchange is its loop's own: none is used after the loop is gone, and this is read dozens of times a request.
    unowned(unsafe) let loop: Loop
    var client: (any ClientSide)?
    var phase = Phase.idle
    private(set) var ticket: UInt64 = 0
    /// Who has been asked by the gateway itself and has not answered yet.
    private var asked: ServiceName?

    // The request.
    var request: RequestHead?
    var framing = BodyFraming.none
    var route: Route?
    var visitor: Visitor?
    var identity: Identity?
    let requestID = RequestID()
    let trace = TraceLine()
    var received = 0
    var hasBodyEnded = false
    /// What was read of the body before it could be sent.
    var collected: ByteBuffer?
    /// What was sent of the body of a request that may be sent again: all of it, or nil.
    var kept: ByteBuffer?
    /// Whether the side may tell of the body as it comes.
    var wantsBody = false
    /// An access token in place of the credential that the client sent.
    var replacement: [UInt8]?
    var limits = LimitGroup()
    /// The account's limit, where somebody signs in.
    var signIn = LimitGroup()

    // The way to the service.
    var group: UpstreamGroup?
    var replica: Replica?
    var upstream: UpstreamConnection?
    var holdsPlace = false
    /// Whether the group was told of a beginning, and not yet of its end.
    var isReplicaOpen = false
    var tries = 0
    var isUpgrade = false
    var sentAt: UInt64 = 0

    // The answer.
    var status = 0
    var isHead = false
    var isHTTP10 = false
    var sent = 0
    var problem: String?
    var compressor: Compressor?
    /// What this request fetches for the cache.
    var fill: CacheFill?
    var cacheStatus: CacheStatus?
    /// The client has it already: the body goes to the cache alone.
    var isBodyForCacheOnly = false
    var answeredAt: UInt64 = 0
    /// Of the protocol that the request came by.
    var version: StaticString?
    /// What the log and the metrics call it where there is no route.
    var action: StaticString?
    var isPreflight = false
    /// Whether it ends when its session does: it has gone on for long enough to be looked at (`Loop.watch`).
    var isWatched = false

    var startedAt: UInt64 = 0
    var deadline = UInt64.max
    var timedIndex = -1

    /// It is looked at by the clock for as long as there is the loop; while it is not used it has no deadline.
    init(_ loop: Loop) {
        self.loop = loop
        loop.deadlines.add(self)
    }

    var door: Door { loop.door }
    var policy: Policy { loop.policy }

    // MARK: Life

    func open(_ client: any ClientSide) {
        ticket &+= 1
        self.client = client
        version = client.connection.version
        phase = .deciding
        startedAt = Monotonic.now()
        deadline = .max
        loop.telemetry.began()
    }

    /// The answer is whole, or never will be: everything is let go.
    func end() {
        guard phase != .over, phase != .idle else { return }
        phase = .over
        ticket &+= 1
        loop.unwatch(self)
        releaseUpstream(.cancelled)
        // It may still have waited for a connection.
        if isReplicaOpen { finishReplica(.cancelled) }
        leavePlace()
        fill?.abandon()
        tell(loop.telemetry)
        clear()
        loop.giveBack(self)
    }

    private func clear() {
        if let request { loop.giveBack(request) }
        request = nil
        client = nil
        route = nil
        visitor = nil
        identity = nil
        framing = .none
        received = 0
        hasBodyEnded = false
        collected = nil
        kept = nil
        wantsBody = false
        replacement = nil
        limits.removeAll()
        signIn.removeAll()
        group = nil
        replica = nil
        upstream = nil
        tries = 0
        isUpgrade = false
        sentAt = 0
        status = 0
        isHead = false
        isHTTP10 = false
        sent = 0
        problem = nil
        fill = nil
        cacheStatus = nil
        isBodyForCacheOnly = false
        if let compressor { loop.compressors.giveBack(compressor) }
        compressor = nil
        answeredAt = 0
        isReplicaOpen = false
        action = nil
        isPreflight = false
        asked = nil
        deadline = .max
        phase = .idle
    }

    /// Asks another program, off the event loop, and goes on with its answer, unless the request is over by then.
    func ask<Answer: Sendable>(
        _ whom: ServiceName, _ question: @escaping @Sendable () async -> Answer, then: @escaping (Exchange, Answer) -> Void
    ) {
        asked = whom
        let ticket = ticket
        let bound = NIOLoopBound((self, then), eventLoop: loop.eventLoop)
        let eventLoop = loop.eventLoop
        Task {
            let answer = await question()
            eventLoop.execute {
                let (exchange, then) = bound.value
                guard exchange.ticket == ticket else { return }
                exchange.asked = nil
                then(exchange, answer)
            }
        }
    }

    // MARK: From the client

    func clientGone() {
        guard phase != .over, phase != .idle else { return }
        if status == 0 { status = 499 }
        problem = problem ?? "client-gone"
        end()
    }

    func clientWritable() { upstream?.resume() }

    /// The client's half of a tunnel has ended.
    func tunnelEnded() {
        let client = client
        self.client = nil
        client?.endTunnel()
        end()
    }

    /// Somebody's session ended: if it is this one's, so does the answer.
    func checkSession() {
        guard let identity, door.revocations.contains(identity.caller) else { return }
        switch phase {
        case .answering, .tunnel:
            problem = "session-ended"
            breakOff()
        case .forwarding: refuse(AccessFailure.revokedSession)
        default: break
        }
    }

    /// What was begun cannot be finished: the client sees a broken answer, and not a short one.
    func breakOff() {
        let client = client
        client?.abort()
        end()
    }

    // MARK: Time

    func deadlinePassed(_ now: UInt64) {
        deadline = .max
        switch phase {
        case .idle, .over: break
        // The head is there: it is not the client that is waited for.
        case .deciding: refuse(GatewayFailure.slow(asked ?? route?.service ?? .gateway))
        case .collecting: refuse(GatewayFailure.requestTimeout)
        case .forwarding where dawdles:
            leavePlace()
            expectBytes()
            loop.watch(self)
        case .forwarding where !hasBodyEnded && wantsBody: refuse(GatewayFailure.requestTimeout)
        case .waiting, .forwarding:
            releaseUpstream(.timedOut)
            refuse(GatewayFailure.slow(route?.service ?? .gateway))
        case .answering, .tunnel:
            // A client that does not read is not the service's fault.
            releaseUpstream(upstream?.isPaused == true || !wantsBody && !hasBodyEnded ? .cancelled : .timedOut)
            problem = "idle"
            breakOff()
        }
    }

    func bodyTimedOut() {
        if phase == .answering || phase == .tunnel { breakOff() } else { refuse(GatewayFailure.requestTimeout) }
    }

    func bodyMalformed() {
        releaseUpstream(.cancelled)
        if phase == .answering { breakOff() } else { refuse(GatewayFailure.malformedBody) }
    }

    /// Moves the time by which the next byte must have come.
    func expectBytes() {
        guard let route else { return }
        deadline = Monotonic.coarse() &+ (dawdles ? min(route.times.idle, Self.uploadPatience) : route.times.idle)
        limitTotal(route)
    }

    /// Whether the client's body is waited for, with a place held meanwhile.
    private var dawdles: Bool { phase == .forwarding && holdsPlace && !hasBodyEnded }

    func limitTotal(_ route: Route) {
        if let total = route.times.total { deadline = min(deadline, startedAt &+ total) }
    }
}
