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
    private static let maximumWindowFrames = 20_000
    private static let maximumOtherFrames = 500

    let facts: ConnectionFacts
    private let limits: HTTP2Limits
    private let headLimits: HeadLimits
    private let workspace: HTTP2Workspace
    private let counters: EdgeCounters
    private let source: any ExchangeSource
    private var session: OpaquePointer?
    private var context: ChannelHandlerContext?
    private var streams: [HTTP2Stream] = []

    // Reading.
    private var fields: HTTP2RequestFields
    private var headStream: HTTP2Stream?
    private var trailers: ByteBuffer?
    private var trailerFields = 0
    private var input = ByteBuffer()
    private var inputBase: UnsafeRawPointer?
    private var isReading = false
    /// Streams whose services have been passed on a part of a body.
    private var unflushed: [HTTP2Stream] = []
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
    private var begun = 0
    private var resets: ResetBudget
    private var windowFrames = 0
    private var otherFrames = 0
    private var idleTicks = 0
    private var headTicks = 0
    private var stalledTicks = 0
    private var waitingBytes = 0
    private var graceTicks = -1
    private var isDraining = false
    private var isCalmed = false
    /// Nothing more is read.
    private var isEnding = false
    /// Nothing more is written.
    private var isClosing = false
    private var lingeringTicks = -1

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

    private func endStreams() {
        headStream = nil
        unflushed = []
        let open = streams
        streams = []
        for stream in open {
            nghttp2_session_set_stream_user_data(session, stream.id, nil)
            close(stream)
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
    private func closeIfDone() {
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

    // MARK: What the library tells

    func began(_ header: nghttp2_frame_hd) -> Int32 {
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_CONTINUATION.rawValue: return 0
        case NGHTTP2_DATA.rawValue where header.length > 0 || header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0: return 0
        case NGHTTP2_WINDOW_UPDATE.rawValue: windowFrames &+= 1
        default: otherFrames &+= 1
        }
        if windowFrames > Self.maximumWindowFrames || otherFrames > Self.maximumOtherFrames { calm() }
        return 0
    }

    func beganHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
        headTicks = 0
        guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else {
            headStream = HTTP2Session.stream(session, frame.pointee.hd.stream_id)
            trailers = nil
            trailerFields = 0
            return 0
        }
        begun += 1
        let stream = HTTP2Stream(id: frame.pointee.hd.stream_id, owner: self, out: workspace.takeBuffer())
        stream.index = streams.count
        streams.append(stream)
        nghttp2_session_set_stream_user_data(session, stream.id, Unmanaged.passUnretained(stream).toOpaque())
        headStream = stream
        fields.begin(into: workspace.takeBuffer())
        return 0
    }

    func field(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) {
        guard let headStream else { return }
        if !headStream.hasBegun {
            fields.add(name, nameCount, value, valueCount)
        } else {
            trailer(name, nameCount, value, valueCount)
        }
    }

    /// Only fields that say nothing of framing, routing or credentials go on; beyond the limits of HTTP/1.1's, none.
    private func trailer(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) {
        trailerFields += 1
        guard nameCount > 0, trailerFields <= BodyReader.maximumTrailerFields, ByteClass.isValue(value, valueCount),
            (trailers?.readableBytes ?? 0) + nameCount + valueCount + 4 <= BodyReader.maximumTrailers,
            FieldNames.request(name, nameCount).mayTrail, FieldNames.response(name, nameCount).mayTrail
        else { return }
        var lines = trailers ?? ByteBuffer()
        trailers = nil
        HTTP2RequestFields.write(name, nameCount, value, valueCount, to: &lines)
        trailers = lines
    }

    func received(_ frame: UnsafePointer<nghttp2_frame>) {
        let isEnd = frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            guard let stream = headStream else { return }
            headStream = nil
            if !stream.hasBegun {
                begin(stream, isWhole: isEnd)
            } else if isEnd {
                stream.receivedEnd(trailers: trailers)
                trailers = nil
            }
        case NGHTTP2_DATA.rawValue where isEnd:
            HTTP2Session.stream(session, frame.pointee.hd.stream_id)?.receivedEnd(trailers: nil)
        default: break
        }
    }

    private func begin(_ stream: HTTP2Stream, isWhole: Bool) {
        if begun >= limits.requests { drain() }
        switch fields.finish(hasBody: !isWhole) {
        case .malformed: reset(stream, NGHTTP2_PROTOCOL_ERROR)
        case .tooLarge: stream.refuse(.headTooLarge, source.clientExchange(for: stream), isWhole: isWhole)
        case .head(let bytes):
            let head = source.requestHead()
            var unread = bytes
            do throws(HeadRefusal) {
                // Whole, since it was written as such.
                guard try head.parse(&unread) else { throw .malformedLine }
            } catch {
                source.giveBack(head)
                return stream.refuse(error, source.clientExchange(for: stream), isWhole: isWhole)
            }
            stream.begin(head, in: bytes, source.clientExchange(for: stream), isWhole: isWhole)
        }
    }

    func receivedBody(_ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard let base = inputBase, count > 0 else { return }
        let at = input.readerIndex + base.distance(to: UnsafeRawPointer(bytes))
        guard let stream = HTTP2Session.stream(session, id), let slice = input.getSlice(at: at, length: count) else {
            return consumeOfConnection(count)
        }
        stream.received(slice)
    }

    func streamClosed(_ id: Int32, _ error: UInt32) {
        guard let stream = HTTP2Session.stream(session, id) else { return }
        nghttp2_session_set_stream_user_data(session, id, nil)
        if headStream === stream {
            headStream = nil
            fields.drop()
        }
        if stream.index < streams.count, streams[stream.index] === stream {
            let last = streams.removeLast()
            if last !== stream {
                streams[stream.index] = last
                last.index = stream.index
            }
        }
        close(stream)
        if error != NGHTTP2_NO_ERROR.rawValue, !stream.isGivenUp {
            counters.resetStreams.add(1, ordering: .relaxed)
            if !resets.take() { calm() }
        }
    }

    private func close(_ stream: HTTP2Stream) {
        stream.closed()
        workspace.give(stream.takeHeadBytes())
        workspace.give(stream.takeOut())
    }

    /// A client that makes work without end is told so and left.
    private func calm() {
        guard !isCalmed else { return }
        isCalmed = true
        counters.calmed.add(1, ordering: .relaxed)
        nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        sendSoon()
    }

    // MARK: What streams ask for

    func owesFlush(_ stream: HTTP2Stream) {
        unflushed.append(stream)
        sendSoon()
    }

    func consume(_ stream: HTTP2Stream, _ count: Int) {
        nghttp2_session_consume(session, stream.id, count)
        sendSoon()
    }

    func consumeOfConnection(_ count: Int) {
        nghttp2_session_consume_connection(session, count)
        sendSoon()
    }

    func resume(_ stream: HTTP2Stream) { nghttp2_session_resume_data(session, stream.id) }

    func reset(_ stream: HTTP2Stream, _ error: nghttp2_error_code) {
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, error.rawValue)
        sendSoon()
    }

    func submitContinue(_ stream: HTTP2Stream) {
        let answer = workspace.answer
        answer.begin(status: 100)
        nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, nil, answer.fields, answer.count, nil)
        sendSoon()
    }

    func submitInterim(_ stream: HTTP2Stream, _ status: Int) {
        let answer = workspace.answer
        answer.begin(status: status)
        stream.out.withUnsafeReadableBytes { bytes in
            answer.add(bytes, skippingFirst: true)
            nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, nil, answer.fields, answer.count, nil)
        }
    }

    func submitHead(_ stream: HTTP2Stream, _ status: Int, length: Int?, hasBody: Bool) {
        let answer = workspace.answer
        answer.begin(status: status)
        var provider = nghttp2_data_provider(source: nghttp2_data_source(), read_callback: HTTP2Session.source)
        let result = stream.out.withUnsafeReadableBytes { bytes -> Int32 in
            answer.add(bytes, skippingFirst: true)
            if let length { answer.addLength(length) }
            return withUnsafePointer(to: &provider) {
                nghttp2_submit_response(session, stream.id, answer.fields, answer.count, hasBody ? $0 : nil)
            }
        }
        if result != 0 { reset(stream, NGHTTP2_INTERNAL_ERROR) }
    }

    func submitTrailers(_ stream: HTTP2Stream, _ trailers: ByteBuffer) -> Bool {
        let answer = workspace.answer
        answer.beginTrailers()
        return trailers.withUnsafeReadableBytes { bytes in
            answer.add(bytes, skippingFirst: false)
            return answer.count > 0 && nghttp2_submit_trailer(session, stream.id, answer.fields, answer.count) == 0
        }
    }

    // MARK: Time and the end

    /// Requests that are here, or on their way, are answered; then the connection is closed.
    func drain() {
        guard !isDraining, context != nil else { return }
        isDraining = true
        graceTicks = limits.graceTicks
        nghttp2_submit_shutdown_notice(session)
        sendSoon()
    }

    /// Once a second.
    func tick() {
        guard let context else { return }
        if isClosing { return closing(context) }
        resets.tick()
        windowFrames = 0
        otherFrames = 0
        if graceTicks >= 0 {
            graceTicks -= 1
            if graceTicks < 0 {
                let last = nghttp2_session_get_last_proc_stream_id(session)
                nghttp2_submit_goaway(
                    session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
            }
        }
        idleTicks = streams.isEmpty ? idleTicks + 1 : 0
        headTicks = headStream == nil ? 0 : headTicks + 1
        if idleTicks == limits.idleTicks || headTicks > limits.headTicks {
            nghttp2_session_terminate_session(session, NGHTTP2_NO_ERROR.rawValue)
        }
        for stream in streams { look(at: stream) }
        if isStalled(context) {
            counters.stalledConnections.add(1, ordering: .relaxed)
            return context.close(mode: .all, promise: nil)
        }
        if nghttp2_session_want_write(session) != 0 { sendSoon() } else { closeIfDone() }
    }

    private func closing(_ context: ChannelHandlerContext) {
        if lingeringTicks >= 0 { lingeringTicks -= 1 }
        if lingeringTicks == 0 || isStalled(context) { context.close(promise: nil) }
    }

    private func look(at stream: HTTP2Stream) {
        if !stream.tick(limits) {
            counters.stalledStreams.add(1, ordering: .relaxed)
            reset(stream, NGHTTP2_CANCEL)
        } else if stream.hasEnded, !stream.hasRequestEnded, nghttp2_session_get_stream_local_close(session, stream.id) == 1 {
            // Answered before the request's end: the client need not send the rest (RFC 9113, section 8.1). Not said at once, because
            // some clients take it for the end of an answer that they have not read yet.
            reset(stream, NGHTTP2_NO_ERROR)
        }
    }

    /// Whether the socket has taken nothing for long although much waits.
    private func isStalled(_ context: ChannelHandlerContext) -> Bool {
        guard !context.channel.isWritable else {
            stalledTicks = 0
            return false
        }
        let waiting = (try? context.channel.syncOptions?.getOption(ChannelOptions.bufferedWritableBytes)) ?? 0
        stalledTicks = waiting == waitingBytes ? stalledTicks + 1 : 0
        waitingBytes = waiting
        return stalledTicks >= limits.stallTicks
    }
}
