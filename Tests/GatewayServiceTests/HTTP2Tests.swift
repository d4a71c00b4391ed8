import Synchronization
import Testing

@testable import GatewayService

@Suite("HTTP/2")
struct HTTP2Tests {
    @Test("The limits of the connection are told first")
    func settings() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/none")
            #expect(try await client.answer(1).status == 204)
            #expect(client.settings[3] == 128)
            #expect(client.settings[4] == 256 << 10)
            #expect(client.settings[6] == 32_768)
            #expect(client.windows[0] == (1 << 20) - 65_535)
        }
    }

    @Test("A request reaches its exchange as one of HTTP/1.1 does, and its answer comes back without what belongs to that version")
    func request() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/head", [("cookie", "a=1"), ("x-own", "b"), ("cookie", "c=2")])
            let answer = try await client.answer(1)
            #expect(answer.text == "GET /head HTTP/1.1\r\nhost: edge.test\r\nx-own: b\r\ncookie: a=1; c=2\r\n\r\n")
            #expect(answer.status == 200 && answer.isWhole && answer.reset == nil)
            #expect(answer.field("content-type") == "text/plain" && answer.field("x-empty") == "" && answer.field("keep-alive") == nil)
            #expect(answer.field("content-length") == String(answer.body.count))
        }
    }

    @Test("HEAD, 204 and 103 are told as they are")
    func withoutBody() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/head", method: "HEAD")
            let head = try await client.answer(1)
            #expect(head.status == 200 && head.body.isEmpty && head.isWhole && head.field("content-length") != nil)
            try await client.request(3, "/none")
            let none = try await client.answer(3)
            #expect(none.status == 204 && none.body.isEmpty && none.isWhole && none.field("content-length") == nil)
            try await client.request(5, "/hints")
            let hinted = try await client.answer(5)
            #expect(hinted.interim == [103] && hinted.status == 200 && hinted.text == "hinted")
            #expect(hinted.field("link") == "</style.css>; rel=preload")
        }
    }

    @Test("Answers of a megabyte come whole, with their trailers, within the windows of the client")
    func download() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            for stream in [UInt32(1), 3, 5] { try await client.request(stream, "/bytes/1000000") }
            for stream in [UInt32(1), 3, 5] {
                let answer = try await client.answer(stream)
                #expect(answer.body.count == 1_000_000 && answer.isWhole)
                #expect(answer.trailers.map(\.name) == ["x-sum"] && answer.trailers.first?.value == "1000000")
            }
        }
    }

    @Test("More than the client's window is not sent, and the service is held back meanwhile")
    func window() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain, window: 1_000)
            try await client.request(1, "/bytes/1000000")
            while (client.answers[1]?.body.count ?? 0) < 1_000, try await client.next() != nil {}
            #expect(try await client.next(patience: .milliseconds(200)) == nil)
            let sent = booth.record.all.compactMap { $0.hasPrefix("sent ") ? Int($0.dropFirst(5)) : nil }.last ?? 0
            #expect(sent <= HTTP2Limits().streamBuffer + 65_536)
            try await client.send(FrameClient.Frame.windowUpdate, payload: FrameClient.bytes(2_000_000))
            try await client.send(FrameClient.Frame.windowUpdate, stream: 1, payload: FrameClient.bytes(2_000_000))
            let answer = try await client.answer(1)
            #expect(answer.body.count == 1_000_000 && answer.isWhole)
        }
    }

    @Test("Bodies are passed on as they come and come back whole, with and without a length")
    func echo() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            let body = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
            try await client.request(1, "/echo", method: "POST", [("content-length", "200000")], body: body)
            try await client.request(3, "/echo", method: "POST", body: body)
            for stream in [UInt32(1), 3] {
                let answer = try await client.answer(stream)
                #expect(answer.body == body && answer.isWhole && answer.field("transfer-encoding") == nil)
            }
        }
    }

    @Test("Trailers of a request go on but for those that say something of framing, routing or credentials")
    func trailers() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/count", method: "POST", body: [1, 2, 3], ends: false)
            let block = FrameClient.block([("x-sum", "6"), ("authorization", "Bearer x"), ("host", "other"), ("te", "trailers")])
            try await client.send(FrameClient.Frame.headers, flags: 5, stream: 1, payload: block)
            #expect(try await client.answer(1).text == "3 x-sum: 6\r\n")
        }
    }

    @Test("A client gets its window back as the service reads, and not before")
    func uploadWindow() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/stuck", method: "POST", body: [UInt8](repeating: 1, count: 100_000), ends: false)
            try await client.send(FrameClient.Frame.ping, payload: [UInt8](repeating: 0, count: 8))
            while client.pings == 0, try await client.next() != nil {}
            #expect(client.windows[1] == nil)
            try await client.request(3, "/count", method: "POST", body: [UInt8](repeating: 1, count: 200_000), ends: false)
            while (client.windows[3] ?? 0) < 100_000, try await client.next() != nil {}
            #expect((client.windows[3] ?? 0) >= 100_000)
            try await client.data(3, [1], ends: true)
            #expect(try await client.answer(3).text == "200001 -")
        }
    }

    @Test("More than the window that a client was given ends its connection")
    func windowBroken() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/stuck", method: "POST", body: [UInt8](repeating: 1, count: 300_000), ends: false)
            _ = try await client.answer(1)
            // FLOW_CONTROL_ERROR, of the stream or the connection.
            #expect(client.answers[1]?.reset == 3 || client.goAways.last?.code == 3)
        }
    }

    @Test("A client that holds its body back until it is asked for it is asked once")
    func expectation() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/count", method: "POST", [("expect", "100-continue"), ("content-length", "3")], ends: false)
            while client.answers[1]?.interim.isEmpty != false, try await client.next() != nil {}
            try await client.data(1, [1, 2, 3])
            let answer = try await client.answer(1)
            #expect(answer.interim == [100] && answer.text == "3 -")
            try await client.request(3, "/early", method: "POST", [("expect", "100-continue"), ("content-length", "3")], ends: false)
            let early = try await client.answer(3)
            #expect(early.interim.isEmpty && early.status == 413)
        }
    }

    @Test("An answer before the request's end is whole, and the rest of the request is then called off without blame")
    func early() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/early", method: "POST", body: [UInt8](repeating: 1, count: 10_000), ends: false)
            let answer = try await client.answer(1)
            #expect(answer.status == 413 && answer.isWhole && answer.reset == nil)
            while client.answers[1]?.reset == nil, try await client.next() != nil {}
            #expect(client.answers[1]?.reset == 0)
            try await client.request(3, "/none")
            #expect(try await client.answer(3).status == 204)
        }
    }

    @Test("A client that takes a request back ends its exchange; an exchange that breaks off resets its stream, and no other")
    func resets() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/never")
            try await client.send(FrameClient.Frame.reset, stream: 1, payload: FrameClient.bytes(8))
            try await client.request(3, "/abort")
            #expect(try await client.answer(3).reset == 2)
            try await client.request(5, "/none")
            #expect(try await client.answer(5).status == 204)
            #expect(booth.record.all.contains("gone /never"))
            #expect(!booth.record.all.contains("gone /abort"))
        }
    }

    @Test("A client that goes ends all its exchanges")
    func gone() async throws {
        try await EdgeBooth.with { booth in
            do {
                let client = try await FrameClient(port: booth.ports.plain)
                for stream in stride(from: UInt32(1), to: 20, by: 2) { try await client.request(stream, "/never") }
                try await client.request(21, "/none")
                #expect(try await client.answer(21).status == 204)
            }
            try await eventually("every exchange is told") { booth.record.all.filter { $0 == "gone /never" }.count == 10 }
        }
    }

    @Test("A head in many frames is one head")
    func continuation() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            let block = FrameClient.block(FrameClient.request("/head", [("x-long", String(repeating: "a", count: 5_000))]))
            try await client.send(FrameClient.Frame.headers, flags: 1, stream: 1, payload: Array(block[..<10]))
            try await client.send(FrameClient.Frame.continuation, stream: 1, payload: Array(block[10..<2_000]))
            try await client.send(FrameClient.Frame.continuation, flags: 4, stream: 1, payload: Array(block[2_000...]))
            #expect(try await client.answer(1).text.contains("x-long: aaaa"))
        }
    }

    @Test("HTTP/1.1 is served on the same port, and a preface only where HTTP/2 is allowed without TLS")
    func versions() async throws {
        try await EdgeBooth.with { booth in
            let socket = try RawSocket(port: booth.ports.plain)
            for byte in "PRO".utf8 { try await socket.send([byte]) }
            try await socket.send("PFIND / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await socket.receive(until: "trusted").contains("127.0.0.1 http trusted"))
        }
        try await EdgeBooth.with(EdgeSettings()) { booth in
            let socket = try RawSocket(port: booth.ports.plain)
            try await socket.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
            #expect(try await socket.receive(until: "trusted").hasPrefix("HTTP/1.1"))
        }
    }

    // MARK: Ends

    @Test("A drain lets requests in that are on their way, answers those that run, and closes")
    func drain() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/count", method: "POST", body: [1], ends: false)
            try await eventually("the request has begun") { booth.record.all.contains("begin /count") }
            async let drained: Void = booth.listener.drain()
            while client.goAways.isEmpty, try await client.next() != nil {}
            #expect(client.goAways.first?.last == 0x7FFF_FFFF && client.goAways.first?.code == 0)
            try await client.request(3, "/none")
            #expect(try await client.answer(3).status == 204)
            while client.goAways.count < 2, try await client.next() != nil {}
            #expect(client.goAways.last?.last == 3 && client.goAways.last?.code == 0)
            try await client.data(1, [2])
            #expect(try await client.answer(1).text == "2 -")
            #expect(try await client.end())
            await drained
        }
    }

    @Test("What does not end within the time of the drain is cut off")
    func hardStop() async throws {
        try await EdgeBooth.with(drainSeconds: 1) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/never")
            try await client.request(3, "/none")
            _ = try await client.answer(3)
            await booth.listener.drain()
            #expect(try await client.end())
            #expect(booth.counters.open.load(ordering: .relaxed) == 0)
        }
    }

    @Test("A connection without requests is told to go, and closed")
    func idle() async throws {
        try await EdgeBooth.with(idleSeconds: 1) { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/none")
            _ = try await client.answer(1)
            #expect(try await client.end())
            #expect(client.goAways.last?.code == 0 && client.goAways.last?.last == 1)
        }
    }

    @Test("What is ready when a client ends its half is still sent, and then the connection is closed")
    func halfClosed() async throws {
        try await EdgeBooth.with { booth in
            let client = try await FrameClient(port: booth.ports.plain)
            try await client.request(1, "/bytes/300000")
            client.socket.endOutput()
            #expect(try await client.answer(1).body.count == 300_000)
            #expect(try await client.end())
        }
    }
}
