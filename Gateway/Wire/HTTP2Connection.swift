import CNghttp2
import NIOCore
import NIOSSL
import Synchronization

/// One HTTP/2 connection of a client: nghttp2 does frames, HPACK and windows, and each stream becomes an exchange as if it were a request
/// of HTTP/1.1.
///
/// What one turn of the event loop produces, for however many streams, is sent in one write.
final class HTTP2Connection: ChannelDuplexHandler, Drainable {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = Never
    typealias OutboundOut = ByteBuffer

    /// Bytes that are gathered for one write.
    static let maximumWrite = 64 << 10
    /// Bodies from this size on are handed to the socket as they are, rather than copied behind their frame's head.
    private static let worthLending = 8 << 10
    /// Frames a second that carry neither fields nor a body. Many windows must be moved for many downloads; all else is rare.
    static let maximumWindowFrames = 20_000
    static let maximumOtherFrames = 500

    let facts: ConnectionFacts
    let limits: HTTP2Limits
    private let headLimits: HeadLimits
    let workspace: HTTP2Workspace
    let counters: EdgeCounters
    let source: any ExchangeSource
    var session: OpaquePointer?
    var context: ChannelHandlerContext?
    var streams: [HTTP2Stream] = []

    // Reading.
    var fields: HTTP2RequestFields
    var headStream: HTTP2Stream?
    var trailers: ByteBuffer?
    var trailerFields = 0
    var input = ByteBuffer()
    var inputBase: UnsafeRawPointer?
    private var isReading = false
    /// Streams whose services have been passed on a part of a body.
    var unflushed: [HTTP2Stream] = []
    private var hasInputEnded = false

    // Writing.
    private var output = ByteBuffer()
    private var isSending = false
    private var isSendPlanned = false
    private var isFull = false
    private var hasLent = false
    /// Bytes of answers that wait in all streams.
    var queued = 0
    /// Whether a stream was told that it is not writable.
    var hasBlockedStreams = false

    // Limits.
    var begun = 0
    var resets: ResetBudget
    var windowFrames = 0
    var otherFrames = 0
    var idleTicks = 0
    var headTicks = 0
    var stalledTicks = 0
    var waitingBytes = 0
    var graceTicks = -1
    var isDraining = false
    var isCalmed = false
    /// Nothing more is read.
    var isEnding = false
    /// Nothing more is written.
    var isClosing = false
    var lingeringTicks = -1

    init(
        facts: ConnectionFacts, limits: HTTP2Limits, headLimits: HeadLimits, workspace: HTTP2Workspace, counters: EdgeCounters,
        source: any ExchangeSource
    ) {
        self.facts = facts
        self.limits = limits
        self.headLimits = headLimits
        self.workspace = workspace
        self.counters = counters
        self.source = source
        fields = HTTP2RequestFields(maximumBytes: headLimits.bytes)
        resets = ResetBudget(limits)
    }

    deinit { nghttp2_session_del(session) }

    // MARK: The channel

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        session = HTTP2Session.make(for: self, limits: limits, maximumHeadBytes: headLimits.bytes)
        guard session != nil else { return context.close(promise: nil) }
        if context.channel.isActive { sendSoon() }
    }

    func channelActive(context: ChannelHandlerContext) {
        sendSoon()
        context.fireChannelActive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { end() }

    func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    /// The session itself lives as long as this object, because it may be what is calling just now.
    private func end() {
        context = nil
        endStreams()
    }

    func endStreams() {
        headStream = nil
        unflushed = []
        let open = streams
        streams = []
        for stream in open {
            nghttp2_session_set_stream_user_data(session, stream.id, nil)
            release(stream)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // A client that goes without close_notify: what was whole is whole, as the frames say.
        if case NIOSSLError.uncleanShutdown = error { return }
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event {
            // Without its word on windows a client is as good as gone; what may still be sent to it is.
            hasInputEnded = true
            if isClosing { context.close(promise: nil) } else { sendSoon() }
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isEnding, self.context != nil else { return }
        let bytes = unwrapInboundIn(data)
        isReading = true
        input = bytes
        let used = bytes.withUnsafeReadableBytes { raw -> Int in
            guard let base = raw.baseAddress else { return 0 }
            inputBase = base
            return nghttp2_session_mem_recv(session, base.assumingMemoryBound(to: UInt8.self), raw.count)
        }
        input = ByteBuffer()
        inputBase = nil
        if used < 0 {
            counters.brokenHTTP2.add(1, ordering: .relaxed)
            isEnding = true
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        flushBodies()
        isReading = false
        if nghttp2_session_want_write(session) != 0 || isEnding { send() }
        context.fireChannelReadComplete()
    }

    private func flushBodies() {
        while let stream = unflushed.popLast() { stream.readEnded() }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, !isSending { send() }
        context.fireChannelWritabilityChanged()
    }

    // MARK: Sending

    /// After this turn of the event loop, in which other streams may have something to send as well.
    func sendSoon() {
        guard !isReading, !isSendPlanned, let context else { return }
        isSendPlanned = true
        context.eventLoop.assumeIsolated().execute { [self] in
            isSendPlanned = false
            flushBodies()
            send()
        }
    }

    private func send() {
        guard !isSending, !isClosing, context != nil else { return }
        isSending = true
        output = workspace.takeOutput()
        while let context, context.channel.isWritable {
            let isWhole = fill()
            if output.readableBytes > 0 {
                context.writeAndFlush(wrapOutboundOut(output), promise: nil)
                output.clear()
            } else if hasLent {
                context.flush()
            }
            hasLent = false
            if isWhole { break }
        }
        let used = output
        output = ByteBuffer()
        workspace.give(output: used)
        isSending = false
        if hasBlockedStreams { tellWritable() }
        closeIfDone()
    }

    /// Fills the output; answers whether that was all.
    private func fill() -> Bool {
        while true {
            var bytes: UnsafePointer<UInt8>?
            let count = nghttp2_session_mem_send(session, &bytes)
            guard count > 0, let bytes else {
                if count < 0 { isEnding = true }
                let isWhole = !isFull
                isFull = false
                return isWhole
            }
            output.writeBytes(UnsafeRawBufferPointer(start: bytes, count: count))
            if output.readableBytes >= Self.maximumWrite { return false }
        }
    }

    /// One DATA frame; the library calls this from `fill`.
    func sendData(_ id: Int32, _ header: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
        if output.readableBytes >= Self.maximumWrite || hasLent && context?.channel.isWritable != true {
            isFull = true
            return NGHTTP2_ERR_WOULDBLOCK.rawValue
        }
        guard let stream = HTTP2Session.stream(session, id), let bytes = stream.take(count), let context else {
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        output.writeBytes(UnsafeRawBufferPointer(start: header, count: 9))
        // TLS copies anyway, and makes full records of what comes in one piece.
        if count < Self.worthLending || facts.isEncrypted {
            output.writeImmutableBuffer(bytes)
        } else {
            context.write(wrapOutboundOut(output), promise: nil)
            output.clear()
            context.write(wrapOutboundOut(bytes), promise: nil)
            hasLent = true
        }
        return 0
    }

    private func tellWritable() {
        hasBlockedStreams = false
        // Backwards, because a stream may end by what it is told; then the last takes its place.
        var index = streams.count - 1
        while index >= 0 {
            if index < streams.count { streams[index].tellWritable() }
            index -= 1
        }
    }

    /// Ends the connection where nothing more will be said on it. What was said is written first, and then the client gets a moment
    /// to go by itself, because some take the end of a connection for the end of what they have not read yet.
    func closeIfDone() {
        guard let context, !isClosing else { return }
        let hasNoMore = nghttp2_session_want_write(session) == 0
        let isDone = hasNoMore && nghttp2_session_want_read(session) == 0
        guard isDone || isEnding || hasInputEnded && hasNoMore && context.channel.isWritable else { return }
        isClosing = true
        isEnding = true
        endStreams()
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [weak self] result in self?.wrote(result) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
    }

    private func wrote(_ result: Result<Void, any Error>) {
        guard let context else { return }
        guard case .success = result, !hasInputEnded else { return context.close(promise: nil) }
        lingeringTicks = limits.lingeringTicks
    }

    /// Whether a stream with this many waiting bytes may take more.
    func hasRoom(_ waiting: Int) -> Bool {
        waiting < limits.streamBuffer && (queued < limits.connectionBuffer || waiting < limits.crowdedBuffer)
    }
}
