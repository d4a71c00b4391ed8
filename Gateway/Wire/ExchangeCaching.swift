import Contracts
import NIOCore

/// Answers that are kept: looked for before a service is asked, renewed by what it says, given out.
extension Exchange {
    // MARK: Perhaps it is known already

    func decideAnswerFromCache(_ head: RequestHead, _ route: Route) {
        // Other protocols than WebSocket may be left alone (RFC 9110, section 7.8): the request is answered as it stands.
        if head.saysUpgrade, !head.isHTTP10, head.withValue(.upgrade, { $0.isWord("websocket") }) == true {
            // With a body, what comes behind the head would be a request to a service that does not switch.
            guard route.allowsUpgrade, head.isMethod("GET"), framing == .none else { return refuse(GatewayFailure.noUpgrade) }
            isUpgrade = true
        }
        // Only where a service has been seen to allow it: the others' requests pay nothing for a cache.
        guard let cache = door.cache, let rule = route.cache, route.mayBeCached, !isUpgrade else { return enter(route) }
        // Somebody who looks at what is public of another organization: neither's events would purge that.
        if route.isPublic, identity != nil, !namedSlugs(head).isEmpty { return enter(route) }
        let asked = ticket
        let bound = NIOLoopBound((self, route), eventLoop: loop.eventLoop)
        let lookup = cache.look(
            CacheQuestion(head), service: route.service, rule: rule, scope: cacheScope(head), on: loop.eventLoop, now: Monotonic.now()
        ) { lookup in
            let (exchange, route) = bound.value
            if exchange.ticket == asked { exchange.looked(lookup, route) }
        }
        if let lookup { looked(lookup, route) }
    }

    func cacheScope(_ head: RequestHead) -> CacheScope {
        if let identity { return identity.cacheScope }
        let named = namedSlugs(head)
        return named.isEmpty ? CacheScope.anonymous : CacheScope(slug: named.joined(separator: ","))
    }

    private func looked(_ lookup: CacheLookup, _ route: Route) {
        switch lookup {
        case .hit(let hit): answerStored(hit)
        case .stale(let hit, let fill):
            refreshInBackground(fill, route)
            answerStored(hit)
        case .lead(let fill):
            self.fill = fill
            enter(route)
        case .bypass(let reason):
            cacheStatus = .forwarded(reason, stored: false)
            enter(route)
        case .absent: refuse(GatewayFailure.onlyIfCached)
        }
    }

    /// Fetches a new answer for the cache while the client has the old one.
    private func refreshInBackground(_ fill: CacheFill, _ route: Route) {
        guard let client, let head = request else { return }
        let copy = loop.requestHead()
        var bytes = head.bytes
        guard (try? copy.parse(&bytes)) == true else { return loop.giveBack(copy) }
        // As of the request itself: whatever nobody is known by did not go on.
        if identity == nil { copy.dropCredentials() }
        let silent = SilentClient(client.connection, loop)
        let exchange = loop.exchange(for: silent)
        silent.exchange = exchange
        exchange.refresh(copy, route, fill, of: self)
    }

    private func refresh(_ head: RequestHead, _ route: Route, _ fill: CacheFill, of other: Exchange) {
        request = head
        hasBodyEnded = true
        self.route = route
        self.fill = fill
        identity = other.identity
        replacement = other.replacement
        visitor = other.visitor
        action = "refresh"
        requestID.make(loop.nextRandom(), loop.nextRandom(), milliseconds: WallClock.milliseconds())
        trace.begin(loop.nextRandom(), loop.nextRandom(), span: loop.nextRandom(), sampled: false)
        enter(route)
    }

    // MARK: From the service

    /// A service that lets its answers be shared is asked less often from then on.
    func noteCaching(_ head: ResponseHead, _ route: Route) {
        guard door.cache != nil, route.cache != nil else { return invalidate(route) }
        if !route.mayBeCached, head.withValue(.cacheControl, CacheControl.allowsSharing) == true {
            route.allowCaching()
            door.cache?.begin()
        }
        guard let fill else { return }
        let isKept = fill.head(head, now: answeredAt)
        cacheStatus = fill.status(stored: isKept)
        if isKept { isBodyForCacheOnly = fill.isAnswered(by: head) } else { self.fill = nil }
    }

    /// What was changed is not given out any more as it was (RFC 9111, section 4.4).
    private func invalidate(_ route: Route) {
        guard let cache = door.cache, cache.hasBegun, status < 400, let request, !request.isSafe else { return }
        cache.invalidate(CacheQuestion(request), service: route.service, scope: cacheScope(request))
    }

    /// Whether what the service says makes an answer that is kept do: it has not changed, or the service fails.
    func answerFromFill(_ head: ResponseHead, _ framing: BodyFraming) -> Bool {
        guard let fill, let route else { return false }
        let now = Monotonic.now()
        let hit: CacheHit?
        switch head.status {
        case 304:
            hit = fill.notModified(head, now: now)
            if hit == nil {
                // What would have been right is gone meanwhile: once more, without conditions.
                self.fill = nil
                letGoOfAnswered(304)
                phase = .waiting
                connect(route)
                return true
            }
        case 500, 502, 503, 504: hit = fill.failed(now: now)
        default: return false
        }
        self.fill = nil
        guard let hit else { return false }
        letGoOfAnswered(head.status)
        answerStored(hit)
        return true
    }

    /// The service has answered, and its answer is not for the client. Without a body its connection goes back by itself.
    private func letGoOfAnswered(_ status: Int) {
        answeredAt = Monotonic.now()
        let connection = upstream
        upstream = nil
        finishReplica(.answered(status: status))
        if status != 304 { connection?.abandon() }
    }

    /// An answer that is kept.
    func answerStored(_ hit: CacheHit) {
        guard let client, let request else { return }
        let stored = hit.answer
        phase = .answering
        status = hit.isUnchanged ? 304 : stored.status
        cacheStatus = hit.status
        var body = stored.body, coding: ContentCoding?
        let mayCompress = route.map { $0.compresses && !Compression.mayHoldSecrets($0) } ?? false
        if !hit.isUnchanged, mayCompress, !isHead {
            coding = request.withValue(.acceptEncoding, Compression.choose) ?? nil
            if let wanted = coding { if let packed = stored.body(in: wanted) { body = packed } else { coding = nil } }
        }
        client.out.clear()
        client.out.writeStatusLine(status)
        if hit.isUnchanged {
            client.out.writeImmutableBuffer(stored.unchangedLines)
        } else if let coding {
            Compression.writeEncoded(stored.lines, coding, to: &client.out)
        } else {
            client.out.writeImmutableBuffer(stored.lines)
            if stored.isCompressible, mayCompress { client.out.writeStaticString(Compression.vary) }
        }
        client.out.writeStaticString("Age: ")
        client.out.writeDecimal(hit.age)
        client.out.writeStaticString("\r\n")
        hit.status.write(to: &client.out)
        writeCommonLines(
            to: &client.out, hasOwnPolicy: stored.has(.contentSecurityPolicy), hasOwnReferrerPolicy: stored.has(.referrerPolicy))
        let hasBody = !isHead && !hit.isUnchanged
        client.sendHead(status, length: hit.isUnchanged ? nil : body.readableBytes, hasBody: hasBody)
        if hasBody {
            client.sendBody(body)
            sent += body.readableBytes
        }
        self.client = nil
        leavePlace()
        client.sendEnd(trailers: nil)
        end()
    }
}

extension CacheControl {
    /// Whether a shared cache may keep the answer, as far as this field says.
    fileprivate static func allowsSharing(_ value: UnsafeRawBufferPointer) -> Bool {
        let control = CacheControl(value)
        return control.flags.contains(.isPublic) || control.sharedMaxAge != nil
    }
}

extension StoredAnswer {
    fileprivate func has(_ kind: FieldKind) -> Bool {
        lines.withUnsafeReadableBytes { bytes in
            var rest = FieldLines(bytes)
            while let line = rest.next() {
                if let base = line.name.baseAddress, FieldNames.response(base.assumingMemoryBound(to: UInt8.self), line.name.count) == kind
                {
                    return true
                }
            }
            return false
        }
    }
}
