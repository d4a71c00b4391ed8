import Contracts
import DevStack
import Foundation
import Redis
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

/// Long answers and tunnels end when their session does, and when nothing moves in them any more.
@Suite("The end of streams", .serialized)
struct StreamEndTests {
    private static let webSocket = [
        "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
    ]

    @Test("Events and tunnels of a session that is ended end with it, others go on", arguments: [true, false])
    func revoked(isTunnel: Bool) async throws {
        try await FaultTown.with(["TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "60000"]) { town in
            let person = TestTenant().editor, other = TestTenant().editor
            let theirs = try await Self.begin(town, person, isTunnel), others = try await Self.begin(town, other, isTunnel)
            let redis = Redis(try RedisConfiguration(url: town.town.redis.url), logger: quiet)
            let running = Task { try await redis.run() }
            defer { running.cancel() }
            try await Revocations(redis: redis, logger: quiet).revoke(
                [.session(person.session)], at: Date(), tokensExpire: Date().addingTimeInterval(120))
            #expect(try await theirs.drain(patience: .seconds(5)).ended)
            if isTunnel { try await others.send([0x89, 0x80, 1, 2, 3, 4]) }
            #expect(try await others.receive(patience: .seconds(3))?.isEmpty == false, "another's goes on")
            try await eventually("the log says why") { town.town.log.all.contains { $0.contains("session-ended") } }
        }
    }

    @Test("A tunnel in which nothing moves ends; one that is used goes on")
    func idleTunnel() async throws {
        try await FaultTown.with { town in
            let still = try await Self.begin(town, nil, true), used = try await Self.begin(town, nil, true)
            let start = ContinuousClock.now
            var pongs = 0
            while ContinuousClock.now - start < .seconds(3) {
                try await used.send([0x89, 0x80, 1, 2, 3, 4])
                if try await used.receive(patience: .seconds(1)) == [0x8A, 0x00] { pongs += 1 }
                try await Task.sleep(for: .milliseconds(200))
            }
            #expect(pongs >= 8)
            #expect(try await still.drain(patience: .milliseconds(200)).ended)
        }
    }

    @Test("A client that ends its half of a tunnel is let go of, and what it used is nobody's who comes next")
    func halfClosed() async throws {
        try await FaultTown.with { town in
            for _ in 0..<10 {
                let tunnel = try await Self.begin(town, nil, true)
                let open = town.upstream.counters.open
                tunnel.endOutput()
                #expect(try await tunnel.receiveAll(patience: .seconds(5)).ended, "the gateway closes its side too")
                try await eventually("the upstream's side ends") { town.upstream.counters.open < open }
                try await town.expectWell("after a tunnel")
            }
        }
    }

    @Test("Tunnels that end are no failures of their service, however they end")
    func notBlamed() async throws {
        try await FaultTown.with { town in
            for reset in [false, true] {
                var tunnels: [RawSocket] = []
                for _ in 0..<30 { tunnels.append(try await Self.begin(town, nil, true)) }
                await town.upstream.cutConnections(reset: reset)
                for tunnel in tunnels { #expect(try await tunnel.receiveAll(patience: .seconds(5)).ended) }
                for _ in 0..<5 { try await town.expectWell("after thirty tunnels that were cut") }
            }
        }
    }

    private static func begin(_ town: FaultTown, _ person: TestPerson?, _ isTunnel: Bool) async throws -> RawSocket {
        let socket = try RawSocket(port: town.town.port)
        var token: [String] = []
        if let person { token = ["Authorization: Bearer \(try await person.token())"] }
        try await socket.send(
            isTunnel ? FaultTown.request(.websocket, "", webSocket + token) : FaultTown.request(.events, "?count=0&ms=300", token))
        #expect(try await socket.receive(until: "\r\n\r\n").hasPrefix(isTunnel ? "HTTP/1.1 101" : "HTTP/1.1 200"))
        return socket
    }
}
