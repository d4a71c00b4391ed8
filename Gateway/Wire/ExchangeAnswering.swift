import Contracts
import Foundation
import HTTPTypes
import NIOCore
import ServiceKit

/// Back to the client: the service's answer, or one of the gateway's own.
extension Exchange {
    // MARK: From the service

    func answerInterim(_ head: ResponseHead) {
        // 100 was said to the client when its body was wanted; HTTP/1.0 knows none of the others.
        guard head.status != 100, phase == .forwarding, !isHTTP10, let client else { return }
        client.out.clear()
        client.out.writeStatusLine(head.status)
        head.writeFields(to: &client.out)
        client.sendInterim(head.status)
    }

    func answerHead(_ head: ResponseHead, _ framing: BodyFraming, from connection: UpstreamConnection) {
        guard phase == .forwarding, upstream === connection, let client, let route else { return }
        if fill != nil, answerFromFill(head, framing) { return }
        phase = .answering
        status = head.status
        answeredAt = Monotonic.now()
        noteCaching(head, route)
        deadline = answeredAt &+ route.times.idle
        limitTotal(route)
        if status == 200, !signIn.isEmpty, !door.settings.limits.countsSuccessfulSignIns { signIn.giveBack(in: door.limits) }
        leavePlace(at: answeredAt)
        if isBodyForCacheOnly { status = 304 }
        let hasBody = framing != .none && !isBodyForCacheOnly
        var length: Int? = if case .length(let length) = framing { length } else { nil }
        if !hasBody {
            let saysNone = status < 200 || status == 204 || status == 304 || (isHead && head.contentLength < 0)
            length = saysNone ? nil : isHead ? head.contentLength : 0
        }
        let acceptEncoding = route.compresses ? compression(head, hasBody) : .asIs
        if case .encode(let coding) = acceptEncoding {
            compressor = loop.compressors.take(coding)
            if compressor != nil { length = nil }
        }
        client.out.clear(minimumCapacity: head.bytes.readableBytes + 1_024)
        client.out.writeStatusLine(status)
        if let compressor {
            writeEncoded(head, compressor.coding, to: &client.out)
        } else {
            head.writeFields(to: &client.out)
            if acceptEncoding == .plain { client.out.writeStaticString(Compression.vary) }
        }
        cacheStatus?.write(to: &client.out)
        writeCommonLines(
            to: &client.out, hasOwnPolicy: head.has(.contentSecurityPolicy), hasOwnReferrerPolicy: head.has(.referrerPolicy))
        client.sendHead(status, length: length, hasBody: hasBody)
    }

    func answerData(_ bytes: ByteBuffer) {
        guard let client, phase == .answering || phase == .tunnel else { return }
        expectBytes()
        fill?.body(bytes)
        if isBodyForCacheOnly { return }
        if let compressor {
            compress { out throws(Compressor.Failure) in try compressor.update(bytes, into: &out) }
        } else {
            sent += bytes.readableBytes
            client.sendBody(bytes)
        }
        if !client.isWritable { upstream?.pause() }
    }

    /// All that came at once was told; more is to come.
    func answerFlush() {
        guard let client, phase == .answering || phase == .tunnel else { return }
        if let compressor { compress { out throws(Compressor.Failure) in try compressor.update(ByteBuffer(), flushing: true, into: &out) } }
        client.flush()
        if phase == .answering || phase == .tunnel { loop.watch(self) }
    }

    func answerEnd(_ trailers: ByteBuffer?, from connection: UpstreamConnection) {
        guard phase == .answering, upstream === connection, let client else { return }
        upstream = nil
        finishReplica(.answered(status: status))
        if let compressor {
            compress { out throws(Compressor.Failure) in try compressor.finish(into: &out) }
            guard phase == .answering else { return }
        }
        if let fill { fill.end(now: Monotonic.now()) }
        fill = nil
        wantsBody = false
        self.client = nil
        client.sendEnd(trailers: trailers)
        end()
    }

    /// What comes out of the compressor goes to the client. A library that fails leaves nothing that a client could read.
    private func compress(_ step: (inout ByteBuffer) throws(Compressor.Failure) -> Void) {
        var packed = ByteBuffer()
        do throws(Compressor.Failure) { try step(&packed) } catch {
            problem = "compression-failed"
            return breakOff()
        }
        sent += packed.readableBytes
        if packed.readableBytes > 0 { client?.sendBody(packed) }
    }

    /// 101: from now on bytes go both ways.
    func answerSwitched(_ head: ResponseHead, _ connection: UpstreamConnection) {
        guard phase == .forwarding, isUpgrade, let client else { return upstreamMalformed(.malformedLine) }
        status = 101
        answeredAt = Monotonic.now()
        client.out.clear()
        client.out.writeStatusLine(101)
        head.writeFields(to: &client.out)
        client.out.writeStaticString("Upgrade: websocket\r\n")
        writeCommonLines(to: &client.out, hasOwnPolicy: true, hasOwnReferrerPolicy: true)
        client.sendHead(101, length: nil, hasBody: false)
        guard client.switchProtocols() else { return breakOff() }
        connection.enterTunnel()
        phase = .tunnel
        // A tunnel may last for hours: it takes nobody's place, and says nothing of how fast the service is.
        leavePlace()
        finishReplica(.answered(status: 101))
        expectBytes()
        loop.watch(self)
        guard phase == .tunnel else { return }
        wantsBody = true
        client.readMore()
    }

    private func compression(_ head: ResponseHead, _ hasBody: Bool) -> Compression.Decision {
        guard let request, let route, !Compression.mayHoldSecrets(route) else { return .asIs }
        let content = Compression.Content(head)
        guard let place = request.place(.acceptEncoding) else { return Compression.decide(content, acceptEncoding: nil, hasBody: hasBody) }
        return request.with(place) { Compression.decide(content, acceptEncoding: $0, hasBody: hasBody) }
    }

    private func writeEncoded(_ head: ResponseHead, _ coding: ContentCoding, to out: inout ByteBuffer) {
        var lines = ByteBufferAllocator().buffer(capacity: head.bytes.readableBytes)
        head.writeFields(to: &lines)
        Compression.writeEncoded(lines, coding, to: &out)
    }

    // MARK: The gateway's own

    /// Says no, in the words of RFC 9457. What was begun already is broken off instead.
    func refuse(_ failure: any Failure) {
        guard phase != .answering, phase != .tunnel, phase != .over, phase != .idle else { return breakOff() }
        releaseUpstream(.cancelled)
        // The service does not answer: an old answer may still do (`stale-if-error`).
        if failure.isOfService, let hit = fill?.failed(now: Monotonic.now()) {
            fill = nil
            return answerStored(hit)
        }
        fill?.abandon()
        fill = nil
        problem = failure.code
        let body = Refusal.body(failure, instance: request.map { head in head.text(head.path) }, requestID: requestID)
        answer(Refusal.status(failure), body) { out in Refusal.writeFields(failure, to: &out) }
    }

    /// A whole answer of the gateway's own; a HEAD gets its head.
    func answer(_ status: Int, _ body: ByteBuffer, isPage: Bool = false, _ fields: (inout ByteBuffer) -> Void) {
        guard let client else { return }
        phase = .answering
        self.status = status
        wantsBody = false
        client.out.clear()
        client.out.writeStatusLine(status)
        fields(&client.out)
        writeCommonLines(to: &client.out, hasOwnPolicy: isPage, hasOwnReferrerPolicy: isPage, isPage: isPage)
        let isEmpty = isHead || status == 204 || status == 304
        client.sendHead(status, length: status == 204 || status == 304 ? nil : body.readableBytes, hasBody: !isEmpty)
        if !isEmpty {
            client.sendBody(body)
            sent += body.readableBytes
        }
        self.client = nil
        leavePlace()
        client.sendEnd(trailers: nil)
        end()
    }

    func answerEmpty(_ status: Int) { answer(status, ByteBuffer()) { _ in } }

    func answerOptions(allow: String) {
        action = "options"
        answer(204, ByteBuffer()) { $0.writeString("Allow: \(allow)\r\n") }
    }

    func answerPreflight(_ head: RequestHead) {
        action = "preflight"
        isPreflight = true
        let grant = head.withValue(.origin, policy.crossOrigin.preflight) ?? nil
        answer(204, ByteBuffer()) { out in if let grant { out.writeImmutableBuffer(grant.preflight) } }
    }

    func answerPage(_ page: OwnPage, _ head: RequestHead) {
        action = "page"
        guard head.isMethod("GET") || isHead else { return refuse(GatewayFailure.methodNotAllowed(allow: "GET, HEAD, OPTIONS")) }
        let isKnown = head.withValue(.ifNoneMatch) { page.isKnown($0) } ?? false
        let form = head.withValue(.acceptEncoding) { page.form($0) } ?? page.form(nil)
        answer(isKnown ? 304 : page.status, isKnown ? ByteBuffer() : form.body, isPage: true) { out in
            out.writeString(
                "Content-Type: \(page.contentType)\r\nETag: \(form.etag)\r\nCache-Control: \(page.cacheControl)\r\nContent-Security-Policy: \(page.contentSecurityPolicy)\r\n"
            )
            if let coding = form.coding, !isKnown {
                Compression.write(coding, to: &out)
            } else if page.varies {
                out.writeStaticString(Compression.vary)
            }
        }
    }

    // MARK: What every answer says

    func writeCommonLines(to out: inout ByteBuffer, hasOwnPolicy: Bool, hasOwnReferrerPolicy: Bool, isPage: Bool = false) {
        out.writeStaticString("X-Request-Id: ")
        out.writeBytes(requestID.raw)
        out.writeStaticString("\r\n")
        out.writeBytes(loop.dateLine)
        let isEncrypted = visitor?.isEncrypted == true
        if isPage {
            SecurityHeaders.writePage(to: &out, isEncrypted: isEncrypted)
        } else {
            SecurityHeaders.write(
                to: &out, hasContentSecurity: hasOwnPolicy, hasReferrer: hasOwnReferrerPolicy, isEncrypted: isEncrypted)
        }
        writeCrossOrigin(to: &out)
        writeLimits(to: &out)
    }
}

extension Failure {
    /// Whether it is the service that fails, and not the client.
    fileprivate var isOfService: Bool {
        switch self as? GatewayFailure {
        case .away, .slow, .overloaded: true
        default: false
        }
    }
}

extension Exchange {
    /// What a page of another origin may see of the answer.
    private func writeCrossOrigin(to out: inout ByteBuffer) {
        let rules = policy.crossOrigin
        guard !rules.isEmpty, !isPreflight else { return }
        let grant = request.flatMap { head in
            head.withValue(.origin) { origin in
                rules.grant(
                    origin, tenant: identity?.tenantText, slug: namedSlug(head, of: identity),
                    byCookie: head.has(.cookie) && mayAnswerByCookie)
            }
        }
        if let grant = grant ?? nil { out.writeImmutableBuffer(grant.answer) } else { out.writeStaticString(CrossOrigin.vary) }
    }

    /// Whether a cookie may say to the service for whom it answers. Where anybody may call, a token beside the cookie is no proof that
    /// the answer is for whoever has the token; nor is it at what auth has and its document does not tell of.
    private var mayAnswerByCookie: Bool {
        guard identity != nil, let route else { return true }
        return route.isPublic || (route.service == .auth && !route.isKnown)
    }

    private func writeLimits(to out: inout ByteBuffer) {
        guard !limits.isEmpty else { return }
        out.writeStaticString("RateLimit-Policy: ")
        limits.writePolicies(into: &out)
        if !signIn.isEmpty {
            out.writeStaticString(", ")
            signIn.writePolicies(into: &out)
        }
        out.writeStaticString("\r\nRateLimit: ")
        limits.writeStates(into: &out)
        if !signIn.isEmpty {
            out.writeStaticString(", ")
            signIn.writeStates(into: &out)
        }
        out.writeStaticString("\r\n")
    }
}

/// A refusal as RFC 9457 has it, as bytes.
enum Refusal {
    static func status(_ failure: any Failure) -> Int { (failure as? GatewayFailure)?.ownStatus ?? failure.kind.status.code }

    static func body(_ failure: any Failure, instance: String?, requestID: RequestID) -> ByteBuffer {
        let problem = Problem(
            code: failure.code, status: .init(code: status(failure)), detail: failure.detail, instance: instance,
            requestID: requestID.text, fields: failure.fields)
        return ByteBuffer(bytes: (try? JSON.encode(problem)) ?? Data())
    }

    static func writeFields(_ failure: any Failure, to out: inout ByteBuffer) {
        out.writeStaticString("Content-Type: application/problem+json\r\nCache-Control: no-store\r\n")
        switch failure.kind {
        case .unauthenticated:
            let isMissing = failure as? AccessFailure == .notSignedIn
            out.writeString("WWW-Authenticate: Bearer realm=\"trionex\"\(isMissing ? "" : ", error=\"invalid_token\"")\r\n")
        case .limited(let seconds), .unavailable(let seconds): out.writeString("Retry-After: \(seconds)\r\n")
        default: break
        }
        if case .methodNotAllowed(let allow) = failure as? GatewayFailure { out.writeString("Allow: \(allow)\r\n") }
    }
}

extension ByteBuffer {
    /// `HTTP/1.1 200 OK` with its CRLF.
    mutating func writeStatusLine(_ status: Int) {
        writeStaticString("HTTP/1.1 ")
        writeDecimal(status)
        switch status {
        case 101: writeStaticString(" Switching Protocols\r\n")
        case 103: writeStaticString(" Early Hints\r\n")
        case 200: writeStaticString(" OK\r\n")
        case 201: writeStaticString(" Created\r\n")
        case 202: writeStaticString(" Accepted\r\n")
        case 204: writeStaticString(" No Content\r\n")
        case 206: writeStaticString(" Partial Content\r\n")
        case 301: writeStaticString(" Moved Permanently\r\n")
        case 302: writeStaticString(" Found\r\n")
        case 303: writeStaticString(" See Other\r\n")
        case 304: writeStaticString(" Not Modified\r\n")
        case 307: writeStaticString(" Temporary Redirect\r\n")
        case 308: writeStaticString(" Permanent Redirect\r\n")
        case 400: writeStaticString(" Bad Request\r\n")
        case 401: writeStaticString(" Unauthorized\r\n")
        case 403: writeStaticString(" Forbidden\r\n")
        case 404: writeStaticString(" Not Found\r\n")
        case 405: writeStaticString(" Method Not Allowed\r\n")
        case 408: writeStaticString(" Request Timeout\r\n")
        case 409: writeStaticString(" Conflict\r\n")
        case 410: writeStaticString(" Gone\r\n")
        case 412: writeStaticString(" Precondition Failed\r\n")
        case 413: writeStaticString(" Content Too Large\r\n")
        case 414: writeStaticString(" URI Too Long\r\n")
        case 415: writeStaticString(" Unsupported Media Type\r\n")
        case 416: writeStaticString(" Range Not Satisfiable\r\n")
        case 417: writeStaticString(" Expectation Failed\r\n")
        case 422: writeStaticString(" Unprocessable Content\r\n")
        case 429: writeStaticString(" Too Many Requests\r\n")
        case 431: writeStaticString(" Request Header Fields Too Large\r\n")
        case 500: writeStaticString(" Internal Server Error\r\n")
        case 501: writeStaticString(" Not Implemented\r\n")
        case 502: writeStaticString(" Bad Gateway\r\n")
        case 503: writeStaticString(" Service Unavailable\r\n")
        case 504: writeStaticString(" Gateway Timeout\r\n")
        case 505: writeStaticString(" HTTP Version Not Supported\r\n")
        case 507: writeStaticString(" Insufficient Storage\r\n")
        default: writeStaticString(" \r\n")
        }
    }
}
