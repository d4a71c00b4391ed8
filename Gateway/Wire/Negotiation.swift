import NIOCore
import NIOTLS

/// Waits behind TLS for the handshake's end, adds the handler of the protocol that was agreed on, and goes.
final class NegotiatedProtocol: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var isDone = false
    private let failed: () -> Void
    private let proceed: (_ isHTTP2: Bool) throws -> Void

    init(failed: @escaping () -> Void, proceed: @escaping (_ isHTTP2: Bool) throws -> Void) {
        self.failed = failed
        self.proceed = proceed
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard !isDone, case TLSUserEvent.handshakeCompleted(let agreed) = event else {
            return context.fireUserInboundEventTriggered(event)
        }
        isDone = true
        do {
            try proceed(agreed == "h2")
        } catch {
            return context.close(promise: nil)
        }
        // Whatever the client sent behind its handshake comes to the handler that was just added.
        context.pipeline.syncOperations.removeHandler(context: context, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isDone { return context.fireErrorCaught(error) }
        isDone = true
        failed()
        context.close(promise: nil)
    }
}

/// Tells HTTP/2 without TLS from HTTP/1.1 by the first bytes of its preface, adds the handler, and goes.
final class PrefaceHandler: FirstBytesHandler {
    typealias InboundIn = ByteBuffer

    /// No method of HTTP/1.1 is `PRI`, and none will be (RFC 9113, section 11.6).
    private static let preface = Array("PRI ".utf8)

    private var held = ByteBuffer()
    private(set) var isDone = false
    private let proceed: (_ isHTTP2: Bool) throws -> Void

    init(proceed: @escaping (_ isHTTP2: Bool) throws -> Void) { self.proceed = proceed }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if isDone { return context.fireChannelRead(data) }
        var bytes = unwrapInboundIn(data)
        held.writeBuffer(&bytes)
        let isHTTP2 = zip(held.readableBytesView, Self.preface).allSatisfy { $0 == $1 }
        guard !isHTTP2 || held.readableBytes >= Self.preface.count else { return }
        isDone = true
        do {
            try proceed(isHTTP2)
        } catch {
            return context.close(promise: nil)
        }
        let all = held
        held = ByteBuffer()
        context.fireChannelRead(NIOAny(all))
    }
}

/// Looks at the first bytes of a connection, and goes once it has seen enough.
protocol FirstBytesHandler: ChannelInboundHandler, RemovableChannelHandler {
    /// Whether it has seen enough.
    var isDone: Bool { get }
}

extension FirstBytesHandler {
    func channelReadComplete(context: ChannelHandlerContext) {
        context.fireChannelReadComplete()
        if isDone { context.pipeline.syncOperations.removeHandler(context: context, promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // Nobody is behind us who could care that the client will say no more.
        if !isDone, case ChannelEvent.inputClosed = event { return context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        if isDone { context.fireErrorCaught(error) } else { context.close(promise: nil) }
    }
}
