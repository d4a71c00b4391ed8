import Contracts
import Foundation
import Logging
import NIOCore
import NIOPosix
import ServiceKit

/// Everything of one event loop: scratch buffers, heads to be used again, connections to upstreams, verified identities.
/// Nothing of it is shared, so nothing of it is locked.
final class Loop {
    /// Heads and exchanges kept for the next request.
    private static let spares = 256

    let eventLoop: any EventLoop
    let door: Door
    let deadlines = Deadlines()
    let identities: Identities
    let visitors = Visitors()
    private(set) lazy var upstreams = UpstreamPools(eventLoop, deadlines: deadlines, loops: door.settings.eventLoops)
    let compressors = CompressorPool()
    let telemetry: LoopTelemetry
    /// Where heads are written; taken by the next write.
    var out: ByteBuffer
    private(set) var policy: Policy
    /// `CRLF`.
    let lineEnd = ByteBuffer(staticString: "\r\n")
    /// `Date: …` with its CRLF, of this second.
    private(set) var dateLine: [UInt8] = []
    private var dateSecond = 0
    private var spareExchanges: [Exchange] = []
    private let headLimits: HeadLimits
    private var spareRequests: [RequestHead] = []
    private var random: UInt64
    private var ticks: RepeatedTask?
    /// Exchanges whose answer goes on for long: looked at when somebody's session was ended.
    private var streams: [ObjectIdentifier: Exchange] = [:]
    private var seenRevocations = 0

    init(_ eventLoop: any EventLoop, door: Door) {
        self.eventLoop = eventLoop
        self.door = door
        out = ByteBufferAllocator().buffer(capacity: 4_096)
        identities = Identities(verifier: door.verifier)
        policy = Policy(door.routing.current, door.groups)
        telemetry = LoopTelemetry(door.log, door.metrics)
        headLimits = HeadLimits(bytes: door.maximumHeader)
        random = UInt64.random(in: 1 ... .max) | 1
        refreshDate()
    }

    /// Begins the ticks that time-outs are told by.
    func start() {
        let loop = NIOLoopBound(self, eventLoop: eventLoop)
        ticks = eventLoop.scheduleRepeatedTask(initialDelay: Deadlines.tick, delay: Deadlines.tick) { _ in loop.value.tick() }
    }

    func stop() {
        ticks?.cancel()
        upstreams.close()
    }

    private func tick() {
        let now = Monotonic.now()
        deadlines.look(now)
        door.groups.tick(now: now)
        refreshDate()
        followPolicy()
        let revocations = door.revocations.generation
        if revocations != seenRevocations {
            seenRevocations = revocations
            for exchange in streams.values { exchange.checkSession() }
        }
    }

    /// Takes what is in force now; costs one atomic read where nothing has changed.
    @inline(__always)
    func followPolicy() {
        if door.routing.generation != policy.generation { takePolicy() }
    }

    private func takePolicy() {
        policy = Policy(door.routing.current, door.groups)
        upstreams.keep(Set(door.groups.all.flatMap(\.replicas).map(ObjectIdentifier.init)))
    }

    private func refreshDate() {
        let second = WallClock.seconds()
        guard second != dateSecond else { return }
        dateSecond = second
        dateLine = Array("Date: \(HTTPDate.text(second))\r\n".utf8)
    }

    // MARK: What is used again

    func requestHead() -> RequestHead { spareRequests.popLast() ?? RequestHead(limits: headLimits) }

    func giveBack(_ head: RequestHead) {
        head.reset()
        guard spareRequests.count < Self.spares else { return }
        spareRequests.append(head)
    }

    func exchange(for client: any ClientSide) -> Exchange {
        let exchange = spareExchanges.popLast() ?? Exchange(self)
        exchange.open(client)
        return exchange
    }

    func giveBack(_ exchange: Exchange) {
        guard spareExchanges.count < Self.spares else { return deadlines.remove(exchange) }
        spareExchanges.append(exchange)
    }

    /// The size line of a chunk with its CRLF.
    func chunkLine(_ count: Int) -> ByteBuffer {
        var line = ByteBufferAllocator().buffer(capacity: 18)
        line.writeHexadecimal(count)
        line.writeStaticString("\r\n")
        return line
    }

    // MARK: Open connections

    func opened(_ connection: ClientConnection) { deadlines.add(connection) }
    func closed(_ connection: ClientConnection) { deadlines.remove(connection) }

    // MARK: Long answers

    /// From now on the exchange ends when its session does.
    func watch(_ exchange: Exchange) {
        guard !exchange.isWatched else { return }
        exchange.isWatched = true
        streams[ObjectIdentifier(exchange)] = exchange
        // It may have ended since it was looked at, which was when the request came.
        exchange.checkSession()
    }
    func unwatch(_ exchange: Exchange) {
        guard exchange.isWatched else { return }
        exchange.isWatched = false
        streams[ObjectIdentifier(exchange)] = nil
    }

    // MARK: Random numbers

    /// Not for secrets: ids of requests and spans (wyrand).
    @inline(__always)
    func nextRandom() -> UInt64 {
        random &+= 0xa076_1d64_78bd_642f
        let product = random.multipliedFullWidth(by: random ^ 0xe703_7ed1_a0b4_28db)
        return product.high ^ product.low
    }
}
