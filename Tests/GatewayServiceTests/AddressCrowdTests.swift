import Synchronization
import Testing

@testable import GatewayService

@Suite("Connections from one address")
struct AddressCrowdTests {
    private static let request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n"

    /// An HTTP/1.1 connection that was answered; nil when it was closed instead.
    private func enter(_ booth: EdgeBooth, as client: String? = nil) async throws -> RawSocket? {
        let socket = try RawSocket(port: booth.ports.plain)
        if let client { try await socket.send("PROXY \(client.contains(":") ? "TCP6" : "TCP4") \(client) \(client) 50000 443\r\n") }
        try await socket.send(Self.request)
        let answer = try await socket.receive()
        return answer?.isEmpty == false ? socket : nil
    }

    private func crowded(_ booth: EdgeBooth) -> Int { booth.counters.crowded.load(ordering: .relaxed) }

    @Test("Those beyond the bound are closed at once and counted, until one of the others ends")
    func bound() async throws {
        try await EdgeBooth.with(EdgeSettings(connectionsPerAddress: 3), trusted: []) { booth in
            var sockets: [RawSocket] = []
            for _ in 0..<3 { sockets.append(try #require(try await enter(booth))) }
            for count in 1...2 {
                #expect(try await enter(booth) == nil)
                #expect(crowded(booth) == count)
            }
            sockets.removeLast()
            try await eventually("there is room again") { booth.counters.open.load(ordering: .relaxed) == 2 }
            let again = try await enter(booth)
            #expect(again != nil && crowded(booth) == 2)
            #expect(try await enter(booth) == nil, "and for no more than one")
        }
    }

    @Test("Trusted proxies bring many clients, and are not bound")
    func trusted() async throws {
        try await EdgeBooth.with(EdgeSettings(connectionsPerAddress: 1)) { booth in
            var sockets: [RawSocket] = []
            for _ in 0..<5 { sockets.append(try #require(try await enter(booth))) }
            #expect(crowded(booth) == 0)
        }
    }

    @Test("Behind the PROXY protocol those whom it names are told apart, IPv6 by the network of 64 bits")
    func named() async throws {
        try await EdgeBooth.with(EdgeSettings(proxyProtocol: true, connectionsPerAddress: 2)) { booth in
            var sockets: [RawSocket] = []
            for client in ["203.0.113.7", "203.0.113.7", "203.0.113.8", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"] {
                sockets.append(try #require(try await enter(booth, as: client), "\(client)"))
            }
            for client in ["203.0.113.7", "2001:db8::3"] { #expect(try await enter(booth, as: client) == nil, "\(client)") }
            #expect(crowded(booth) == 2 && booth.counters.badProxies.load(ordering: .relaxed) == 0)
        }
    }

    @Test("Nothing is remembered of those who have gone")
    func forgotten() {
        let crowds = AddressCrowds(most: 2)
        for index in 0..<1_000 {
            #expect(crowds.enter("\(index)") && crowds.enter("\(index)") && !crowds.enter("\(index)"))
            crowds.leave("\(index)")
            #expect(crowds.count == 1 && crowds.enter("\(index)"))
            crowds.leave("\(index)")
            crowds.leave("\(index)")
            #expect(crowds.count == 0)
        }
    }

    @Test("Without a number the bound is a tenth of all connections, and never below a hundred")
    func usual() {
        func most(_ all: Int, _ own: Int = 0) -> Int {
            Listener.Settings(
                host: "", port: 0, edge: EdgeSettings(connectionsPerAddress: own), trustedProxies: { [] }, maximumConnections: all,
                headLimits: .standard, idleSeconds: 1, drainSeconds: 1
            ).maximumPerAddress
        }
        #expect(most(10_000) == 1_000 && most(500) == 100 && most(10_000, 7) == 7)
    }
}
