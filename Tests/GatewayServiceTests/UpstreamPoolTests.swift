import DevStack
import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import GatewayService

/// A name with these addresses.
private struct Addresses: Resolver, Sendable {
    let eventLoop: any EventLoop
    let hosts: [String]

    func initiateAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> {
        eventLoop.makeCompletedFuture { try hosts.map { try SocketAddress(ipAddress: $0, port: port) } }
    }
    func initiateAAAAQuery(host: String, port: Int) -> EventLoopFuture<[SocketAddress]> { eventLoop.makeSucceededFuture([]) }
    func cancelQueries() {}
}

/// The connections of one event loop to one replica, and nothing else.
private struct PoolBooth: Sendable {
    private struct Parts {
        let pools: UpstreamPools
        let pool: UpstreamPool
    }

    private let eventLoop: any EventLoop
    private let parts: NIOLoopBound<Parts>

    static func with(port: Int, hosts: [String], _ body: (PoolBooth) async throws -> Void) async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1), eventLoop = group.next()
        let parts = try await eventLoop.submit {
            let resolver = Addresses(eventLoop: eventLoop, hosts: hosts)
            let pools = UpstreamPools(eventLoop, deadlines: Deadlines(), loops: 1, resolver: resolver)
            let pool = pools.pool(for: Replica(group: "content", .init(host: "content", port: port)))
            return NIOLoopBound(Parts(pools: pools, pool: pool), eventLoop: eventLoop)
        }.get()
        let result: Result<Void, any Error>
        do { result = .success(try await body(PoolBooth(eventLoop: eventLoop, parts: parts))) } catch { result = .failure(error) }
        try await group.shutdownGracefully()
        // Connections that are still open look for their pool when the event loop ends.
        withExtendedLifetime(parts) {}
        try result.get()
    }

    /// Whether the connection that was opened is one to use.
    func connect() async throws -> Bool {
        let promise = eventLoop.makePromise(of: Bool.self)
        eventLoop.execute {
            parts.value.pool.connect(within: 5 * Monotonic.second) { promise.completeWith($0.map(\.isAlive)) }
        }
        return try await promise.futureResult.get()
    }

    func open() async throws -> Int { try await eventLoop.submit { parts.value.pool.open }.get() }
}

@Suite("Connections to a replica")
struct UpstreamPoolTests {
    @Test("Where a name has two addresses and one does not answer, the other is used, and counts once")
    func twoAddresses() async throws {
        let upstream = try await FaultyUpstream.start()
        try await PoolBooth.with(port: upstream.port, hosts: ["127.0.0.2", "127.0.0.1"]) { booth in
            for count in 1...3 {
                #expect(try await booth.connect())
                #expect(try await booth.open() == count)
            }
            await upstream.kill()
            try await eventually("they are gone") { try await booth.open() == 0 }
        }
    }

    @Test("A connection that could not be opened is not counted, whatever the number of addresses", arguments: [1, 2])
    func refused(addresses: Int) async throws {
        let port = try Ports.free()
        try await PoolBooth.with(port: port, hosts: Array(["127.0.0.2", "127.0.0.3"].prefix(addresses))) { booth in
            for _ in 0..<3 { await #expect(throws: (any Error).self) { try await booth.connect() } }
            // What the failed channels still have to say is said by then.
            for _ in 0..<20 {
                let open = try await booth.open()
                #expect(open == 0)
            }
        }
    }

    @Test("A service at localhost that listens on 127.0.0.1 alone is reached by the first request")
    func localhost() async throws {
        let upstream = try await FaultyUpstream.start()
        try await FaultTown.with(["TRIONEX_CONTENT_URL": "http://localhost:\(upstream.port)", "TRIONEX_GATEWAY_LOOPS": "1"]) { town in
            for _ in 0..<3 { try await town.expectWell("at localhost") }
            #expect(upstream.counters.connections > 0)
        }
        await upstream.kill()
    }

    @Test("Tunnels take no more than a replica's connections; what comes beyond is refused, and nobody is blamed")
    func full() async throws {
        let scratch = try ScratchDirectory("trionex-full-pool")
        defer { scratch.remove() }
        let file = scratch.path + "/gateway.yaml"
        // With two places and no queue, places that were not given back would be missed.
        let text = """
            routes: [{ match: GET \(FaultTown.path(.websocket)), upgrade: true }]
            upstreams:
              content: { connections: 3, concurrency: { floor: 2, initial: 2, ceiling: 2 }, queue: { capacity: 0, retryAfter: 7s } }
            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: file))
        // Tunnels in which nothing moves must not end by themselves meanwhile.
        let settings = ["TRIONEX_GATEWAY_FILE": file, "TRIONEX_GATEWAY_LOOPS": "1", "TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "120000"]
        try await FaultTown.with(settings) { town in
            var tunnels: [RawSocket] = []
            for _ in 0..<3 {
                let socket = try RawSocket(port: town.town.port)
                let fields = [
                    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
                ]
                try await socket.send(FaultTown.request(.websocket, "", fields))
                #expect(try await socket.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101"))
                tunnels.append(socket)
            }
            for _ in 0..<30 {
                let refused = try await town.ask(.echo, method: "POST", body: "x")
                #expect(refused.status == 503 && refused.text.contains("overloaded"), "\(refused.head)")
                #expect(refused.field("retry-after") == "7")
            }
            #expect(town.upstream.counters.requests(of: .echo) == 0)
            tunnels.removeLast()
            try await eventually("there is room again") { try await town.ask(.echo, method: "POST", body: "x").status == 200 }
            for _ in 0..<5 { try await town.expectWell("beside two tunnels") }
        }
    }
}
