import NIOCore
import Testing

@testable import GatewayService

/// Streams of HTTP/2 from a client's frames to an upstream that speaks HTTP/1.1, and back.
@Suite("HTTP/2 end to end", .serialized)
struct HTTP2GatewayTests {
    private static func with(_ body: (FaultTown, FrameClient) async throws -> Void) async throws {
        try await FaultTown.with(["TRIONEX_HTTP2_CLEARTEXT": "true"]) { town in
            try await body(town, try await FrameClient(port: town.town.port))
        }
    }

    @Test("Many streams at once get each its own answer")
    func many() async throws {
        try await Self.with { town, client in
            let ids = (0..<60).map { UInt32($0 * 2 + 1) }
            for id in ids {
                try await client.request(
                    id, FaultTown.path(id % 4 == 1 ? .late : .echo, "?ms=200"), method: "POST", body: Array("body \(id)".utf8))
            }
            for id in ids {
                let answer = try await client.answer(id)
                #expect(answer.status == 200 && answer.text == (id % 4 == 1 ? "late" : "body \(id)") && answer.isWhole, "\(id): \(answer)")
            }
        }
    }

    @Test("Bodies of a megabyte both ways, with and without a length, and trailers both ways")
    func bodies() async throws {
        try await Self.with { town, client in
            let body = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13 &+ $0 >> 9) }
            try await client.request(1, FaultTown.path(.body, "?bytes=1000000"))
            #expect(try await client.answer(1).body == Array((0..<1_000_000).map { FaultScripts.pattern.getInteger(at: $0 % 65_536) ?? 0 }))
            // Within the window of a stream, which grows as the upstream reads.
            for (id, fields) in [(UInt32(3), [("content-length", "200000")]), (5, [])] {
                try await client.request(id, FaultTown.path(.echo), method: "POST", fields, body: Array(body[..<200_000]))
                let answer = try await client.answer(id)
                #expect(answer.status == 200 && answer.body == Array(body[..<200_000]), "\(answer.body.count)")
            }
            try await client.request(
                7, FaultTown.path(.echo), method: "POST", [("trailer", "x-sum")], body: Array("hello".utf8), ends: false)
            try await client.send(
                FrameClient.Frame.headers, flags: 5, stream: 7,
                payload: FrameClient.block([("x-sum", "9"), ("x-tenant-id", "3"), ("authorization", "x")]))
            let answer = try await client.answer(7)
            #expect(answer.text == "hello" && answer.trailers.map(\.name) == ["x-sum"], "\(answer)")
            try await client.request(9, FaultTown.path(.trailers))
            #expect(try await client.answer(9).trailers.map(\.value) == ["abc", "2"])
        }
    }

    @Test("The forms of answers: HEAD, 204, 304, hints, and what is refused")
    func forms() async throws {
        try await Self.with { town, client in
            try await client.request(1, FaultTown.path(.body, "?bytes=1000"), method: "HEAD")
            let head = try await client.answer(1)
            #expect(head.status == 200 && head.field("content-length") == "1000" && head.body.isEmpty && head.isWhole)
            for (id, code) in [(UInt32(3), 204), (5, 304)] {
                try await client.request(id, FaultTown.path(.status, "?code=\(code)"))
                let answer = try await client.answer(id)
                #expect(answer.status == code && answer.body.isEmpty && answer.isWhole, "\(answer)")
            }
            try await client.request(7, FaultTown.path(.earlyHints))
            let hinted = try await client.answer(7)
            #expect(hinted.interim == [103] && hinted.text == "hinted", "\(hinted)")
            try await client.request(9, "/nowhere")
            let refused = try await client.answer(9)
            #expect(refused.status == 404 && refused.field("content-type") == "application/problem+json")
            try await client.request(11, FaultTown.path(.head), [("cookie", "a=b"), ("cookie", "c=d"), ("te", "trailers")])
            let told = try await client.answer(11).text
            #expect(
                told.contains("cookie: a=b; c=d\n") && !told.contains("\nte:") && told.contains("x-forwarded-host: edge.test"), "\(told)")
        }
    }

    @Test("A stream that the client takes back ends its request at the upstream, and no other")
    func resets() async throws {
        try await Self.with { town, client in
            try await client.request(1, FaultTown.path(.infinite))
            try await client.request(
                3, FaultTown.path(.count), method: "POST", [("content-length", "100")], body: Array("half".utf8), ends: false)
            try await client.request(5, FaultTown.path(.late, "?ms=500"))
            while client.answers[1]?.body.isEmpty ?? true, try await client.next() != nil {}
            try await eventually("all are under way") {
                town.upstream.counters.receivedBytes == 4 && town.upstream.counters.requests(of: .late) == 1
            }
            let open = town.upstream.counters.open
            for id in [UInt32(1), 3] { try await client.send(FrameClient.Frame.reset, stream: id, payload: FrameClient.bytes(8)) }
            #expect(try await client.answer(5).text == "late")
            try await eventually("the upstream's connections are gone") { town.upstream.counters.open <= open - 2 }
            #expect(town.upstream.counters.brokenRequests == 1)
            try await client.request(7, FaultTown.path(.dieMidBody))
            let broken = try await client.answer(7)
            #expect(broken.status == 200 && broken.reset != nil && !broken.isWhole, "an answer that broke off is not whole")
            try await client.request(9, FaultTown.path(.echo), method: "POST", body: Array("well".utf8))
            #expect(try await client.answer(9).text == "well")
        }
    }
}
