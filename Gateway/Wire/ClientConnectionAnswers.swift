import Contracts
import NIOCore

/// Writing: the client's side of the exchange that is under way.
extension ClientConnection: ClientSide {
    var out: ByteBuffer {
        get { loop.out }
        _modify { yield &loop.out }
    }

    func sendInterim(_ status: Int) {
        loop.out.writeStaticString("\r\n")
        write(loop.out)
        context?.flush()
    }

    func sendHead(_ status: Int, length: Int?, hasBody: Bool) {
        isChunkedAnswer = false
        // The rest of a body that nobody reads stands in the way of the next request; a client that still waits to be asked has none.
        if !hasBodyEnded, owesContinue || reader.remaining > Self.maximumDiscarded && exchange?.wantsBody != true { closesAfter = true }
        if hasInputEnded, pending == nil { closesAfter = true }
        // A refusal while more of the body is to come than would be read to keep the connection.
        if status >= 400, isRestTooLong { closesAfter = true }
        if let length {
            loop.out.writeStaticString("Content-Length: ")
            loop.out.writeDecimal(length)
            loop.out.writeStaticString("\r\n")
        } else if hasBody {
            if exchange?.isHTTP10 == true {
                closesAfter = true
            } else {
                isChunkedAnswer = true
                loop.out.writeStaticString("Transfer-Encoding: chunked\r\n")
            }
        }
        if status == 101 {
            loop.out.writeStaticString("Connection: Upgrade\r\n")
        } else if closesAfter {
            loop.out.writeStaticString("Connection: close\r\n")
        } else if exchange?.isHTTP10 == true {
            loop.out.writeStaticString("Connection: keep-alive\r\n")
        }
        loop.out.writeStaticString("\r\n")
        isHeadPending = true
    }

    func sendBody(_ bytes: ByteBuffer) {
        let count = bytes.readableBytes
        guard count > 0 else { return }
        if isChunkedAnswer {
            if !isHeadPending { loop.out.clear() }
            loop.out.writeHexadecimal(count)
            loop.out.writeStaticString("\r\n")
            isHeadPending = true
        }
        if isHeadPending, count <= Self.joined {
            loop.out.writeImmutableBuffer(bytes)
            if isChunkedAnswer {
                loop.out.writeStaticString("\r\n")
                writePendingHead()
            }
            return
        }
        writePendingHead()
        write(bytes)
        if isChunkedAnswer { write(loop.lineEnd) }
    }

    func sendEnd(trailers: ByteBuffer?) {
        if isChunkedAnswer {
            if !isHeadPending { loop.out.clear() }
            loop.out.writeStaticString("0\r\n")
            if let trailers { loop.out.writeImmutableBuffer(trailers) }
            loop.out.writeStaticString("\r\n")
            isHeadPending = true
        }
        writePendingHead()
        exchange = nil
        // After this the connection may be gone.
        context?.flush()
        guard state == .exchange else { return }
        if closesAfter || isRestTooLong {
            linger()
        } else if hasBodyEnded {
            next()
        } else {
            // The rest of the request is read to keep the connection, but not waited for without end.
            deadline = Monotonic.coarse() &+ loop.door.times.bodyIdle
        }
        readOn()
        process()
    }

    func flush() {
        writePendingHead()
        context?.flush()
    }

    func readMore() {
        if owesContinue {
            owesContinue = false
            loop.out.clear()
            loop.out.writeStaticString("HTTP/1.1 100 Continue\r\n\r\n")
            write(loop.out)
            context?.flush()
        }
        if state == .exchange, !hasBodyEnded { deadline = Monotonic.coarse() &+ loop.door.times.bodyIdle }
        guard !isProcessing else { return }
        process()
        // Nothing else will flush what was just passed on.
        exchange?.bodyFlush()
    }

    func endTunnel() {
        exchange = nil
        writePendingHead()
        context?.flush()
        linger()
    }

    func abort() {
        exchange = nil
        close()
    }

    func switchProtocols() -> Bool {
        guard state == .exchange, hasBodyEnded else { return false }
        writePendingHead()
        context?.flush()
        guard state == .exchange else { return false }
        state = .tunnel
        return true
    }

    private var isRestTooLong: Bool { !hasBodyEnded && reader.remaining > Self.maximumDiscarded }

    private func writePendingHead() {
        guard isHeadPending else { return }
        isHeadPending = false
        write(loop.out)
    }

    private func write(_ bytes: ByteBuffer) { context?.write(wrapOutboundOut(bytes), promise: nil) }

    /// The answer is sent: on to the next request.
    func next() {
        guard state == .exchange else { return }
        if closesAfter || isDraining || hasInputEnded && pending == nil {
            linger()
            return
        }
        state = .head
        deadline = Monotonic.coarse() &+ loop.door.times.keepAlive
    }

    /// Says that nothing more will come once all is written, and reads on for a moment: closing at once with bytes unread would
    /// reset the connection, and the answer with it (RFC 9112, section 9.6).
    func linger() {
        guard state != .lingering, state != .closed, let context else { return }
        state = .lingering
        pending = nil
        deadline = Monotonic.coarse() &+ loop.door.times.bodyIdle
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.assumeIsolated().whenComplete { [weak self] result in self?.wrote(result) }
        context.writeAndFlush(wrapOutboundOut(ByteBuffer()), promise: written)
    }

    private func wrote(_ result: Result<Void, any Error>) {
        guard state == .lingering, let context else { return }
        guard case .success = result, !hasInputEnded, !connection.isEncrypted else {
            close()
            return
        }
        deadline = Monotonic.coarse() &+ Self.lingering
        context.close(mode: .output, promise: nil)
    }
}
