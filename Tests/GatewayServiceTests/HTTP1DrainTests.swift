import Testing

@testable import GatewayService

/// The end of the program: what runs is finished, what is idle is closed at once, and nothing new begins.
@Suite("Drain", .serialized)
struct HTTP1DrainTests {
    private static func started(_ town: FaultTown, _ fault: Fault, _ count: Int) async throws {
        try await eventually("\(count) are under way") { town.upstream.counters.requests(of: fault) == count }
    }

    @Test("Idle connections do not keep the program, over either version of HTTP")
    func idle() async throws {
        try await FaultTown.with(["TRIONEX_HTTP_DRAIN_SECONDS": "20", "TRIONEX_HTTP2_CLEARTEXT": "true"]) { town in
            var sockets: [RawSocket] = []
            for index in 0..<20 {
                let socket = try RawSocket(port: town.town.port)
                if index > 0 {
                    try await socket.send(FaultTown.request(.echo, method: "POST", body: "x"))
                    _ = try await socket.receive(until: "\r\n\r\nx")
                }
                sockets.append(socket)
            }
            let modern = try await FrameClient(port: town.town.port)
            try await modern.request(1, FaultTown.path(.echo), method: "POST", body: Array("x".utf8))
            #expect(try await modern.answer(1).text == "x")
            let start = ContinuousClock.now
            await town.town.beginStop()
            for socket in sockets { #expect(try await socket.receive(patience: .seconds(8)) == []) }
            // As clients do, it answers the PING by which it is known to have read the GOAWAY before it.
            while let frame = try await modern.next(patience: .seconds(8)) {
                if frame.type == FrameClient.Frame.ping, frame.flags & 1 == 0 {
                    try await modern.send(FrameClient.Frame.ping, flags: 1, payload: frame.payload)
                }
                if modern.goAways.count == 2 { break }
            }
            #expect(modern.goAways.map(\.code) == [0, 0] && modern.goAways.last?.last == 1, "\(modern.goAways)")
            modern.socket.endOutput()
            await town.town.ended()
            let time = ContinuousClock.now - start
            #expect(time < .seconds(15), "\(time)")
        }
    }

    @Test("Answers under way are finished, say that they are the last, and no connection is taken meanwhile")
    func running() async throws {
        try await FaultTown.with([
            "TRIONEX_HTTP_DRAIN_SECONDS": "20", "TRIONEX_HTTP2_CLEARTEXT": "true", "TRIONEX_UPSTREAM_FIRST_BYTE_MILLISECONDS": "5000",
        ]) { town in
            let late = try RawSocket(port: town.town.port)
            // Another request is behind it already, which a client may send again: it was told so.
            try await late.send(FaultTown.request(.late, "?ms=1000") + FaultTown.request(.echo, method: "POST", body: "again"))
            let upload = try RawSocket(port: town.town.port)
            try await upload.send("POST \(FaultTown.path(.count)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst")
            let download = try RawSocket(port: town.town.port)
            try await download.send(FaultTown.request(.trickle, "?count=50&ms=20"))
            _ = try await download.receive(until: "\r\n\r\n")
            let modern = try await FrameClient(port: town.town.port)
            try await modern.request(1, FaultTown.path(.late, "?ms=1000"))
            try await Self.started(town, .late, 2)
            try await Self.started(town, .count, 1)
            let start = ContinuousClock.now
            await town.town.beginStop()
            try await eventually("no connection is taken") { (try? RawSocket(port: town.town.port)) == nil }
            try await upload.send("other")
            let counted = try await upload.receiveAll(patience: .seconds(5))
            let count = RawAnswer(counted.bytes, ended: counted.ended)
            #expect(
                count.text.contains("\"bytes\": 10") && count.isWhole && count.field("connection") == "close" && count.hasEnded, "\(count)")
            let finished = try await late.receiveAll(patience: .seconds(5))
            let last = RawAnswer(finished.bytes, ended: finished.ended)
            #expect(last.text == "late" && last.field("connection") == "close" && last.hasEnded && last.rest.isEmpty, "\(last)")
            let (bytes, ended) = try await download.receiveAll(patience: .seconds(5))
            #expect(bytes.count { $0 == UInt8(ascii: "t") } >= 45 && ended, "\(bytes.count)")
            let answer = try await modern.answer(1)
            #expect(answer.status == 200 && answer.text == "late" && modern.goAways.first?.code == 0, "\(answer)")
            modern.socket.endOutput()
            await town.town.ended()
            let time = ContinuousClock.now - start
            // These clients do not close their side, and are given a moment to do so.
            #expect(time < .seconds(15), "\(time)")
        }
    }

    @Test("What does not end is cut off after its time")
    func endless() async throws {
        try await FaultTown.with(["TRIONEX_HTTP_DRAIN_SECONDS": "2"]) { town in
            let events = try RawSocket(port: town.town.port)
            try await events.send(FaultTown.request(.events, "?count=0&ms=50"))
            _ = try await events.receive(until: "event 3")
            let start = ContinuousClock.now
            await town.town.beginStop()
            #expect(try await events.drain(patience: .seconds(15)).ended)
            let cut = ContinuousClock.now - start
            #expect(cut > .seconds(1.5) && cut < .seconds(15), "\(cut)")
            await town.town.ended()
            #expect(ContinuousClock.now - start < .seconds(20))
        }
    }
}
