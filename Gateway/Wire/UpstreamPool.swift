import Contracts
import NIOCore
import NIOPosix

/// The connections of one event loop to one replica: those that wait for the next request, the last used first.
final class UpstreamPool {
    /// Kept shorter than the services' own, so that not they but we end an idle connection.
    static let keepAlive = 45 * Monotonic.second
    /// Connections that wait; more are closed.
    static let maximumIdle = 512

    let replica: Replica
    let deadlines: Deadlines
    private let eventLoop: any EventLoop
    private unowned(unsafe) let pools: UpstreamPools
    private var idle: [UpstreamConnection] = []
    /// Connections that stand or are being opened, one for each call of `connect`, however many addresses it tries.
    private(set) var open = 0

    init(_ replica: Replica, _ pools: UpstreamPools) {
        self.replica = replica
        self.pools = pools
        eventLoop = pools.eventLoop
        deadlines = pools.deadlines
    }

    func head() -> ResponseHead { pools.responseHead() }
    func giveBack(_ head: ResponseHead) { pools.giveBack(head) }

    /// A connection that waits and is still there.
    func take() -> UpstreamConnection? {
        while let connection = idle.popLast() {
            if connection.isAlive { return connection }
        }
        return nil
    }

    func putBack(_ connection: UpstreamConnection) {
        guard idle.count < Self.maximumIdle, !pools.isClosing, connection.isAlive else {
            connection.close()
            return
        }
        connection.deadline = Monotonic.coarse() &+ Self.keepAlive
        idle.append(connection)
    }

    /// Whether the replica has as many connections as it may have from this event loop.
    func isFull(_ spec: UpstreamSpec) -> Bool { open >= spec.connections(ofLoops: pools.loops) }

    func removed(_ connection: UpstreamConnection) {
        guard connection.isEstablished else { return }
        open -= 1
        if let index = idle.lastIndex(where: { $0 === connection }) { idle.remove(at: index) }
    }

    /// Opens a connection; on the event loop. The answer comes on the event loop too.
    func connect(within limit: UInt64, _ answer: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        open += 1
        let bound = NIOLoopBound((self, answer), eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .resolver(pools.resolver)
            .connectTimeout(.nanoseconds(Int64(limit)))
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: .init(low: 65_536, high: 262_144))
            // A name may have several addresses, and each is tried by a channel of its own.
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let pool = bound.value.0
                    try channel.pipeline.syncOperations.addHandler(UpstreamConnection(pool.replica, in: pool))
                }
            }
            .connect(host: replica.host, port: replica.port)
            .whenComplete { result in
                let (pool, answer) = bound.value
                answer(Result { try pool.established(result.get()) })
            }
    }

    private func established(_ channel: @autoclosure () throws -> any Channel) throws -> UpstreamConnection {
        do {
            let connection = try channel().pipeline.syncOperations.handler(type: UpstreamConnection.self)
            // It may have ended before anybody heard that it stands.
            guard connection.isAlive else { throw ChannelError.eof }
            connection.isEstablished = true
            return connection
        } catch {
            open -= 1
            throw error
        }
    }

    func closeIdle() {
        let all = idle
        idle = []
        for connection in all { connection.close() }
    }
}

/// The pools of one event loop, with heads of answers to be used again.
final class UpstreamPools {
    /// Heads kept for the next answer.
    private static let maximumSpareHeads = 256

    let eventLoop: any EventLoop
    let deadlines: Deadlines
    /// How many event loops there are: each has its part of a replica's connections.
    let loops: Int
    /// Nil: names are looked up as the system does.
    let resolver: (any Resolver & Sendable)?
    private var pools: [ObjectIdentifier: UpstreamPool] = [:]
    private var spareHeads: [ResponseHead] = []
    private(set) var isClosing = false

    init(_ eventLoop: any EventLoop, deadlines: Deadlines, loops: Int, resolver: (any Resolver & Sendable)? = nil) {
        self.eventLoop = eventLoop
        self.deadlines = deadlines
        self.loops = loops
        self.resolver = resolver
    }

    func pool(for replica: Replica) -> UpstreamPool {
        if let pool = pools[ObjectIdentifier(replica)] { return pool }
        let pool = UpstreamPool(replica, self)
        pools[ObjectIdentifier(replica)] = pool
        return pool
    }

    func responseHead() -> ResponseHead { spareHeads.popLast() ?? ResponseHead(limits: .standard) }

    func giveBack(_ head: ResponseHead) {
        head.reset()
        guard spareHeads.count < Self.maximumSpareHeads else { return }
        spareHeads.append(head)
    }

    /// Ends what waits for replicas that are no more.
    func keep(_ replicas: Set<ObjectIdentifier>) {
        for (id, pool) in pools where !replicas.contains(id) {
            pool.closeIdle()
            // Exchanges that still run hold their connections; those close when they come back and find no place.
            if pool.open == 0 { pools[id] = nil }
        }
    }

    func close() {
        isClosing = true
        for pool in pools.values { pool.closeIdle() }
    }
}
