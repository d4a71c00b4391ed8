import Contracts
import Logging
import NIOCore
import NIOPosix
import ServiceKit
import ServiceLifecycle

/// The public door as a part of the program: event loops, each with all it needs, and the listener that gives them connections.
final class GatewayServer: Service {
    private let door: Door
    private let settings: Listener.Settings
    private let threads: Int
    private let onListening: @Sendable (Int) -> Void
    private let edge: @Sendable (Listener) -> Void
    private let logger: Logger

    init(
        _ door: Door, settings: Listener.Settings, threads: Int, logger: Logger, edge: @escaping @Sendable (Listener) -> Void,
        onListening: @escaping @Sendable (Int) -> Void
    ) {
        self.door = door
        self.settings = settings
        self.threads = threads
        self.logger = logger
        self.edge = edge
        self.onListening = onListening
    }

    func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: threads)
        var made: [ObjectIdentifier: NIOLoopBound<Loop>] = [:]
        // Connections that are still open when the event loops end look for what is theirs once more.
        defer { withExtendedLifetime(made) {} }
        do {
            for eventLoop in group.makeIterator() {
                made[ObjectIdentifier(eventLoop)] = try await eventLoop.submit { [door] in
                    let loop = Loop(eventLoop, door: door)
                    loop.start()
                    return NIOLoopBound(loop, eventLoop: eventLoop)
                }.get()
            }
            try await serve(group, made)
        } catch {
            try? await group.shutdownGracefully()
            throw error
        }
        try await group.shutdownGracefully()
    }

    private func serve(_ group: MultiThreadedEventLoopGroup, _ loops: [ObjectIdentifier: NIOLoopBound<Loop>]) async throws {
        let listener = try Listener(
            settings, group: group,
            makers: .init(
                http1: { facts, channel in ClientConnection(Self.loop(loops, channel.eventLoop), facts) },
                exchanges: { eventLoop in Self.loop(loops, eventLoop) }),
            logger: logger)
        edge(listener)
        let ports = try await listener.open()
        logger.notice(
            "listening", metadata: ["port": "\(ports.plain)", "tlsPort": "\(ports.tls.map(String.init) ?? "none")", "loops": "\(threads)"])
        onListening(ports.plain)
        let watching = listener.certificates.map { certificates in Task { await certificates.watch() } }
        try? await gracefulShutdown()
        watching?.cancel()
        await listener.drain()
        for loop in loops.values { _ = try? await loop.eventLoop.submit { loop.value.stop() }.get() }
    }

    /// Each connection stays with the event loop that accepted it.
    private static func loop(_ loops: [ObjectIdentifier: NIOLoopBound<Loop>], _ eventLoop: (any EventLoop)?) -> Loop {
        guard let eventLoop, let loop = loops[ObjectIdentifier(eventLoop)] else {
            preconditionFailure("a connection was opened on an event loop that is not the gateway's")
        }
        return loop.value
    }
}
