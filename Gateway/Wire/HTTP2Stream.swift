import CNghttp2
import NIOCore

/// One stream of HTTP/2: one request and its answer.
final class HTTP2Stream: ClientSide {
    let id: Int32
    let connection: ConnectionFacts
    var out: ByteBuffer
    /// Nil once the stream is closed; then nothing that is still said of it goes anywhere.
    private(set) var owner: HTTP2Connection?
    /// The place in the connection's list.
    var index = 0

    /// Nil until the head was read, and after the answer's end.
    private var exchange: (any ClientExchange)?
    private(set) var hasBegun = false
    /// Keeps the bytes of the head for the next stream.
    private var headBytes = ByteBuffer()
    /// Reset by us for no fault of the client.
    private(set) var isGivenUp = false

    // The request.
    private(set) var hasRequestEnded = false
    private var hasToldEnd = false
    private var trailers: ByteBuffer?
    /// Bytes of the body that the exchange did not want yet: never more than the window of a stream.
    private var held = ByteBuffer()
    /// Bytes of the body for which the client got no new window.
    private var unread = 0
    /// The client waits with its body until it is asked for it.
    private var owesContinue = false
    private var owesFlush = false
    private var bodyTicks = 0

    // The answer.
    private(set) var hasHead = false
    private(set) var hasEnded = false
    private var pending = ByteBuffer()
    private var later = CircularBuffer<ByteBuffer>(initialCapacity: 0)
    private(set) var queued = 0
    private var answerTrailers: ByteBuffer?
    /// The library asked for bytes when there were none, and must be told of the next.
    private var isDeferred = false
    private var wantsWritable = false
    private var moved = 0
    private var stalledTicks = 0

    init(id: Int32, owner: HTTP2Connection, out: ByteBuffer) {
        self.id = id
        self.owner = owner
        self.out = out
        connection = owner.facts
        self.out.clear()
    }

    // MARK: From the client

    /// The head is whole, in `bytes`; `isWhole`: nothing comes behind it.
    func begin(_ head: RequestHead, in bytes: ByteBuffer, _ exchange: any ClientExchange, isWhole: Bool) {
        hasBegun = true
        headBytes = bytes
        self.exchange = exchange
        hasRequestEnded = isWhole
        hasToldEnd = head.framing == .none
        owesContinue = !hasToldEnd && head.expectsContinue
        exchange.begin(head)
        tellBody()
    }

    /// The head cannot be taken, and the exchange says so.
    func refuse(_ refusal: HeadRefusal, _ exchange: any ClientExchange, isWhole: Bool) {
        hasBegun = true
        self.exchange = exchange
        hasRequestEnded = isWhole
        hasToldEnd = true
        exchange.refuse(refusal)
    }

    func received(_ bytes: ByteBuffer) {
        unread += bytes.readableBytes
        bodyTicks = 0
        owesContinue = false
        guard let exchange else { return discard() }
        if held.readableBytes == 0, exchange.wantsBody {
            pass(bytes, to: exchange)
            tellBody()
        } else {
            // A copy: a slice would keep the whole of what was read alive for as long as the service takes its time.
            held.writeImmutableBuffer(bytes)
        }
    }

    func receivedEnd(trailers: ByteBuffer?) {
        hasRequestEnded = true
        self.trailers = trailers
        tellBody()
    }

    /// All that was read from the connection has been told.
    func readEnded() {
        guard owesFlush else { return }
        owesFlush = false
        exchange?.bodyFlush()
    }

    private func pass(_ bytes: ByteBuffer, to exchange: any ClientExchange) {
        if !owesFlush {
            owesFlush = true
            owner?.owesFlush(self)
        }
        exchange.body(bytes)
    }

    /// Tells the exchange what it wants to know of the body, and lets the client send as much again.
    private func tellBody() {
        guard let exchange else { return discard() }
        guard exchange.wantsBody else { return }
        if held.readableBytes > 0 {
            let bytes = held
            held = ByteBuffer()
            pass(bytes, to: exchange)
        }
        // It may have had enough, or be over.
        guard self.exchange?.wantsBody == true else { return }
        if hasRequestEnded {
            guard !hasToldEnd else { return }
            hasToldEnd = true
            let trailers = trailers
            self.trailers = nil
            exchange.bodyEnd(trailers: trailers)
        } else {
            askForBody()
        }
    }

    private func askForBody() {
        if owesContinue, !hasHead {
            owesContinue = false
            owner?.submitContinue(self)
        }
        if unread > 0 {
            owner?.consume(self, unread)
            unread = 0
        }
    }

    /// Nobody will read what comes: the connection's window must not suffer from it.
    private func discard() {
        held = ByteBuffer()
        guard unread > 0 else { return }
        owner?.consumeOfConnection(unread)
        unread = 0
    }

    // MARK: From the exchange

    var isWritable: Bool {
        guard let owner else { return false }
        if owner.hasRoom(queued) { return true }
        wantsWritable = true
        owner.hasBlockedStreams = true
        return false
    }

    func sendInterim(_ status: Int) {
        defer { out.clear() }
        guard !hasHead else { return }
        owner?.submitInterim(self, status)
    }

    func sendHead(_ status: Int, length: Int?, hasBody: Bool) {
        defer { out.clear() }
        guard !hasHead, let owner else { return }
        hasHead = true
        let sendsBody = hasBody && length != 0
        if !sendsBody { hasEnded = true }
        owner.submitHead(self, status, length: length, hasBody: sendsBody)
    }

    func sendBody(_ bytes: ByteBuffer) {
        guard let owner, hasHead, !hasEnded, bytes.readableBytes > 0 else { return }
        queued += bytes.readableBytes
        owner.queued += bytes.readableBytes
        if pending.readableBytes == 0, later.isEmpty { pending = bytes } else { later.append(bytes) }
        resume(owner)
    }

    func sendEnd(trailers: ByteBuffer?) {
        exchange = nil
        discard()
        guard let owner, hasHead else { return }
        if !hasEnded {
            hasEnded = true
            if let trailers, trailers.readableBytes > 0 { answerTrailers = trailers }
            resume(owner)
        }
        owner.sendSoon()
    }

    func flush() { owner?.sendSoon() }

    func readMore() { tellBody() }

    /// No stream is one: `switchProtocols` says no.
    func endTunnel() { abort() }

    func abort() {
        exchange = nil
        discard()
        isGivenUp = true
        owner?.reset(self, NGHTTP2_INTERNAL_ERROR)
    }

    /// There is no way to give a whole connection of many streams to one of them.
    func switchProtocols() -> Bool { false }

    private func resume(_ owner: HTTP2Connection) {
        guard isDeferred else { return }
        isDeferred = false
        owner.resume(self)
    }

    // MARK: To the library

    /// How many bytes the next DATA frame may take, and what is to be said with it.
    func offer(_ limit: Int, _ flags: UnsafeMutablePointer<UInt32>) -> Int {
        let count = min(limit, pending.readableBytes)
        if count == 0, !hasEnded {
            isDeferred = true
            return Int(NGHTTP2_ERR_DEFERRED.rawValue)
        }
        if count > 0 { flags.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue }
        if hasEnded, count == pending.readableBytes, later.isEmpty {
            flags.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue
            if let trailers = answerTrailers {
                answerTrailers = nil
                if owner?.submitTrailers(self, trailers) == true { flags.pointee |= NGHTTP2_DATA_FLAG_NO_END_STREAM.rawValue }
            }
        }
        return count
    }

    /// Takes what was offered.
    func take(_ count: Int) -> ByteBuffer? {
        guard let bytes = pending.readSlice(length: count) else { return nil }
        if pending.readableBytes == 0 { pending = later.popFirst() ?? ByteBuffer() }
        queued -= count
        owner?.queued -= count
        moved += count
        return bytes
    }

    /// What was said of writability has changed for the better.
    func tellWritable() {
        guard wantsWritable, let owner else { return }
        guard owner.hasRoom(queued) else {
            owner.hasBlockedStreams = true
            return
        }
        wantsWritable = false
        exchange?.clientWritable()
    }

    // MARK: Time and the end

    /// The buffers go to the next stream, once this one is closed.
    func takeHeadBytes() -> ByteBuffer {
        defer { headBytes = ByteBuffer() }
        return headBytes
    }

    func takeOut() -> ByteBuffer {
        defer { out = ByteBuffer() }
        return out
    }

    /// Whether the client still takes its answer. Called every second.
    func tick(_ limits: HTTP2Limits) -> Bool {
        if queued > 0, moved < limits.stallBytes {
            stalledTicks += 1
        } else {
            stalledTicks = 0
            moved = 0
        }
        bodyTicks = !hasToldEnd && !hasRequestEnded && exchange?.wantsBody == true ? bodyTicks + 1 : 0
        if bodyTicks == limits.stallTicks { exchange?.bodyTimedOut() }
        return stalledTicks < limits.stallTicks
    }

    /// The stream is no more. Whoever still works on the answer is told.
    func closed() {
        let waiting = exchange
        exchange = nil
        discard()
        owner?.queued -= queued
        queued = 0
        pending = ByteBuffer()
        later.removeAll()
        owner = nil
        waiting?.clientGone()
    }
}
