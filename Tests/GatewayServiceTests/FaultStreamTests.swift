import Crypto
import Foundation
import NIOCore
import Testing

@testable import GatewayService
@testable import TestKit

/// Long bodies and connections that go on.
@Suite("Streams through the gateway", .serialized, .alone)
struct FaultStreamTests {
    static let gigabyte = 1_000_000_000

    @Test("1 GB down, in flat memory and not a byte wrong")
    func down() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(FaultTown.request(.body, "?bytes=\(Self.gigabyte)", ["Connection: close"]))
            let before = residentBytes()
            var hash = SHA256(), count = 0, peak = before, head: [UInt8] = []
            while let part = try await socket.receive(1 << 20), !part.isEmpty {
                var body = part[...]
                if count == 0 {
                    head += part
                    guard let end = head.firstRange(of: Array("\r\n\r\n".utf8)) else { continue }
                    body = head[end.upperBound...]
                }
                hash.update(data: body)
                count += body.count
                peak = max(peak, residentBytes())
            }
            #expect(count == Self.gigabyte)
            #expect(FaultScripts.hex(hash.finalize()) == FaultScripts.digest(ofPattern: Self.gigabyte))
            #expect(peak - before < 100_000_000, "\(peak - before)")
        }
    }

    @Test("1 GB up, in flat memory and not a byte wrong", arguments: [true, false])
    func up(hasLength: Bool) async throws {
        try await FaultTown.with(["TRIONEX_MAX_BODY_BYTES": "1000000000"]) { town in
            let socket = try RawSocket(port: town.town.port)
            let framing = hasLength ? "Content-Length: \(Self.gigabyte)" : "Transfer-Encoding: chunked"
            try await socket.send("POST \(FaultTown.path(.count)) HTTP/1.1\r\nHost: localhost\r\n\(framing)\r\nConnection: close\r\n\r\n")
            let before = residentBytes()
            var peak = before, left = Self.gigabyte
            let piece = Array(FaultScripts.pattern.readableBytesView)
            while left > 0 {
                let part = left < piece.count ? Array(piece[..<left]) : piece
                if !hasLength { try await socket.send("\(String(part.count, radix: 16))\r\n") }
                guard try await socket.send(part) == part.count else { break }
                if !hasLength { try await socket.send("\r\n") }
                left -= part.count
                peak = max(peak, residentBytes())
            }
            if !hasLength { try await socket.send("0\r\n\r\n") }
            let answer = try await socket.receive(until: "}")
            #expect(answer.contains("\"bytes\": \(Self.gigabyte)"), "\(answer)")
            #expect(answer.contains(FaultScripts.digest(ofPattern: Self.gigabyte)))
            #expect(peak - before < 100_000_000, "\(peak - before)")
        }
    }

    @Test("An upstream that reads slowly holds the client back")
    func slowReader() async throws {
        let total = 100_000_000
        try await FaultTown.with(["TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "10000", "TRIONEX_MAX_BODY_BYTES": "\(total)"]) { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                "POST \(FaultTown.path(.slowRead, "?ms=200")) HTTP/1.1\r\nHost: localhost\r\n"
                    + "Content-Length: \(total)\r\n\r\n")
            let taken = try await socket.send([UInt8](repeating: 120, count: total), patience: .milliseconds(150))
            // The kernel keeps up to some 6 MB for each socket that reads, and 4 MB for each that writes, on both sides of the gateway.
            #expect(taken < 30_000_000, "\(taken)")
        }
    }

    @Test("A body in chunks arrives however it is cut into packets")
    func splitChunks() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                "POST \(FaultTown.path(.echo)) HTTP/1.1\r\nHost: localhost\r\n"
                    + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n")
            let body = "000b;a=b\r\nhello world\r\n5\r\nagain\r\n0\r\nX-Sum: 9\r\n\r\n"
            for byte in body.utf8 {
                try await socket.send([byte])
                try await Task.sleep(for: .milliseconds(3))
            }
            let (bytes, ended) = try await socket.receiveAll()
            let answer = RawAnswer(bytes, ended: ended)
            #expect(answer.text == "hello worldagain" && answer.isWhole, "\(answer)")
        }
    }

    @Test("A client that ends within a chunk's size line is not waited for")
    func endsWithinChunk() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                "POST \(FaultTown.path(.count)) HTTP/1.1\r\nHost: localhost\r\n"
                    + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1")
            try await eventually("it is under way") { town.upstream.counters.requests(of: .count) == 1 }
            socket.endOutput()
            #expect(try await socket.receiveAll(patience: .seconds(5)).ended)
            try await eventually("the upstream is told") { town.upstream.counters.brokenRequests == 1 }
        }
    }

    @Test("While the upstream does not read, the client's time does not run; when the client stops, it is told so and nobody else blamed")
    func whoseTime() async throws {
        let settings = [
            "TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "20000", "TRIONEX_CLIENT_BODY_SECONDS": "1", "TRIONEX_MAX_BODY_BYTES": "40000000",
        ]
        try await FaultTown.with(settings) { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                "POST \(FaultTown.path(.count, "?first=2500")) HTTP/1.1\r\nHost: localhost\r\n"
                    + "Content-Length: 30000000\r\n\r\n")
            let sent = try await socket.send([UInt8](repeating: 120, count: 30_000_000))
            #expect(sent == 30_000_000)
            #expect(try await socket.receive(until: "}").contains("\"bytes\": 30000000"))
            let slow = try RawSocket(port: town.town.port)
            try await slow.send("POST \(FaultTown.path(.count)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nhello")
            #expect(try await slow.receive(until: "\r\n\r\n", patience: .seconds(5)).hasPrefix("HTTP/1.1 408"))
            try await town.expectWell("after a client that stopped")
        }
    }

    @Test("Trailers of a request, and bodies in chunks, reach the upstream")
    func requestTrailers() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                "POST \(FaultTown.path(.echo)) HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\nTE: trailers\r\n"
                    + "Connection: close, TE\r\n\r\n5;ext=1\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 9\r\n\r\n")
            let (bytes, ended) = try await socket.receiveAll()
            let answer = RawAnswer(bytes, ended: ended)
            #expect(answer.text == "hello world" && answer.isWhole, "\(answer)")
            #expect(answer.trailers.lowercased().contains("x-sum: 9"), "\(answer)")
        }
    }

    @Test("Events arrive as they are sent")
    func events() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(FaultTown.request(.events, "?count=0&ms=200", ["Accept: text/event-stream", "Accept-Encoding: gzip"]))
            var seen = "", arrivals: [ContinuousClock.Instant] = []
            while arrivals.count < 8, let part = try await socket.receive(patience: .seconds(3)), !part.isEmpty {
                seen += String(decoding: part, as: UTF8.self)
                if seen.contains("data: event \(arrivals.count)\n") { arrivals.append(.now) }
            }
            #expect(arrivals.count == 8, "\(seen)")
            if let first = arrivals.first, let last = arrivals.last { #expect(last - first > .milliseconds(900)) }
        }
    }

    @Test("Events that come less often than the idle limit end, others go on beyond every limit but that")
    func idleEvents() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            let start = ContinuousClock.now
            try await socket.send(FaultTown.request(.events, "?count=0&ms=30000"))
            let (_, ended) = try await socket.drain(patience: .seconds(20))
            #expect(ended && ContinuousClock.now - start < .seconds(20))
            let busy = try RawSocket(port: town.town.port)
            try await busy.send(FaultTown.request(.events, "?count=12&ms=250"))
            let (bytes, _) = try await busy.receiveAll(patience: .seconds(2))
            #expect(String(decoding: bytes, as: UTF8.self).contains("event 11"))
        }
    }

    @Test("A WebSocket passes both ways, and its end too")
    func webSocket() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            let fields = [
                "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            ]
            try await socket.send(FaultTown.request(.websocket, "", fields))
            let head = try await socket.receive(until: "\r\n\r\n")
            #expect(head.hasPrefix("HTTP/1.1 101"), "\(head)")
            #expect(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            for _ in 0..<10 {
                try await socket.send([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
                #expect(try await socket.receive() == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
            }
            try await socket.send([0x88, 0x80, 1, 2, 3, 4])
            let (bytes, ended) = try await socket.receiveAll(patience: .seconds(3))
            #expect(bytes == [0x88, 0x00] && ended)
            try await town.expectWell("after a WebSocket")
        }
    }

    @Test("A WebSocket whose client or upstream dies ends on the other side")
    func webSocketDies() async throws {
        try await FaultTown.with { town in
            let fields = [
                "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            ]
            var socket: RawSocket? = try RawSocket(port: town.town.port)
            try await socket?.send(FaultTown.request(.websocket, "", fields))
            #expect(try await socket?.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101") == true)
            let open = town.upstream.counters.open
            socket = nil
            try await eventually("the upstream sees that the client went") { town.upstream.counters.open < open }
            let other = try RawSocket(port: town.town.port)
            try await other.send(FaultTown.request(.websocket, "", fields))
            #expect(try await other.receive(until: "\r\n\r\n").hasPrefix("HTTP/1.1 101"))
            await town.upstream.cutConnections(reset: true)
            #expect(try await other.receiveAll(patience: .seconds(3)).ended)
        }
    }
}
