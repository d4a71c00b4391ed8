import Contracts
import NIOCore
import ServiceKit

/// To the service: a place, a replica, a connection, the request.
extension Exchange {
    // MARK: A place

    func enter(_ route: Route) {
        guard let group = policy.group(route) else { return refuse(GatewayFailure.away(route.service)) }
        self.group = group
        phase = .waiting
        deadline = Monotonic.coarse() &+ route.times.firstByte
        if group.tryEnter() {
            holdsPlace = true
            return connect(route)
        }
        let asked = ticket
        let bound = NIOLoopBound((self, route), eventLoop: loop.eventLoop)
        let eventLoop = loop.eventLoop
        let admission = group.enter(route.priority, now: Monotonic.now()) { admission in
            eventLoop.execute {
                let (exchange, route) = bound.value
                if exchange.ticket == asked {
                    exchange.admitted(admission, route)
                } else if case .go = admission {
                    // The client has gone meanwhile.
                    group.leave(now: Monotonic.now(), latency: nil, ok: true)
                }
            }
        }
        admitted(admission, route)
    }

    private func admitted(_ admission: Admission, _ route: Route) {
        switch admission {
        case .go:
            holdsPlace = true
            connect(route)
        case .wait: break
        case .shed(let seconds): refuse(GatewayFailure.overloaded(retryAfter: seconds))
        }
    }

    /// Gives the place back: at the head of the answer, or when there will be none.
    func leavePlace(at now: UInt64? = nil) {
        guard holdsPlace else { return }
        holdsPlace = false
        let isStream = received > 0 || isUpgrade
        group?.leave(
            now: now ?? Monotonic.now(), latency: answeredAt > 0 && !isStream ? answeredAt &- sentAt : nil, ok: status != 503)
    }

    // MARK: A connection

    func connect(_ route: Route) {
        let now = Monotonic.now()
        guard let group, let replica = group.pick(avoiding: replica, now: now) else { return refuse(away(route)) }
        self.replica = replica
        tries += 1
        group.began(replica)
        isReplicaOpen = true
        let pool = loop.upstreams.pool(for: replica)
        // Where one that was kept has just turned out to be closed, others may be too.
        if tries == 1, let connection = pool.take() { return send(over: connection, route, at: now) }
        guard !pool.isFull(group.spec) else { return refuseFull(group) }
        let asked = ticket
        pool.connect(within: route.times.connect) { [self] result in
            guard ticket == asked, phase == .waiting else {
                // Nobody needs it any more; another will.
                if case .success(let connection) = result { pool.putBack(connection) }
                return
            }
            switch result {
            case .success(let connection): send(over: connection, route, at: Monotonic.now())
            case .failure: failedToConnect(route)
            }
        }
    }

    /// Slow uploads and tunnels hold connections without a place: it is they that are too many, and neither replica nor limit is to blame.
    private func refuseFull(_ group: UpstreamGroup) {
        finishReplica(.cancelled)
        leavePlace()
        refuse(GatewayFailure.overloaded(retryAfter: group.spec.queue.retryAfter))
    }

    /// Nothing was sent, so any request may be tried elsewhere, or here again after a moment.
    private func failedToConnect(_ route: Route) {
        finishReplica(.connectFailed)
        let now = Monotonic.now()
        guard tries <= Self.maximumConnects, let group else { return refuse(away(route)) }
        // Another replica gets nothing but what it would have got anyway.
        if group.replicas.count > 1 { return connect(route) }
        guard group.mayRetry(now: now) else { return refuse(away(route)) }
        let asked = ticket
        loop.eventLoop.assumeIsolated().scheduleTask(in: Self.retryPause) { [self] in
            if ticket == asked, phase == .waiting { connect(route) }
        }
    }

    static var maximumConnects: Int { 2 }
    /// Bytes of a body that are kept for as long as the request may have to be sent again.
    static var maximumKept: Int { 65_536 }
    /// An upload that takes longer gives its place back: it is the client that is slow, and not the service.
    static var uploadPatience: UInt64 { Monotonic.second }
    static var retryPause: TimeAmount { .milliseconds(100) }

    func finishReplica(_ outcome: Outcome) {
        guard let replica, let group else { return }
        let now = Monotonic.now()
        isReplicaOpen = false
        group.finished(replica, outcome, latency: answeredAt > 0 ? answeredAt &- sentAt : now &- min(now, sentAt), now: now)
    }

    // MARK: The request

    private func send(over connection: UpstreamConnection, _ route: Route, at now: UInt64) {
        guard let head = request, let client else { return }
        upstream = connection
        phase = .forwarding
        sentAt = now
        connection.begin(self, isHead: isHead)
        client.out.clear(minimumCapacity: head.bytes.readableBytes + 1_024)
        writeHead(head, to: &client.out, for: connection.replica)
        // After each write the connection may turn out to be dead, and then this exchange has moved on.
        if let collected { client.out.writeImmutableBuffer(collected) } else if tries > 1 { writeKept(to: &client.out) }
        connection.writeAndFlush(client.out)
        guard upstream === connection, phase == .forwarding else { return }
        if hasBodyEnded {
            requestEnded(route)
        } else {
            expectBytes()
            wantsBody = true
            client.readMore()
        }
    }

    /// What came of the body before the request had to be sent again.
    private func writeKept(to out: inout ByteBuffer) {
        guard case .chunked = framing else {
            if let kept { out.writeImmutableBuffer(kept) }
            return
        }
        if let kept, kept.readableBytes > 0 {
            out.writeHexadecimal(kept.readableBytes)
            out.writeStaticString("\r\n")
            out.writeImmutableBuffer(kept)
            out.writeStaticString("\r\n")
        }
        if hasBodyEnded { out.writeStaticString("0\r\n\r\n") }
    }

    private func requestEnded(_ route: Route) {
        wantsBody = false
        if phase == .forwarding {
            deadline = Monotonic.coarse() &+ route.times.firstByte
            limitTotal(route)
        }
        upstream?.requestEnded()
    }

    /// The client's own lines, without what ends here, and the gateway's.
    private func writeHead(_ head: RequestHead, to out: inout ByteBuffer, for replica: Replica) {
        head.bytes.withUnsafeReadableBytes { bytes in
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[Int(head.method.start)..<Int(head.method.end)]))
            out.writeStaticString(" ")
            out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[Int(head.target.start)..<Int(head.target.end)]))
            out.writeStaticString(" HTTP/1.1\r\nHost: ")
            out.writeString(replica.authority)
            out.writeStaticString("\r\n")
            if replacement != nil {
                head.drop(.authorization)
                head.drop(.apiKey)
            } else if door.apiKeys != nil {
                head.drop(.apiKey)
            }
            if let fill {
                // The cache asks whether what it has is still right; what the client has is compared with the answer.
                head.drop(.ifNoneMatch)
                head.drop(.ifModifiedSince)
                head.writeFields(to: &out)
                out.writeBytes(fill.validators)
            } else {
                head.writeFields(to: &out)
            }
            if let replacement { out.writeBytes(replacement) }
            out.writeStaticString("X-Request-Id: ")
            out.writeBytes(requestID.raw)
            out.writeStaticString("\r\ntraceparent: ")
            out.writeBytes(trace.raw)
            out.writeStaticString("\r\n")
            if let visitor { out.writeBytes(visitor.forwardedLines) }
            if let host = head.host {
                out.writeStaticString("X-Forwarded-Host: ")
                out.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[Int(host.start)..<Int(host.end)]))
                out.writeStaticString("\r\n")
            }
        }
        writeFraming(head, to: &out)
        out.writeStaticString("\r\n")
    }

    private func writeFraming(_ head: RequestHead, to out: inout ByteBuffer) {
        if isUpgrade {
            out.writeStaticString("Connection: Upgrade\r\nUpgrade: websocket\r\n")
            return
        }
        if let collected {
            out.writeStaticString("Content-Length: ")
            out.writeDecimal(collected.readableBytes)
            out.writeStaticString("\r\n")
            return
        }
        switch framing {
        case .length(let length):
            out.writeStaticString("Content-Length: ")
            out.writeDecimal(length)
            out.writeStaticString("\r\n")
        case .chunked: out.writeStaticString("Transfer-Encoding: chunked\r\n")
        case .none:
            if head.contentLength == 0 { out.writeStaticString("Content-Length: 0\r\n") }
        case .untilClose: break
        }
    }

    // MARK: The body

    func body(_ bytes: ByteBuffer) {
        received += bytes.readableBytes
        switch phase {
        case .collecting: collect(bytes)
        case .tunnel:
            expectBytes()
            upstream?.write(bytes)
            yieldToUpstream()
        case .forwarding, .answering:
            guard let route else { return }
            if received > route.maximumBody { return bodyTooLarge(route) }
            keep(bytes, route)
            if holdsPlace, Monotonic.now() &- sentAt > Self.uploadPatience {
                leavePlace()
                loop.watch(self)
                guard phase == .forwarding || phase == .answering else { return }
            }
            expectBytes()
            if case .chunked = framing {
                upstream?.write(loop.chunkLine(bytes.readableBytes))
                upstream?.write(bytes)
                upstream?.write(loop.lineEnd)
            } else {
                upstream?.write(bytes)
            }
            yieldToUpstream()
        default: break
        }
    }

    private func keep(_ bytes: ByteBuffer, _ route: Route) {
        if received == bytes.readableBytes {
            kept = received <= Self.maximumKept && mayRepeat(route) ? bytes : nil
        } else if received <= Self.maximumKept {
            kept?.writeImmutableBuffer(bytes)
        } else {
            kept = nil
        }
    }

    /// The upstream does not keep up: the client has to wait.
    private func yieldToUpstream() {
        guard let upstream, !upstream.isWritable else { return }
        wantsBody = false
        upstream.flush()
        if self.upstream === upstream, upstream.isWritable { wantsBody = true }
    }

    func bodyFlush() { upstream?.flush() }

    func upstreamWritable() {
        guard !hasBodyEnded || phase == .tunnel, phase == .forwarding || phase == .answering || phase == .tunnel, !wantsBody else { return }
        wantsBody = true
        client?.readMore()
    }

    func bodyEnd(trailers: ByteBuffer?) {
        hasBodyEnded = true
        switch phase {
        case .collecting: collectedAll()
        case .forwarding, .answering:
            guard let route, let upstream else { return }
            if trailers != nil { kept = nil }
            if case .chunked = framing {
                var last = loop.chunkLine(0)
                if let trailers { last.writeImmutableBuffer(trailers) }
                last.writeStaticString("\r\n")
                upstream.write(last)
            }
            upstream.flush()
            if self.upstream === upstream { requestEnded(route) }
        default: break
        }
    }

    private func bodyTooLarge(_ route: Route) {
        releaseUpstream(.cancelled)
        if phase == .answering { breakOff() } else { refuse(GatewayFailure.bodyTooLarge(limit: route.maximumBody)) }
    }

    // MARK: What goes wrong

    /// The connection ended before the answer did.
    func upstreamBroke(_ connection: UpstreamConnection) {
        guard upstream === connection else { return }
        upstream = nil
        wantsBody = false
        switch phase {
        case .forwarding:
            let isStale = connection.uses > 1
            finishReplica(isStale ? .cancelled : .broken)
            guard let route else { return }
            if mayTryAgain(route, isStale: isStale) {
                phase = .waiting
                return connect(route)
            }
            refuse(away(route))
        case .answering:
            finishReplica(.broken)
            problem = problem ?? "upstream-broke"
            breakOff()
        // However a tunnel ends, it was the two sides' own affair.
        case .tunnel: tunnelEnded()
        default: break
        }
    }

    /// Where the group is left alone for a while, it is known for how long.
    private func away(_ route: Route) -> GatewayFailure {
        GatewayFailure.away(route.service, retryAfter: group?.retryAfter(now: Monotonic.now()) ?? GatewayFailure.usualWait)
    }

    /// A second try must do no harm: nothing of the body is gone, and the request may be done twice. A connection that had been kept
    /// and was closed by the service just then costs no retry.
    private func mayTryAgain(_ route: Route, isStale: Bool) -> Bool {
        guard received == 0 || collected != nil || kept?.readableBytes == received, tries < 3, !isUpgrade, mayRepeat(route) else {
            return false
        }
        return isStale || group?.mayRetry(now: Monotonic.now()) == true
    }

    /// Whether it does no harm to do the request twice.
    private func mayRepeat(_ route: Route) -> Bool {
        guard let head = request, !route.isSentOnce else { return false }
        return head.isSafe || (route.mayRetry && !head.has(.ifMatch)) || head.has(.idempotencyKey)
    }

    func upstreamMalformed(_ refusal: HeadRefusal) {
        releaseUpstream(.broken)
        problem = "upstream-malformed"
        if phase == .answering { breakOff() } else { refuse(route.map(away) ?? GatewayFailure.away(.gateway)) }
    }

    /// Lets go of a connection whose answer is not wanted any more.
    func releaseUpstream(_ outcome: Outcome) {
        guard let connection = upstream else { return }
        upstream = nil
        connection.abandon()
        if isReplicaOpen { finishReplica(outcome) }
    }
}
