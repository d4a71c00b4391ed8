import Contracts
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization

/// A connection that can be asked to end: it answers what runs, and closes. Called on its event loop.
protocol Drainable: AnyObject {
    func drain()
    /// Once a second, for time-outs that need no more precision than that.
    func tick()
}

extension Drainable {
    func tick() {}
}

/// What happened at the door, for metrics. Counts only grow, but for `open`.
final class EdgeCounters: Sendable {
    let accepted = Atomic<Int>(0)
    let open = Atomic<Int>(0)
    /// Closed at once, because there were too many.
    let refused = Atomic<Int>(0)
    /// Closed at once, because there were too many from one address.
    let crowded = Atomic<Int>(0)
    /// Without a good PROXY header from a trusted address.
    let badProxies = Atomic<Int>(0)
    let failedHandshakes = Atomic<Int>(0)
    /// Neither PROXY header nor handshake in time.
    let slowOpenings = Atomic<Int>(0)
    /// Connections that broke the rules of HTTP/2 beyond repair.
    let brokenHTTP2 = Atomic<Int>(0)
    let resetStreams = Atomic<Int>(0)
    let stalledStreams = Atomic<Int>(0)
    let stalledConnections = Atomic<Int>(0)
    /// Ended with ENHANCE_YOUR_CALM.
    let calmed = Atomic<Int>(0)
}

/// The public door: takes connections in, and gives each to the event loop and the protocol that it will stay with.
final class Listener: Sendable {
    struct Settings: Sendable {
        let host: String
        /// The plain port; 0 for any.
        let port: Int
        let edge: EdgeSettings
        /// Asked for each new connection: the gateway file may change.
        let trustedProxies: @Sendable () -> [Network]
        let maximumConnections: Int
        let headLimits: HeadLimits
        let idleSeconds: Int
        let drainSeconds: Int

        /// From one address at once.
        var maximumPerAddress: Int {
            edge.connectionsPerAddress > 0 ? edge.connectionsPerAddress : max(AddressCrowds.least, maximumConnections / AddressCrowds.share)
        }
    }

    /// What the connections are made of. Called on the connection's event loop.
    struct Makers: Sendable {
        /// The last handler of an HTTP/1.1 connection. It may be added when the channel is active already.
        let http1: @Sendable (ConnectionFacts, any Channel) -> any ChannelHandler
        /// Asked once for each HTTP/2 connection.
        let exchanges: @Sendable (any EventLoop) -> any ExchangeSource
    }

    struct Ports: Sendable, Equatable {
        let plain: Int
        let tls: Int?
    }

    let counters = EdgeCounters()
    /// Nil without TLS.
    let certificates: TLSCertificates?
    private let settings: Settings
    private let makers: Makers
    private let group: MultiThreadedEventLoopGroup
    private let logger: Logger
    private let loops: [ObjectIdentifier: LoopConnections]
    private let crowds: AddressCrowds
    private let servers = Mutex<[any Channel]>([])

    /// Throws `TLSCertificates.Unusable` where there is TLS without a usable certificate.
    init(_ settings: Settings, group: MultiThreadedEventLoopGroup, makers: Makers, logger: Logger) throws {
        self.settings = settings
        self.makers = makers
        self.group = group
        self.logger = logger
        crowds = AddressCrowds(most: settings.maximumPerAddress)
        certificates = try settings.edge.tls.map { try TLSCertificates($0, logger: logger) }
        var loops: [ObjectIdentifier: LoopConnections] = [:]
        for loop in group.makeIterator() {
            loops[ObjectIdentifier(loop)] = LoopConnections(loop: loop, counters: counters)
        }
        self.loops = loops
    }

    // MARK: Opening

    /// Binds the ports; from then on connections are served.
    func open() async throws -> Ports {
        let plain = try await bind(settings.port, isTLS: false)
        var tls: Int?
        if let wanted = settings.edge.tls {
            do {
                tls = try await bind(wanted.port, isTLS: true)
            } catch {
                for server in servers.withLock({ $0 }) { try? await server.close() }
                throw error
            }
        }
        for loop in loops.values { loop.start() }
        return Ports(plain: plain, tls: tls)
    }

    private func bind(_ port: Int, isTLS: Bool) async throws -> Int {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: true)
            .childChannelOption(.writeBufferWaterMark, value: .init(low: 32 << 10, high: 128 << 10))
            .childChannelInitializer { [self] channel in admit(channel, isTLS: isTLS) }
        let server = try await bootstrap.bind(host: settings.host, port: port).get()
        servers.withLock { $0.append(server) }
        return server.localAddress?.port ?? port
    }

    // MARK: A new connection

    private func admit(_ channel: any Channel, isTLS: Bool) -> EventLoopFuture<Void> {
        counters.accepted.add(1, ordering: .relaxed)
        let open = counters.open.add(1, ordering: .relaxed).newValue
        guard open <= settings.maximumConnections, let loop = loops[ObjectIdentifier(channel.eventLoop)] else {
            counters.open.subtract(1, ordering: .relaxed)
            counters.refused.add(1, ordering: .relaxed)
            return channel.close()
        }
        return channel.eventLoop.makeCompletedFuture {
            loop.admit(channel, ticks: settings.edge.openingSeconds)
            // The only one, as each costs memory for as long as the connection stands.
            channel.closeFuture.whenComplete { [self] _ in
                if let subject = loop.left(channel) { crowds.leave(subject) }
                counters.open.subtract(1, ordering: .relaxed)
            }
            let peer = channel.remoteAddress?.ipAddress
            guard settings.edge.proxyProtocol else { return try begin(channel, loop, peer, wasEncrypted: false, isTLS: isTLS) }
            guard let address = peer.flatMap({ NetworkAddress($0) }), isTrusted(address) else {
                counters.badProxies.add(1, ordering: .relaxed)
                return channel.close(promise: nil)
            }
            try channel.pipeline.syncOperations.addHandler(
                ProxyProtocolHandler(
                    refused: { [counters] in _ = counters.badProxies.add(1, ordering: .relaxed) },
                    proceed: { [self] header in
                        try begin(
                            channel, loop, header.source?.address ?? peer, wasEncrypted: header.source != nil && header.isEncrypted,
                            isTLS: isTLS)
                    }))
        }
    }

    private func isTrusted(_ address: NetworkAddress) -> Bool { settings.trustedProxies().contains { $0.contains(address) } }

    private func begin(
        _ channel: any Channel, _ loop: LoopConnections, _ peer: String?, wasEncrypted: Bool, isTLS: Bool
    ) throws {
        guard hasRoom(channel, loop, for: peer) else {
            counters.crowded.add(1, ordering: .relaxed)
            return channel.close(promise: nil)
        }
        let pipeline = channel.pipeline.syncOperations
        if isTLS, let certificates {
            try TLSReadBuffers.apply(to: channel)
            try pipeline.addHandler(NIOSSLServerHandler(context: certificates.context))
            try pipeline.addHandler(
                NegotiatedProtocol(
                    failed: { [counters] in _ = counters.failedHandshakes.add(1, ordering: .relaxed) },
                    proceed: { [self] isHTTP2 in try serve(channel, loop, peer, isEncrypted: true, isHTTP2: isHTTP2) }))
        } else if settings.edge.http2Cleartext {
            try pipeline.addHandler(
                PrefaceHandler { [self] isHTTP2 in try serve(channel, loop, peer, isEncrypted: wasEncrypted, isHTTP2: isHTTP2) })
        } else {
            try serve(channel, loop, peer, isEncrypted: wasEncrypted, isHTTP2: false)
        }
    }

    /// Counts the connection until it ends. A trusted proxy brings the connections of many; each of them is told apart by its requests.
    private func hasRoom(_ channel: any Channel, _ loop: LoopConnections, for peer: String?) -> Bool {
        guard let address = peer.flatMap({ NetworkAddress($0) }), !isTrusted(address) else { return true }
        let subject = address.limitSubject
        guard crowds.enter(subject) else { return false }
        // It may have ended while its PROXY header was read.
        if !loop.counted(channel, as: subject) { crowds.leave(subject) }
        return true
    }

    /// The protocol is known: the last handler goes in.
    private func serve(_ channel: any Channel, _ loop: LoopConnections, _ peer: String?, isEncrypted: Bool, isHTTP2: Bool) throws {
        let address = peer.flatMap { NetworkAddress($0) }
        let facts = ConnectionFacts(
            peer: address, peerText: peer ?? "unknown", isTrusted: address.map(isTrusted) ?? false, isEncrypted: isEncrypted,
            version: isHTTP2 ? "HTTP/2" : "HTTP/1.1")
        let handler: any ChannelHandler
        if isHTTP2 {
            var limits = settings.edge.http2
            limits.idleTicks = settings.idleSeconds
            handler = HTTP2Connection(
                facts: facts, limits: limits, headLimits: settings.headLimits, workspace: loop.workspace, counters: counters,
                source: makers.exchanges(channel.eventLoop))
        } else {
            handler = makers.http1(facts, channel)
        }
        try channel.pipeline.syncOperations.addHandler(handler)
        loop.opened(channel, handler as? any Drainable)
    }

    // MARK: Ending

    /// Takes no more connections, lets those that are open finish, and closes what is left after the time for that.
    func drain() async {
        let bound = servers.withLock { servers in
            defer { servers = [] }
            return servers
        }
        for server in bound { try? await server.close() }
        for loop in loops.values { loop.drain() }
        await wait(seconds: settings.drainSeconds)
        let left = counters.open.load(ordering: .relaxed)
        if left > 0 { logger.notice("connections closed at the end of their time", metadata: ["connections": "\(left)"]) }
        for loop in loops.values { loop.closeAll() }
        await wait(seconds: 2)
        for loop in loops.values { loop.stop() }
    }

    private func wait(seconds: Int) async {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(seconds)
        while counters.open.load(ordering: .relaxed) > 0, clock.now < end { try? await Task.sleep(for: .milliseconds(20)) }
    }
}
