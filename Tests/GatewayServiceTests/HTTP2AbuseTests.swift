import Synchronization
import Testing

@testable import GatewayService

@Suite("Abuse of HTTP/2")
struct HTTP2AbuseTests {
    typealias Frame = FrameClient.Frame

    /// GOAWAY's codes (RFC 9113, section 7).
    static let protocolError: UInt32 = 1
    static let calm: UInt32 = 11

    static func edge(_ change: (inout HTTP2Limits) -> Void = { _ in }) -> EdgeSettings {
        var limits = HTTP2Limits()
        change(&limits)
        return EdgeSettings(http2Cleartext: true, http2: limits, openingSeconds: 2)
    }

    /// Whether others are served as if nothing had been.
    static func expectWell(_ booth: EdgeBooth) async throws {
        let client = try await FrameClient(port: booth.ports.plain)
        try await client.request(1, "/none")
        #expect(try await client.answer(1).status == 204)
    }

    @Test("Requests that are taken back at once, again and again, end the connection (CVE-2023-44487)")
    func rapidReset() async throws {
        try await EdgeBooth.with(Self.edge { $0.resetBurst = 50 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            var bytes: [UInt8] = []
            for stream in stride(from: UInt32(1), to: 1_000, by: 2) {
                let block = FrameClient.block(FrameClient.request("/never"))
                bytes += FrameClient.frame(Frame.headers, flags: 5, stream: stream, payload: block)
                bytes += FrameClient.frame(Frame.reset, stream: stream, payload: FrameClient.bytes(8))
            }
            try await client.socket.send(bytes)
            #expect(try await client.end())
            #expect(client.goAways.contains { $0.code != 0 })
            let begun = booth.record.all.filter { $0 == "begin /never" }.count
            #expect(begun < 100)
            #expect(booth.record.all.filter { $0 == "gone /never" }.count == begun)
            try await Self.expectWell(booth)
        }
    }

    @Test("Frames that make us reset streams, again and again, end the connection (CVE-2025-8671)")
    func madeReset() async throws {
        try await EdgeBooth.with(Self.edge { $0.resetBurst = 50 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            var bytes: [UInt8] = []
            for stream in stride(from: UInt32(1), to: 1_000, by: 2) {
                let block = FrameClient.block(FrameClient.request("/never"))
                bytes += FrameClient.frame(Frame.headers, flags: 5, stream: stream, payload: block)
                // A window update of nothing is an error of the stream.
                bytes += FrameClient.frame(Frame.windowUpdate, stream: stream, payload: FrameClient.bytes(0))
            }
            try await client.socket.send(bytes)
            #expect(try await client.end())
            #expect(client.goAways.contains { $0.code != 0 })
            #expect(booth.record.all.filter { $0 == "begin /never" }.count < 200)
            try await Self.expectWell(booth)
        }
    }

    @Test("Broken answers of services are not held against the client")
    func ownResets() async throws {
        try await EdgeBooth.with(Self.edge { $0.resetBurst = 5 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            for stream in stride(from: UInt32(1), to: 60, by: 2) {
                try await client.request(stream, "/abort")
                #expect(try await client.answer(stream).reset == 2)
            }
            #expect(client.goAways.isEmpty && booth.counters.calmed.load(ordering: .relaxed) == 0)
        }
    }

    @Test("A head without end in CONTINUATION frames ends the connection (CVE-2024-27316)")
    func continuations() async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            let part = FrameClient.block([("x-long", String(repeating: "a", count: 200))])
            var bytes = FrameClient.frame(Frame.headers, flags: 1, stream: 1, payload: FrameClient.block(FrameClient.request("/none")))
            for _ in 0..<10_000 { bytes += FrameClient.frame(Frame.continuation, stream: 1, payload: part) }
            try await client.socket.send(bytes)
            #expect(try await client.end())
            #expect(!booth.record.all.contains("begin /none"))
            try await Self.expectWell(booth)
        }
    }

    @Test("A head that grows beyond all limits while it is unpacked is refused, and the next request is served")
    func bomb() async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            // A field of 4,000 bytes in the table, and then one byte for each time that it is meant.
            var block = FrameClient.block(FrameClient.request("/none"))
            let value = [UInt8](repeating: 97, count: 3_900)
            block += [0x40, 1, 120, 127, UInt8((3_900 - 127) % 128 + 128), UInt8((3_900 - 127) / 128)] + value
            block += [UInt8](repeating: 0x80 | 62, count: 8_000)
            try await client.send(Frame.headers, flags: 5, stream: 1, payload: block)
            let answer = try await client.answer(1)
            #expect(answer.status == 431 && answer.isWhole)
            #expect(booth.record.all.contains("refuse headTooLarge"))
            try await client.request(3, "/none")
            #expect(try await client.answer(3).status == 204)
        }
    }

    @Test(
        "Floods of frames that carry nothing end the connection",
        arguments: [
            FrameClient.frame(Frame.ping, payload: [UInt8](repeating: 0, count: 8)), FrameClient.frame(Frame.settings),
            FrameClient.frame(Frame.priority, stream: 1, payload: [0, 0, 0, 0, 1]),
        ])
    func floods(_ frame: [UInt8]) async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            let many = Array(repeatElement(frame, count: 5_000).joined())
            try await client.socket.send(many)
            #expect(try await client.end())
            try await Self.expectWell(booth)
        }
    }

    @Test("A flood of empty DATA frames ends the connection (CVE-2019-9518)")
    func emptyData() async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/count", method: "POST", ends: false)
            try await client.socket.send(Array(repeatElement(FrameClient.frame(Frame.data, stream: 1), count: 5_000).joined()))
            #expect(try await client.end())
            #expect(client.goAways.last?.code == Self.calm)
        }
    }

    @Test("Requests beyond those allowed at once are refused to a client that cannot know, and end the connection of one that does")
    func concurrency() async throws {
        try await EdgeBooth.with(Self.edge { $0.concurrentStreams = 4 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain, acknowledges: false)
            for stream in stride(from: UInt32(1), to: 9, by: 2) { try await client.request(stream, "/never") }
            try await client.request(9, "/none")
            // REFUSED_STREAM: nothing was done with it.
            #expect(try await client.answer(9).reset == 7)
            try await client.send(Frame.reset, stream: 1, payload: FrameClient.bytes(8))
            try await client.request(11, "/none")
            #expect(try await client.answer(11).status == 204)
            try await client.send(Frame.settings, flags: 1)
            try await client.request(13, "/never")
            try await client.request(15, "/never")
            #expect(try await client.end())
            #expect(client.goAways.last?.code == Self.protocolError)
        }
    }

    @Test("A connection's requests are numbered; at the last it is told to come again")
    func requests() async throws {
        try await EdgeBooth.with(Self.edge { $0.requests = 3 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            for stream in [UInt32(1), 3, 5] {
                try await client.request(stream, "/none")
                #expect(try await client.answer(stream).status == 204)
            }
            #expect(try await client.end())
            #expect(client.goAways.last?.code == 0 && client.goAways.last?.last == 5)
        }
    }

    @Test("A client that takes no byte of its answer, or a few, loses its stream", arguments: [UInt32(0), 100])
    func stalled(_ window: UInt32) async throws {
        try await EdgeBooth.with(Self.edge { $0.stallTicks = 2 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain, window: window)
            try await client.request(1, "/bytes/1000000")
            #expect(try await client.answer(1).reset == 8)
            #expect(booth.record.all.contains("gone /bytes/1000000"))
            #expect(booth.counters.stalledStreams.load(ordering: .relaxed) == 1)
        }
    }

    @Test("A client that reads nothing from its socket loses its connection, and holds little until then")
    func neverReads() async throws {
        try await EdgeBooth.with(Self.edge { $0.stallTicks = 2 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain, window: 1 << 30, receiveBuffer: 4_096)
            for stream in stride(from: UInt32(1), to: 20, by: 2) { try await client.request(stream, "/bytes/100000000") }
            try await eventually("the exchanges are told") { booth.record.all.filter { $0.hasPrefix("gone ") }.count == 10 }
            try await eventually("the connection is closed") { booth.counters.open.load(ordering: .relaxed) == 0 }
            let sent = booth.record.all.compactMap { $0.hasPrefix("sent ") ? Int($0.dropFirst(5)) : nil }.max() ?? 0
            #expect(sent < 20_000_000)
        }
    }

    @Test("A body that does not come is given up")
    func slowBody() async throws {
        try await EdgeBooth.with(Self.edge { $0.stallTicks = 2 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/count", method: "POST", body: [1], ends: false)
            #expect(try await client.answer(1).status == 408)
        }
    }

    @Test("A head that does not come to its end ends the connection")
    func slowHead() async throws {
        try await EdgeBooth.with(Self.edge { $0.headTicks = 1 }) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            let block = FrameClient.block(FrameClient.request("/none"))
            try await client.send(Frame.headers, flags: 1, stream: 1, payload: block)
            #expect(try await client.end())
            #expect(booth.record.all.isEmpty)
        }
    }

    @Test(
        "Malformed requests reach no exchange",
        arguments: [
            [(":method", "GET"), (":scheme", "http"), (":path", "/none")],
            [(":method", "GET"), (":authority", "a"), (":path", "/none")],
            [(":method", "CONNECT"), (":authority", "a:1")],
            FrameClient.request("/none", [("Upper", "a")]), FrameClient.request("/none", [("connection", "close")]),
            FrameClient.request("/none", [("transfer-encoding", "chunked")]), FrameClient.request("/none", [("te", "gzip")]),
            FrameClient.request("/none", [("x", "a\r\nb: c")]), FrameClient.request("/none", [("content-length", "5")]),
            FrameClient.request("/none", [("content-length", "1, 1")]), FrameClient.request("none"),
            FrameClient.request("/none", [("host", "other.test")]), FrameClient.request("/none", [(":path", "/again")]),
            FrameClient.request("/none", method: "CONNECT", [(":protocol", "websocket")]),
        ])
    func malformed(_ fields: [(String, String)]) async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.send(Frame.headers, flags: 5, stream: 1, payload: FrameClient.block(fields))
            #expect(try await client.answer(1).reset == Self.protocolError)
            #expect(booth.record.all.isEmpty)
            try await client.request(3, "/none")
            #expect(try await client.answer(3).status == 204)
        }
    }

    @Test("Bodies longer or shorter than they were said to be break their stream", arguments: [("3", 4), ("5", 4)])
    func lengths(_ said: String, _ count: Int) async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            let body = [UInt8](repeating: 1, count: count)
            try await client.request(1, "/count", method: "POST", [("content-length", said)], body: body)
            #expect(try await client.answer(1).reset == Self.protocolError)
            #expect(booth.record.all.contains("gone /count"))
        }
    }

    @Test("Whatever bytes come, the listener goes on")
    func fuzz() async throws {
        try await EdgeBooth.with(Self.edge()) { booth in
            var random = SystemRandomNumberGenerator()
            let good =
                FrameClient.frame(Frame.settings)
                + FrameClient.frame(
                    Frame.headers, flags: 4, stream: 1, payload: FrameClient.block(FrameClient.request("/echo", method: "POST")))
                + FrameClient.frame(Frame.data, flags: 1, stream: 1, payload: [1, 2, 3])
                + FrameClient.frame(Frame.headers, flags: 5, stream: 3, payload: FrameClient.block(FrameClient.request("/bytes/1000")))
            for _ in 0..<300 {
                var bytes = good
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
                }
                let socket = try RawSocket(port: booth.ports.plain)
                try await socket.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + bytes)
                if Bool.random(using: &random) { socket.armReset() }
            }
            try await Self.expectWell(booth)
            try await eventually("all of them are gone") { booth.counters.open.load(ordering: .relaxed) == 0 }
        }
    }

    @Test("Beyond the connections that are allowed at once, further ones are closed at once")
    func tooMany() async throws {
        try await EdgeBooth.with(Self.edge(), connections: 2) { booth in
            let first = try await FrameClient(port: booth.ports.plain)
            let second = try await FrameClient(port: booth.ports.plain)
            try await first.request(1, "/none")
            try await second.request(1, "/none")
            #expect(try await first.answer(1).status == 204)
            #expect(try await second.answer(1).status == 204)
            let third = try RawSocket(port: booth.ports.plain)
            #expect(try await third.receiveAll().ended)
            #expect(booth.counters.refused.load(ordering: .relaxed) == 1 && booth.counters.open.load(ordering: .relaxed) == 2)
        }
    }
}
