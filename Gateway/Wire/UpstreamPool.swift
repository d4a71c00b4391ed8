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
    private(set) var open = 0

    init(_ replica: Replica, _ pools: UpstreamPools) {
        self.replica = replica
        self.pools = pools
        eventLoop = pools.eventLoop
        deadlines = pools.deadlines
    }

    var idleCount: Int { idle.count }

    func head() -> ResponseHead { pools.loop.responseHead() }
    func giveBack(_ head: ResponseHead) { pools.loop.giveBack(head) }

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

    func removed(_ connection: UpstreamConnection) {
        open -= 1
        if let index = idle.lastIndex(where: { $0 === connection }) { idle.remove(at: index) }
    }

    /// Opens a connection; on the event loop. The answer comes on the event loop too.
    func connect(within limit: UInt64, _ answer: @escaping (Result<UpstreamConnection, any Error>) -> Void) {
        open += 1
        let connection = UpstreamConnection(replica, in: self)
        let bound = NIOLoopBound((self, connection, answer), eventLoop: eventLoop)
        ClientBootstrap(group: eventLoop)
            .connectTimeout(.nanoseconds(Int64(limit)))
            .channelOption(.socketOption(.so_keepalive), value: 1)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelOption(.writeBufferWaterMark, value: .init(low: 65_536, high: 262_144))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value.1) }
            }
            .connect(host: replica.host, port: replica.port)
            .whenComplete { result in
                let (pool, connection, answer) = bound.value
                switch result {
                case .success: answer(.success(connection))
                case .failure(let error):
                    if !connection.isDead { pool.open -= 1 }
                    answer(.failure(error))
                }
            }
    }

    func closeIdle() {
        let all = idle
        idle = []
        for connection in all { connection.close() }
    }
}

/// The pools of one event loop.
final class UpstreamPools {
    let eventLoop: any EventLoop
    let deadlines: Deadlines
    unowned(unsafe) let loop: Loop
    private var pools: [ObjectIdentifier: UpstreamPool] = [:]
    private(set) var isClosing = false

    init(_ loop: Loop) {
        self.loop = loop
        eventLoop = loop.eventLoop
        deadlines = loop.deadlines
    }

    func pool(for replica: Replica) -> UpstreamPool {
        if let pool = pools[ObjectIdentifier(replica)] { return pool }
        let pool = UpstreamPool(replica, self)
        pools[ObjectIdentifier(replica)] = pool
        return pool
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
