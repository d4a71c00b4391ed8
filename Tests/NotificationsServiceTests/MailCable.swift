import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestKit

/// A cable between the service and the mail server that can be pulled: cut, it refuses connections and ends those there are.
final class MailCable: Sendable {
    let port: Int
    private let target: Int
    private struct State {
        var listener: (any Channel)?
        var connections: [ObjectIdentifier: any Channel] = [:]
    }
    private let state = Mutex(State())

    /// A cable to a port of this machine; it is plugged in.
    static func plug(into target: Int) async throws -> MailCable {
        let cable = try await MailCable(target: target)
        return cable
    }

    private init(target: Int) async throws {
        self.target = target
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).bind(host: "127.0.0.1", port: 0).get()
        port = listener.localAddress?.port ?? 0
        try await listener.close()
        try await mend()
    }

    func mend() async throws {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { [self] inner in
                keep(inner)
                return ClientBootstrap(group: inner.eventLoop)
                    .channelInitializer { outer in
                        outer.eventLoop.makeCompletedFuture { try outer.pipeline.syncOperations.addHandler(Wire(to: inner)) }
                    }
                    .connect(host: "127.0.0.1", port: target)
                    .flatMap { outer in
                        inner.eventLoop.makeCompletedFuture { try inner.pipeline.syncOperations.addHandler(Wire(to: outer)) }
                    }
            }
            .bind(host: "127.0.0.1", port: port).get()
        state.withLock { $0.listener = listener }
    }

    func cut() async {
        let (listener, connections) = state.withLock { state in
            defer { state = State() }
            return (state.listener, state.connections)
        }
        try? await listener?.close()
        for channel in connections.values { try? await channel.close() }
    }

    private func keep(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        state.withLock { $0.connections[id] = channel }
        channel.closeFuture.whenComplete { [self] _ in state.withLock { $0.connections[id] = nil } }
    }
}

/// Hands bytes on to the other end, and its end too.
private final class Wire: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    private let other: any Channel

    init(to other: any Channel) { self.other = other }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { other.writeAndFlush(unwrapInboundIn(data), promise: nil) }
    func channelInactive(context: ChannelHandlerContext) { other.close(promise: nil) }
    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
