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
    private let task: Task<Void, Never>

    /// The connections that stand, so that they can be cut.
    private final class Standing: Sendable {
        private let channels = Mutex<[ObjectIdentifier: any Channel]>([:])
        func add(_ channel: any Channel) { channels.withLock { $0[ObjectIdentifier(channel)] = channel } }
        func remove(_ channel: any Channel) { channels.withLock { _ = $0.removeValue(forKey: ObjectIdentifier(channel)) } }
        var all: [any Channel] { channels.withLock { Array($0.values) } }
    }

    /// Listens on a free port of 127.0.0.1, or on this one: a killed upstream comes back on its own.
    static func start(port: Int = 0) async throws -> FaultyUpstream {
        let counters = Counters(), standing = Standing()
        let server = try await ServerBootstrap(group: .singletonMultiThreadedEventLoopGroup)
            .serverChannelOption(.backlog, value: 1_024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .bind(host: "127.0.0.1", port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try Connection(
                        wrappingChannelSynchronously: channel,
                        configuration: .init(
                            isOutboundHalfClosureEnabled: true, inboundType: ByteBuffer.self, outboundType: ByteBuffer.self))
                }
            }
        let task = Task {
            // Ends when the listener is closed.
            _ = try? await server.executeThenClose { connections in
                try await withThrowingDiscardingTaskGroup { group in
                    for try await connection in connections {
                        group.addTask { await serve(connection, counters, standing) }
                    }
                }
            }
        }
        return FaultyUpstream(
            port: server.channel.localAddress?.port ?? 0, counters: counters, listener: server.channel, standing: standing, task: task)
    }

    private init(port: Int, counters: Counters, listener: any Channel, standing: Standing, task: Task<Void, Never>) {
        self.port = port
        self.counters = counters
        self.listener = listener
        self.standing = standing
        self.task = task
    }

    private static func serve(_ connection: Connection, _ counters: Counters, _ standing: Standing) async {
        counters.connected()
        standing.add(connection.channel)
        // Every way in which a connection can end is one of its scripts or the peer's doing.
        try? await connection.executeThenClose { inbound, outbound in
            let talk = FaultyConnection(connection.channel, inbound.makeAsyncIterator(), outbound, counters)
            try await talk.run()
        }
        standing.remove(connection.channel)
        counters.disconnected()
    }

    /// As when the process dies: it listens no more and every connection ends, in the midst of whatever it does.
    /// - Parameter reset: by RST, as when data was unread, rather than by FIN.
    func kill(reset: Bool = false) async {
        try? await listener.close()
        await cutConnections(reset: reset)
        task.cancel()
        await task.value
    }

    /// Cuts the connections that stand, and goes on listening.
    func cutConnections(reset: Bool = false) async {
        for channel in standing.all {
            if reset { await FaultyConnection.armReset(channel) }
            try? await channel.close()
        }
    }
}
