import NIOCore

/// One connection to one replica of a service, kept open between requests. HTTP/1.1, one exchange at a time.
///
/// It reads heads, takes the framing off bodies and tells its exchange; it does not read on while the client does not keep up.
final class UpstreamConnection: ChannelInboundHandler, ChannelOutboundHandler, Timed {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        /// In the pool, or about to be.
        case idle
        case head
        case body
        /// After 101: bytes without framing.
        case tunnel
    }

    let replica: Replica
    private let pool: UpstreamPool
    private var context: ChannelHandlerContext?
    private(set) var exchange: Exchange?
    private var state = State.idle
    private var head: ResponseHead?
    private var reader = BodyReader(.none)
    /// What has come and was not taken yet.
    private var pending: ByteBuffer?
    private var isHead = false
    /// Whether the exchange keeps up; while not, nothing is read.
    private(set) var isPaused = false
    private var isReadHeld = false
    private var isProcessing = false
    /// Whether another request may follow on this connection.
    private var isReusable = true
    /// Whether the request was written to its end.
    private var hasRequestEnded = false
    /// Requests that this connection was used for.
    private(set) var uses = 0
    private(set) var isDead = false
    /// Set by the pool when this is the address that answered; others are tried and given up without being counted.
    var isEstablished = false
    private var interims = 0
    /// Answers of 1xx before the one that counts: more is a flood, which would fill the memory of a client that does not read.
    static let maximumInterims = 32

    var deadline = UInt64.max
    var timedIndex = -1

    init(_ replica: Replica, in pool: UpstreamPool) {
        self.replica = replica
        self.pool = pool
    }

    // MARK: For the exchange

    /// Told by the channel whenever it changes.
    private(set) var isWritable = true
    var isAlive: Bool { !isDead && context != nil }

    /// Takes the connection for one exchange. The answer to a HEAD has no body.
    func begin(_ exchange: Exchange, isHead: Bool) {
        self.exchange = exchange
        self.isHead = isHead
        state = .head
        uses += 1
        hasRequestEnded = false
        interims = 0
        deadline = .max
    }

    /// May find out that the connection is dead, and then has said so before it returns.
    func write(_ bytes: ByteBuffer) { context?.write(wrapOutboundOut(bytes), promise: nil) }
    func flush() { context?.flush() }
    func writeAndFlush(_ bytes: ByteBuffer) { context?.writeAndFlush(wrapOutboundOut(bytes), promise: nil) }

    /// The request is whole: from now on only its answer is waited for.
    func requestEnded() {
        hasRequestEnded = true
        if state == .idle, exchange == nil { finish() }
    }

    /// The client keeps up again.
    func resume() {
        guard isPaused else { return }
        isPaused = false
        guard !isProcessing else { return }
        if pending != nil || isDead {
            process()
            // Nothing else will flush what was just written.
            if state == .body || state == .tunnel { exchange?.answerFlush() }
        }
        guard !isPaused, isReadHeld, let context else { return }
        isReadHeld = false
        context.read()
    }

    func pause() { isPaused = true }

    /// The exchange needs nothing more: whatever still comes is of no use, and so is the connection.
    func abandon() {
        exchange = nil
        close()
    }

    /// From now on bytes go both ways without framing.
    func enterTunnel() { state = .tunnel }

    func close() {
        isReusable = false
        deadline = .max
        context?.close(promise: nil)
    }

    // MARK: From the channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        pool.deadlines.add(self)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        pool.deadlines.remove(self)
        gone()
    }

    func read(context: ChannelHandlerContext) {
        if isPaused { isReadHeld = true } else { context.read() }
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
        guard state != .idle || exchange != nil else {
            // Nothing was asked: what comes belongs to no request, and would be taken for the answer to the next.
            close()
            return
        }
        process()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if state == .body || state == .tunnel { exchange?.answerFlush() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        isWritable = context.channel.isWritable
        if isWritable { exchange?.upstreamWritable() }
    }

    func channelInactive(context: ChannelHandlerContext) {
        gone()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func deadlinePassed(_ now: UInt64) {
        deadline = .max
        close()
    }

    private func gone() {
        guard !isDead else { return }
        isDead = true
        isWritable = false
        deadline = .max
        pool.removed(self)
        // What came before the end is still told; the end itself when that was taken.
        if !isPaused, !isProcessing { ended() }
    }

    /// The connection has ended, and all that came was told.
    private func ended() {
        guard let exchange else { return }
        self.exchange = nil
        giveHeadBack()
        if state == .body, reader.endsWithConnection {
            state = .idle
            exchange.answerEnd(nil, from: self)
        } else {
            exchange.upstreamBroke(self)
        }
    }

    // MARK: Reading the answer

    private func process() {
        isProcessing = true
        defer {
            isProcessing = false
            if isDead, !isPaused { ended() }
        }
        while var bytes = pending, !isPaused {
            pending = nil
            switch state {
            case .idle:
                close()
                return
            case .head:
                guard readHead(&bytes) else { return }
            case .body:
                guard readBody(&bytes) else { return }
            case .tunnel: exchange?.answerData(bytes)
            }
        }
    }

    /// False when there is nothing more to do for now.
    private func readHead(_ bytes: inout ByteBuffer) -> Bool {
        let head = self.head ?? pool.head()
        self.head = head
        do throws(HeadRefusal) {
            guard try head.parse(&bytes) else {
                pending = bytes
                return false
            }
        } catch {
            exchange?.upstreamMalformed(error)
            close()
            return false
        }
        guard let exchange else { return false }
        if bytes.readableBytes > 0 { pending = bytes }
        if head.isInterim {
            interims += 1
            guard interims <= Self.maximumInterims else {
                exchange.upstreamMalformed(.tooManyFields)
                close()
                return false
            }
            exchange.answerInterim(head)
            head.reset()
            return pending != nil
        }
        if !head.keepsAlive { isReusable = false }
        if head.status == 101 {
            giveHeadBack(after: { exchange.answerSwitched(head, self) })
            return pending != nil
        }
        let framing = head.framing(toHead: isHead)
        if framing == .untilClose { isReusable = false }
        reader = BodyReader(framing)
        state = .body
        giveHeadBack(after: { exchange.answerHead(head, framing, from: self) })
        if framing == .none { return readBodyEnd(nil) }
        return pending != nil
    }

    private func readBody(_ bytes: inout ByteBuffer) -> Bool {
        while !isPaused {
            switch reader.next(&bytes) {
            case .data(let data): exchange?.answerData(data)
            case .end(let trailers):
                if bytes.readableBytes > 0 { pending = bytes }
                return readBodyEnd(trailers)
            case .more:
                if bytes.readableBytes > 0 { pending = bytes }
                // A body of known length has ended with its last byte.
                return false
            case .malformed:
                exchange?.upstreamMalformed(.malformedLine)
                close()
                return false
            }
            guard state == .body, exchange != nil else {
                if bytes.readableBytes > 0 { pending = bytes }
                return state == .tunnel
            }
            if bytes.readableBytes == 0, !reader.isComplete { return false }
        }
        if bytes.readableBytes > 0 || reader.isComplete { pending = bytes }
        return false
    }

    private func readBodyEnd(_ trailers: ByteBuffer?) -> Bool {
        state = .idle
        // More than was announced: the next answer would not be the one to the next request.
        if pending != nil { isReusable = false }
        let exchange = exchange
        self.exchange = nil
        // First the connection, then the exchange: the next request of the same client may want it at once.
        finish()
        exchange?.answerEnd(trailers, from: self)
        return false
    }

    private func finish() {
        guard isReusable, hasRequestEnded, !isDead else {
            close()
            return
        }
        pool.putBack(self)
    }

    private func giveHeadBack(after body: () -> Void = {}) {
        let head = head
        self.head = nil
        body()
        if let head { pool.giveBack(head) }
    }
}
