import Crypto
import Foundation
import Testing

@testable import GatewayService

/// That the harness itself does what its names say.
@Suite("The faulty upstream")
struct FaultyUpstreamTests {
    private func with<T>(_ body: (FaultyUpstream) async throws -> T) async throws -> T {
        let upstream = try await FaultyUpstream.start()
        do {
            let result = try await body(upstream)
            await upstream.kill()
            return result
        } catch {
            await upstream.kill()
            throw error
        }
    }

    private func ask(
        _ fault: Fault, _ query: String = "", body: String = "", until expected: String = "", on upstream: FaultyUpstream
    ) async throws -> String {
        let head = [
            "POST /api/v1/content/fault/\(fault.rawValue)\(query) HTTP/1.1", "Host: localhost", "Content-Length: \(body.utf8.count)",
        ]
        let socket = try RawSocket(port: upstream.port)
        try await socket.send(head.joined(separator: "\r\n") + "\r\n\r\n" + body)
        guard expected.isEmpty else { return try await socket.receive(until: expected) }
        try await eventually("it is asked") { upstream.counters.requests(of: fault) == 1 }
        return String(decoding: try await socket.receiveAll(patience: .milliseconds(500)).bytes, as: UTF8.self)
    }

    private func ask(_ fault: Fault, _ query: String = "", body: String = "", port: Int) async throws -> String {
        let head = [
            "POST /api/v1/content/fault/\(fault.rawValue)\(query) HTTP/1.1", "Host: localhost", "Content-Length: \(body.utf8.count)",
        ]
        let connection = try RawConnection(port: port)
        connection.send(head.joined(separator: "\r\n") + "\r\n\r\n" + body)
        return try await connection.receive(patience: .milliseconds(500))
    }

    @Test(
        "Faults send what they say",
        arguments: [
            (Fault.silence, ""), (.closeAtOnce, ""), (.resetAtOnce, ""), (.headThenHang, "Content-Length: 100\r\n\r\n"),
            (.earlyHints, "HTTP/1.1 103 Early Hints"), (.trailers, "X-Rows: 2"), (.twoAnswers, "firstHTTP/1.1 200 OK"),
            (.badChunk, "zz\r\n"),
            (.count, "{\"bytes\": 4, \"sha256\": \"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}"),
            (.echo, "\r\n\r\ntest"),
            (.events, "data: event 4\n\n"), (.head, "content-length: 4"), (.halfClose, "last words"), (.late, "late"),
            (.status, "HTTP/1.1 503"),
        ])
    func says(fault: Fault, expected: String) async throws {
        try await with { upstream in
            let answer = try await ask(fault, body: "test", until: expected, on: upstream)
            #expect(expected.isEmpty ? answer.isEmpty : answer.contains(expected), "\(answer)")
            #expect(upstream.counters.connections == 1)
            #expect(upstream.counters.requests(of: fault) == 1)
        }
    }

    @Test("Each name in a path is known, and every fault does something")
    func all() async throws {
        try await with { upstream in
            for fault in Fault.allCases {
                let connection = try RawConnection(port: upstream.port)
                connection.send("GET /api/v1/content/fault/\(fault.rawValue)?count=1&ms=1 HTTP/1.1\r\nHost: x\r\n\r\n")
                try await eventually("\(fault) is asked for") { upstream.counters.requests(of: fault) >= 1 }
                withExtendedLifetime(connection) {}
            }
        }
    }

    @Test("Bodies are as long as asked for, and their digest is known")
    func bodies() async throws {
        try await with { upstream in
            let socket = try RawSocket(port: upstream.port)
            try await socket.send("GET /fault/body?bytes=200000 HTTP/1.1\r\nHost: x\r\n\r\n")
            let body = try await socket.receiveAll(patience: .milliseconds(500)).bytes.suffix(200_000)
            #expect(FaultScripts.hex(SHA256.hash(data: Data(body))) == FaultScripts.digest(ofPattern: 200_000))
        }
    }

    @Test("Flaky ones fail so often as asked for, by key")
    func flaky() async throws {
        try await with { upstream in
            var answers: [String] = []
            for query in ["?key=a&failures=2", "?key=a&failures=2&status=502", "?key=a&failures=2", "?key=b&failures=1"] {
                answers.append(try await ask(.flaky, query, port: upstream.port))
            }
            #expect(answers[0].isEmpty && answers[3].isEmpty)
            #expect(answers[1].hasPrefix("HTTP/1.1 502") && answers[2].hasSuffix("at last"))
        }
    }

    @Test("A WebSocket sends back, answers pings and closes")
    func webSocket() async throws {
        try await with { upstream in
            let fields = [
                "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
            ]
            let socket = try RawSocket(port: upstream.port)
            try await socket.send("GET /fault/websocket HTTP/1.1\r\n" + fields.joined(separator: "\r\n") + "\r\n\r\n")
            #expect(try await socket.receive(until: "\r\n\r\n").contains("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="))
            // "Hello", masked and not (RFC 6455, section 5.7), and a ping and a close without anything in them.
            try await socket.send([0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58])
            #expect(try await socket.receive() == [0x81, 0x05, 0x48, 0x65, 0x6C, 0x6C, 0x6F])
            try await socket.send([0x89, 0x80, 1, 2, 3, 4])
            #expect(try await socket.receive() == [0x8A, 0x00])
            try await socket.send([0x88, 0x80, 1, 2, 3, 4])
            #expect(try await socket.receiveAll() == ([0x88, 0x00], true))
        }
    }

    @Test("Killed, it leaves nobody waiting and comes back on its port")
    func killed() async throws {
        let upstream = try await FaultyUpstream.start()
        let connection = try RawConnection(port: upstream.port)
        connection.send("GET /fault/silence HTTP/1.1\r\nHost: x\r\n\r\n")
        try await eventually("the request is there") { upstream.counters.requests.count == 1 }
        await upstream.kill()
        #expect(try await connection.receive(patience: .seconds(5)).isEmpty)
        #expect(upstream.counters.open == 0)
        #expect(throws: RawConnection.Refused.self) { try RawConnection(port: upstream.port) }
        let again = try await FaultyUpstream.start(port: upstream.port)
        #expect(again.port == upstream.port)
        await again.kill()
    }
}
