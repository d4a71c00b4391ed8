import Contracts
import NIOCore

/// One client's HTTP/1.1 connection, on bytes: reads heads, takes the framing off bodies, writes answers, one exchange at a time
/// in the order of the requests (RFC 9112).
final class ClientConnection: ChannelInboundHandler, ChannelOutboundHandler, Drainable, Timed {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes of further requests that are read while one is being answered; then the client has to wait.
    static let maximumAhead = 65_536
    /// Bytes of a body that nobody wants which are read to keep the connection.
    static let maximumDiscarded = 65_536
    /// For how long a refused client's bytes are read and thrown away, so that it sees the answer and not a broken connection.
    static let lingering = 2 * Monotonic.second
    /// For how long a connection that is idle when the program ends may still bring a request.
    static let drainGrace = Monotonic.second / 4
    /// Bodies up to this go into one write with their head.
    static let joined = 16_384

    enum State {
        /// Between requests, or within a head.
        case head
        /// A request is being answered; its body may still be coming.
        case exchange
        /// After 101: bytes without framing.
        case tunnel
        /// The last answer is sent; what still comes is thrown away.
        case lingering
        case closed
    }

    let connection: ConnectionFacts
    let loop: Loop
    var context: ChannelHandlerContext?
    var state = State.head
    private var request: RequestHead?
    var exchange: Exchange?
    var reader = BodyReader(.none)
    var hasBodyEnded = true
    var pending: ByteBuffer?
    /// Whether what is there of a body is less than can be taken: a part of a chunk's size line.
    private var needsMore = false
    private var isReadHeld = false
    var isProcessing = false
    /// Whether the client has said that it sends nothing more.
    var hasInputEnded = false
    var isDraining = false
    /// Whether the connection ends with the answer that is being written.
    var closesAfter = false
    var owesContinue = false
    var discarded = 0
    /// Told by the channel whenever it changes.
    private(set) var isWritable = true
    // The answer.
    var isHeadPending = false
    var isChunkedAnswer = false

    var deadline = UInt64.max
    var timedIndex = -1

    init(_ loop: Loop, _ connection: ConnectionFacts) {
        self.loop = loop
        self.connection = connection
    }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        loop.opened(self)
        deadline = Monotonic.coarse() &+ loop.door.times.head
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        loop.closed(self)
        gone()
    }

    func read(context: ChannelHandlerContext) {
        if mayRead { context.read() } else { isReadHeld = true }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if pending == nil {
            pending = bytes
        } else {
            // What was read already goes; else a buffer that is never quite empty would grow for as long as the connection stands.
            pending?.discardReadBytes()
            pending?.writeBuffer(&bytes)
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        exchange?.bodyFlush()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        guard isWritable else { return }
        exchange?.clientWritable()
        if state == .head { process() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { inputEnded() }
        context.fireUserInboundEventTriggered(event)
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func gone() {
        guard state != .closed else { return }
        state = .closed
        deadline = .max
        giveHeadBack()
        pending = nil
        let exchange = exchange
        self.exchange = nil
        exchange?.clientGone()
    }

    /// A client that closes its half after its requests still gets their answers (RFC 9112, section 9.6 leaves it to us).
    private func inputEnded() {
        hasInputEnded = true
        switch state {
        case .head, .lingering: close()
        case .exchange:
            if !hasBodyEnded, pending == nil || needsMore { abortExchange() }
        case .tunnel: exchange?.tunnelEnded()
        case .closed: break
        }
    }

    func close() {
        deadline = .max
        context?.close(promise: nil)
    }

    func deadlinePassed(_ now: UInt64) {
        deadline = .max
        switch state {
        case .head where !isWritable: close()
        case .head where request != nil || pending != nil:
            // A head that takes for ever is told so; between requests nothing is owed.
            refuse(.requestTimeout)
        case .exchange: if let exchange { exchange.bodyTimedOut() } else { close() }
        case .head, .tunnel, .lingering: close()
        case .closed: break
        }
    }

    /// The program ends: the answer that is under way is the last. A request may be on its way to us just now on a connection that
    /// looks idle; closing that at once would fail it.
    func drain() {
        isDraining = true
        closesAfter = true
        if state == .head, request == nil, pending == nil { deadline = min(deadline, Monotonic.now() &+ Self.drainGrace) }
    }

    // MARK: Reading

    private var mayRead: Bool {
        switch state {
        // Who does not read answers is not asked for more requests.
        case .head: isWritable
        case .lingering: true
        case .closed: false
        case .tunnel: pending == nil
        case .exchange:
            if hasBodyEnded || exchange == nil { (pending?.readableBytes ?? 0) < Self.maximumAhead } else { pending == nil || needsMore }
        }
    }

    func readOn() {
        guard isReadHeld, mayRead, let context else { return }
        isReadHeld = false
        context.read()
    }

    func process() {
        guard !isProcessing else { return }
        isProcessing = true
        while var bytes = pending, takes(&bytes) {}
        isProcessing = false
        readOn()
    }

    /// Takes what it can; false when nothing more can be done with what is there.
    private func takes(_ bytes: inout ByteBuffer) -> Bool {
        pending = nil
        switch state {
        case .head: return isWritable ? readHead(&bytes) : keep(bytes)
        case .exchange: return hasBodyEnded ? keep(bytes) : readBody(&bytes)
        case .tunnel:
            guard let exchange, exchange.wantsBody else { return keep(bytes) }
            exchange.body(bytes)
            return pending != nil
        case .lingering:
            discarded += bytes.readableBytes
            if discarded > Self.maximumDiscarded * 16 { close() }
            return false
        case .closed: return false
        }
    }

    private func keep(_ bytes: ByteBuffer) -> Bool {
        if bytes.readableBytes > 0 { pending = bytes }
        return false
    }

    private func readHead(_ bytes: inout ByteBuffer) -> Bool {
        let head: RequestHead
        if let begun = request {
            head = begun
        } else {
            // An empty line before a request is forgiven, as RFC 9112, section 2.2 asks.
            while bytes.getInteger(at: bytes.readerIndex, as: UInt16.self) == 0x0D0A { bytes.moveReaderIndex(forwardBy: 2) }
            // Of such a line the first byte alone may be here yet.
            guard bytes.readableBytes > 1 || bytes.readableBytesView.first.map({ $0 != 0x0D }) ?? false else { return keepHead(bytes) }
            head = loop.requestHead()
            request = head
            deadline = Monotonic.coarse() &+ loop.door.times.head
        }
        do throws(HeadRefusal) {
            guard try head.parse(&bytes) else { return keepHead(bytes) }
        } catch {
            refuse(GatewayFailure(error))
            return false
        }
        request = nil
        if bytes.readableBytes > 0 { pending = bytes }
        begin(head)
        return pending != nil
    }

    /// More of it has to come, from a client that can still send.
    private func keepHead(_ bytes: ByteBuffer) -> Bool {
        if hasInputEnded { close() }
        return keep(bytes)
    }

    private func begin(_ head: RequestHead) {
        state = .exchange
        deadline = .max
        let framing = head.framing
        reader = BodyReader(framing)
        hasBodyEnded = framing == .none
        closesAfter = closesAfter || !head.keepsAlive || isDraining
        owesContinue = head.expectsContinue && !hasBodyEnded
        needsMore = false
        discarded = 0
        isHeadPending = false
        let exchange = loop.exchange(for: self)
        self.exchange = exchange
        exchange.begin(head)
    }

    private func readBody(_ bytes: inout ByteBuffer) -> Bool {
        guard let exchange else { return discard(&bytes) }
        needsMore = false
        guard exchange.wantsBody else { return keep(bytes) }
        deadline = Monotonic.coarse() &+ loop.door.times.bodyIdle
        switch reader.next(&bytes) {
        case .data(let data):
            if bytes.readableBytes > 0 { pending = bytes }
            let isComplete = reader.isComplete
            exchange.body(data)
            guard state == .exchange, self.exchange === exchange, !hasBodyEnded else { break }
            if isComplete {
                hasBodyEnded = true
                deadline = .max
                exchange.bodyEnd(trailers: nil)
            } else if hasInputEnded, pending == nil {
                abortExchange()
            } else if !exchange.wantsBody {
                // It is not the client who is waited for now.
                deadline = .max
            }
        case .end(let trailers):
            if bytes.readableBytes > 0 { pending = bytes }
            hasBodyEnded = true
            deadline = .max
            exchange.bodyEnd(trailers: trailers)
        case .more:
            if hasInputEnded {
                abortExchange()
                return false
            }
            needsMore = true
            return keep(bytes)
        case .malformed:
            closesAfter = true
            hasBodyEnded = true
            exchange.bodyMalformed()
            return false
        }
        return pending != nil
    }

    /// What is left of a body after its answer.
    private func discard(_ bytes: inout ByteBuffer) -> Bool {
        while true {
            switch reader.next(&bytes) {
            case .data(let data):
                discarded += data.readableBytes
                if discarded > Self.maximumDiscarded {
                    linger()
                    return false
                }
                if bytes.readableBytes == 0, !reader.isComplete { return false }
            case .end:
                hasBodyEnded = true
                if bytes.readableBytes > 0 { pending = bytes }
                next()
                return pending != nil
            case .more: return keep(bytes)
            case .malformed:
                linger()
                return false
            }
        }
    }

    /// The client went away within its own request.
    private func abortExchange() {
        let exchange = exchange
        self.exchange = nil
        exchange?.clientGone()
        close()
    }

    func giveHeadBack() {
        if let request { loop.giveBack(request) }
        request = nil
    }

    /// What cannot be read is answered without an exchange, and is the last of the connection.
    private func refuse(_ failure: GatewayFailure) {
        giveHeadBack()
        state = .exchange
        hasBodyEnded = true
        closesAfter = true
        let exchange = loop.exchange(for: self)
        self.exchange = exchange
        exchange.refuse(unread: failure)
    }
}
