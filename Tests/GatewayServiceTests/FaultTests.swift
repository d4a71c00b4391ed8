import DevStack
import Foundation
import Testing

@testable import GatewayService

/// What upstreams do wrong, and what the gateway makes of it. Few faults to a gateway, so that its breaker stays closed.
@Suite("Faults of upstreams", .serialized)
struct FaultTests {
    /// Never an answer: the client gets a 503 that says when to come again, in time.
    @Test(
        "No answer, or none that is HTTP, becomes a 503",
        arguments: [
            [Fault.silence, .deaf, .halfHead], [.closeAtOnce, .resetAtOnce, .halfCloseAtOnce], [.notHTTP, .nul, .bareLF],
            [.spacedColon, .folded, .twoLengths], [.switching, .hugeHeaders, .endlessHead],
        ])
    func noAnswer(faults: [Fault]) async throws {
        try await FaultTown.with { town in
            for fault in faults {
                let start = ContinuousClock.now
                let answer = try await town.ask(fault, method: "POST", body: "x")
                #expect(answer.status == 503, "\(fault): \(answer.head)")
                #expect(answer.field("content-type") == "application/problem+json", "\(fault)")
                #expect(answer.field("retry-after") != nil, "\(fault)")
                #expect(answer.isWhole && answer.text.contains("dependency-unavailable"), "\(fault): \(answer.text)")
                #expect(ContinuousClock.now - start < .seconds(15), "\(fault)")
                #expect(town.upstream.counters.requests(of: fault) == 1, "\(fault): a POST is sent once")
                try await town.expectWell("after \(fault)")
            }
        }
    }

    @Test(
        "An answer that breaks off is broken for the client too, and never taken for whole",
        arguments: [
            [Fault.headThenHang, .dieMidBody, .resetMidBody], [.dieMidChunk, .noLastChunk, .shortBody],
            [.badChunk, .hugeChunk, .longChunk],
        ])
    func brokenOff(faults: [Fault]) async throws {
        try await FaultTown.with { town in
            for fault in faults {
                let answer = try await town.ask(fault)
                #expect([0, 200, 503].contains(answer.status), "\(fault): \(answer.head)")
                #expect(answer.status == 503 || !answer.isWhole, "\(fault): \(answer.head)\(answer.text)")
                #expect(answer.hasEnded, "\(fault): the connection must not be left open")
                try await town.expectWell("after \(fault)")
            }
        }
    }

    @Test("What an upstream sends beyond its answer reaches nobody", arguments: [Fault.twoAnswers, .longBody, .bodyOn204, .bodyOnHead])
    func surplus(fault: Fault) async throws {
        try await FaultTown.with(["TRIONEX_GATEWAY_LOOPS": "1"]) { town in
            for _ in 0..<5 {
                let method = fault == .bodyOnHead ? "HEAD" : "GET"
                let answer = try await town.ask(fault, method: method)
                #expect(answer.status == (fault == .bodyOn204 ? 204 : 200) && answer.isWhole)
                #expect(answer.rest.isEmpty, "\(String(decoding: answer.rest, as: UTF8.self))")
                try await town.expectWell("after \(fault)")
            }
        }
    }

    @Test("Correct answers of every form come through whole")
    func forms() async throws {
        try await FaultTown.with { town in
            let expected: [(Fault, String)] = [
                (.late, "late"), (.halfClose, "last words"), (.closeAfter, "bye"), (.sayClose, "bye"), (.early, "early"),
                (.earlyHints, "hinted"), (.trailers, "hello"), (.untilClose, "until the end"), (.http10, "of old"), (.trickleHead, "hello"),
                (.trickle, String(repeating: "t", count: 50)),
            ]
            for (fault, text) in expected {
                let answer = try await town.ask(fault, fault == .trickleHead ? "?ms=2" : "")
                #expect(answer.status == 200 && answer.text == text && answer.isWhole, "\(fault): \(answer)")
            }
            let hinted = try await town.ask(.earlyHints)
            #expect(hinted.interim == [103] && hinted.head.contains("</b.js>"), "\(hinted.head)")
            let trailed = try await town.ask(.trailers, "", ["TE: trailers"])
            #expect(trailed.trailers.lowercased().contains("x-rows: 2"), "\(trailed)")
        }
    }

    @Test("A length and chunks together are never passed on as they came")
    func lengthAndChunks() async throws {
        try await FaultTown.with { town in
            let answer = try await town.ask(.lengthAndChunks)
            #expect(answer.status == 503 || answer.text == "hello" && answer.isWhole)
            #expect(answer.field("transfer-encoding") == nil || answer.field("content-length") == nil)
            try await town.expectWell("after a length and chunks")
        }
    }

    @Test("A request waits for 100 Continue only where one is wanted", arguments: [Fault.expectContinue, .noContinue, .refuseContinue])
    func expectations(fault: Fault) async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            let body = String(repeating: "b", count: 1_000)
            try await socket.send(
                "POST \(FaultTown.path(fault)) HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n"
            )
            let first = try await socket.receive(until: "\r\n\r\n", patience: .seconds(2))
            if first.hasPrefix("HTTP/1.1 100") { try await socket.send(body) }
            let (bytes, ended) = try await socket.receiveAll()
            let answer = RawAnswer(Array(first.utf8) + bytes, ended: ended)
            if fault == .refuseContinue {
                #expect([417, 503].contains(answer.status), "\(answer.head)")
            } else {
                #expect(answer.status == 200 && answer.text.contains("\"bytes\": 1000"), "\(answer.head)\(answer.text)")
            }
        }
    }

    @Test("A reading may be tried again, a writing never after it was sent")
    func retries() async throws {
        try await FaultTown.with { town in
            let read = try await town.ask(.flaky, "?key=read")
            #expect(read.status == 200 && read.text == "at last")
            #expect(town.upstream.counters.requests(of: .flaky) == 2)
            let written = try await town.ask(.flaky, "?key=write", method: "POST", body: "x")
            #expect(written.status == 503)
            #expect(town.upstream.counters.requests(of: .flaky) == 3)
            let status = try await town.ask(.flaky, "?key=status&status=500")
            #expect(status.status == 500, "an answer is an answer")
            #expect(town.upstream.counters.requests(of: .flaky) == 4)
        }
    }

    @Test("With retry: false nothing is sent twice: no reading, no writing with a key, nothing after a stale connection")
    func sentOnce() async throws {
        let scratch = try ScratchDirectory("trionex-sent-once")
        defer { scratch.remove() }
        let file = scratch.path + "/gateway.yaml"
        let rules = [Fault.flaky, .stale].map { "{ match: \(FaultTown.path($0)), retry: false }" }.joined(separator: ", ")
        try Data("routes: [\(rules)]".utf8).write(to: URL(fileURLWithPath: file))
        try await FaultTown.with(["TRIONEX_GATEWAY_FILE": file, "TRIONEX_GATEWAY_LOOPS": "1"]) { town in
            for (count, method) in ["GET", "HEAD", "POST"].enumerated() {
                let fields = method == "POST" ? ["Idempotency-Key: k1"] : []
                let answer = try await town.ask(.flaky, "?key=\(method)", method: method, fields, body: method == "POST" ? "x" : nil)
                #expect(answer.status == 503, "\(method): \(answer.head)")
                #expect(town.upstream.counters.requests(of: .flaky) == count + 1, "\(method)")
            }
            #expect(try await town.ask(.stale).status == 200)
            #expect(try await town.ask(.stale).status == 503, "its connection had been kept, and was reset")
        }
    }

    @Test(
        "A writing that carries a key is sent again with its body, framed as it came",
        arguments: ["Content-Length: 4", "Transfer-Encoding: chunked"])
    func keyed(framing: String) async throws {
        try await FaultTown.with { town in
            let body = framing.hasPrefix("Content") ? "data" : "4\r\ndata\r\n0\r\n\r\n"
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                "POST \(FaultTown.path(.flaky, "?key=keyed")) HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k1\r\n\(framing)\r\n\r\n\(body)"
            )
            #expect(try await socket.receive(until: "at last").hasPrefix("HTTP/1.1 200"))
            #expect(town.upstream.counters.requests(of: .flaky) == 2)
            try await eventually("the body came with it") { town.upstream.counters.receivedBytes == 4 }
            try await socket.send(FaultTown.request(.echo, method: "POST", body: "next"))
            #expect(try await socket.receive(until: "next").hasPrefix("HTTP/1.1 200"))
        }
    }

    @Test("A kept connection that the upstream closes just then fails no reading")
    func stale() async throws {
        try await FaultTown.with(["TRIONEX_GATEWAY_LOOPS": "1"]) { town in
            for round in 0..<30 {
                let answer = try await town.ask(round % 2 == 0 ? .stale : .closeAfter)
                #expect(answer.status == 200, "round \(round): \(answer.head)")
            }
        }
    }

    @Test("An upstream killed in the midst of an answer, and back again")
    func killed() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(FaultTown.request(.infinite))
            _ = try await socket.drain(most: 1_000_000)
            await town.upstream.kill()
            let (_, ended) = try await socket.drain(patience: .seconds(5))
            #expect(ended, "the client sees the end")
            let away = try await town.ask(.echo, method: "POST", body: "x")
            #expect(away.status == 503 && away.field("retry-after") != nil)
            let again = try await FaultyUpstream.start(port: town.upstream.port)
            try await eventually("served again") { try await town.ask(.echo, method: "POST", body: "x").status == 200 }
            await again.kill()
        }
    }

    @Test("An upstream that refuses uploads early is heard, and the client is not left hanging")
    func earlyRefusal() async throws {
        try await FaultTown.with { town in
            for _ in 0..<5 {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send(
                    "POST \(FaultTown.path(.earlyRefusal)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\n")
                try await socket.send(String(repeating: "u", count: 100_000))
                let (bytes, ended) = try await socket.receiveAll()
                let answer = RawAnswer(bytes, ended: ended)
                #expect([413, 503].contains(answer.status), "\(answer.head)")
                #expect(ended)
            }
        }
    }

    @Test("While the breaker is open, its callers are told for how long")
    func retryAfter() async throws {
        let scratch = try ScratchDirectory("trionex-retry-after")
        defer { scratch.remove() }
        let file = scratch.path + "/gateway.yaml"
        try Data("upstreams: { content: { breaker: { base: 40s, cap: 40s } } }".utf8).write(to: URL(fileURLWithPath: file))
        try await FaultTown.with(["TRIONEX_GATEWAY_FILE": file]) { town in
            let first = try await town.ask(.resetAtOnce, method: "POST", body: "x")
            #expect(first.status == 503 && first.field("retry-after") == "2", "while it is closed nothing is known")
            for _ in 0..<30 { _ = try await town.ask(.resetAtOnce, method: "POST", body: "x") }
            let refused = try await town.ask(.echo, method: "POST", body: "x")
            let seconds = try #require(refused.field("retry-after").flatMap { Int($0) })
            #expect(refused.status == 503 && (3...40).contains(seconds), "\(refused.head)")
        }
    }

    @Test("While a service fails wholly, its callers are told at once, and are served soon after it is back")
    func breaker() async throws {
        try await FaultTown.with { town in
            await town.upstream.kill()
            for _ in 0..<30 { _ = try await town.ask(.echo, method: "POST", body: "x") }
            let refused = try await town.ask(.echo, method: "POST", body: "x")
            #expect(refused.status == 503 && refused.field("retry-after") != nil)
            let again = try await FaultyUpstream.start(port: town.upstream.port)
            try await eventually("served again") { try await town.ask(.echo, method: "POST", body: "x").status == 200 }
            await again.kill()
        }
    }
}
