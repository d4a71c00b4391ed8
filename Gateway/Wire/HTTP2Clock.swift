import CNghttp2
import NIOCore
import Synchronization

/// What ends a connection: the drain, and time.
extension HTTP2Connection {
    /// Requests that are here, or on their way, are answered; then the connection is closed.
    func drain() {
        guard !isDraining, context != nil else { return }
        isDraining = true
        graceTicks = limits.graceTicks
        nghttp2_submit_shutdown_notice(session)
        // Once the client has answered this, what it sent before it knew is here (RFC 9113, section 6.8).
        nghttp2_submit_ping(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), nil)
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
            if graceTicks < 0 { sayLast() }
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

    /// The client knows that the connection ends: no further request is taken.
    func lastCall() {
        guard graceTicks >= 0 else { return }
        graceTicks = -1
        sayLast()
        sendSoon()
    }

    private func sayLast() {
        let last = nghttp2_session_get_last_proc_stream_id(session)
        nghttp2_submit_goaway(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), last, NGHTTP2_NO_ERROR.rawValue, nil, 0)
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
