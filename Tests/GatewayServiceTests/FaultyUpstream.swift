import Glibc
import NIOCore
import NIOPosix
import Synchronization

/// An upstream that misbehaves as its path says: `/…/fault/<name>?<parameters>`, with the names of `Fault`.
///
/// Any other path is answered well. It speaks through bare sockets, so that it can send what no HTTP library would.
final class FaultyUpstream: Sendable {
    /// What it saw and sent, over all connections.
    final class Counters: Sendable {
        private let accepted = Atomic<Int>(0)
        private let opened = Atomic<Int>(0)
        private let received = Atomic<Int>(0)
        private let written = Atomic<Int>(0)
        private let broken = Atomic<Int>(0)
        private let lines = Mutex<[String]>([])
        private let tries = Mutex<[String: Int]>([:])

        /// Connections taken since the beginning.
        var connections: Int { accepted.load(ordering: .relaxed) }
        /// Connections that stand now.
        var open: Int { opened.load(ordering: .relaxed) }
        /// `GET /path?query` of each request whose head was read, in order.
        var requests: [String] { lines.withLock { $0 } }
        /// Bytes of request bodies, decoded.
        var receivedBytes: Int { received.load(ordering: .relaxed) }
        /// Bytes handed to the sockets; with a peer that does not read, these stop growing.
        var sentBytes: Int { written.load(ordering: .relaxed) }
        /// Requests whose body ended before it was whole.
        var brokenRequests: Int { broken.load(ordering: .relaxed) }

        /// How many requests had this fault.
        func requests(of fault: Fault) -> Int { requests.count { $0.contains("/fault/\(fault.rawValue)") } }

        fileprivate func connected() {
            accepted.wrappingAdd(1, ordering: .relaxed)
            opened.wrappingAdd(1, ordering: .relaxed)
        }
        fileprivate func disconnected() { opened.wrappingSubtract(1, ordering: .relaxed) }
        func note(_ request: FaultRequest) { lines.withLock { $0.append("\(request.method) \(request.target)") } }
        func note(received count: Int) { received.wrappingAdd(count, ordering: .relaxed) }
        func note(sent count: Int) { written.wrappingAdd(count, ordering: .relaxed) }
        func noteBroken() { broken.wrappingAdd(1, ordering: .relaxed) }
        /// How many requests had named this key before.
        func attempt(_ key: String) -> Int {
            tries.withLock { tries in
                defer { tries[key, default: 0] += 1 }
                return tries[key, default: 0]
            }
        }
    }

    typealias Connection = NIOAsyncChannel<ByteBuffer, ByteBuffer>

    let port: Int
    let counters: Counters
    var url: String { "http://127.0.0.1:\(port)" }

    private let listener: any Channel
    private let standing: Standing

    /// The connections that stand, so that they can be cut, each with the task that serves it.
    private final class Standing: Sendable {
        private let connections = Mutex<[ObjectIdentifier: (channel: any Channel, task: Task<Void, Never>)]>([:])
        private let ended = Atomic<Bool>(false)

        /// Serves it from now on. A connection has its task before anybody could drop it: SwiftNIO ends the program when one is dropped unserved.
        func begin(_ connection: Connection, _ serve: @escaping @Sendable () async -> Void) {
            let id = ObjectIdentifier(connection.channel)
            if ended.load(ordering: .acquiring) { connection.channel.close(promise: nil) }
            connections.withLock { connections in
                connections[id] = (
                    connection.channel,
                    Task {
                        await serve()
                        self.connections.withLock { _ = $0.removeValue(forKey: id) }
                    }
                )
            }
        }
        var channels: [any Channel] { connections.withLock { $0.values.map(\.channel) } }
        /// Cuts also what is accepted from now on.
        func refuse() { ended.store(true, ordering: .releasing) }
        func end() async { for task in connections.withLock({ $0.values.map(\.task) }) { await task.value } }
    }

    /// Listens on a free port of 127.0.0.1, or on this one: a killed upstream comes back on its own.
    static func start(port: Int = 0) async throws -> FaultyUpstream {
        let counters = Counters(), standing = Standing()
        let listener = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let connection = try Connection(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(
                            isOutboundHalfClosureEnabled: true, inboundType: ByteBuffer.self, outboundType: ByteBuffer.self))
                    standing.begin(connection) { await serve(connection, counters) }
                }
            }
            .bind(host: "127.0.0.1", port: port).get()
        return FaultyUpstream(port: listener.localAddress?.port ?? 0, counters: counters, listener: listener, standing: standing)
    }

    private init(port: Int, counters: Counters, listener: any Channel, standing: Standing) {
        self.port = port
        self.counters = counters
        self.listener = listener
        self.standing = standing
    }

    private static func serve(_ connection: Connection, _ counters: Counters) async {
        counters.connected()
        // Every way in which a connection can end is one of its scripts or the peer's doing.
        try? await connection.executeThenClose { inbound, outbound in
            let talk = FaultyConnection(connection.channel, inbound.makeAsyncIterator(), outbound, counters)
            try await talk.run()
        }
        counters.disconnected()
    }

    /// As when the process dies: it listens no more and every connection ends, in the midst of whatever it does.
    /// - Parameter reset: by RST, as when data was unread, rather than by FIN.
    func kill(reset: Bool = false) async {
        standing.refuse()
        try? await listener.close()
        await cutConnections(reset: reset)
        await standing.end()
    }

    /// Cuts the connections that stand, and goes on listening.
    func cutConnections(reset: Bool = false) async {
        for channel in standing.channels {
            if reset { await FaultyConnection.armReset(channel) }
            try? await channel.close()
        }
    }
}
