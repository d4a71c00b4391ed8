import Crypto
import Foundation
import NIOCore

/// How each fault answers.
enum FaultScripts {
    /// What bodies are made of, over and over.
    static let pattern = ByteBuffer(bytes: (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8) })

    /// SHA-256 of the first `count` bytes of the pattern, in hex.
    static func digest(ofPattern count: Int) -> String {
        var hash = SHA256(), left = count
        while left > 0 {
            hash.update(data: pattern.readableBytesView.prefix(left))
            left -= min(left, pattern.readableBytes)
        }
        return hex(hash.finalize())
    }

    static func hex(_ digest: SHA256Digest) -> String { digest.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() }

    static func answer(_ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After {
        guard let fault = request.fault else {
            try await plain(request, to)
            return .keep
        }
        if let after = try await cut(fault, request, to) { return after }
        if let after = try await connection(fault, request, to) { return after }
        if let after = try await framing(fault, request, to) { return after }
        return try await bodies(fault, request, to)
    }

    /// What a service that is well says.
    private static func plain(_ request: FaultRequest, _ to: FaultyConnection) async throws {
        while try await to.bodyPart() != nil {}
        let paths = ["fault/{name}", "open"].map { path in
            let operations = ["get", "put", "post", "delete"].map { "\"\($0)\": {\"security\": []}" }
            return "\"/api/v1/content/\(path)\": {\(operations.joined(separator: ", "))}"
        }
        let text =
            request.path == "/openapi.json"
            ? "{\"openapi\": \"3.1.0\", \"paths\": {\(paths.joined(separator: ", "))}}" : "{\"target\": \"\(request.target)\"}"
        try await to.answer("200 OK", ["Content-Type: application/json"], request.method == "HEAD" ? "" : text)
    }

    // MARK: - Never, late or cut short

    private static func cut(_ fault: Fault, _ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After? {
        switch fault {
        case .silence: return .hang
        case .deaf: return .deaf
        case .closeAtOnce: return .close
        case .resetAtOnce: return .reset
        case .halfCloseAtOnce:
            to.endOutput()
            return .hang
        case .headThenHang:
            try await to.write("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")
            return .hang
        case .halfHead:
            try await to.write("HTTP/1.1 200 OK\r\nContent-Type: text/pl")
            return .hang
        case .dieMidBody, .resetMidBody:
            try await to.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            try await to.write(part(request.number("bytes", default: 10_000)))
            // What was written has to be on its way before the connection is cut.
            try await Task.sleep(for: .milliseconds(50))
            return fault == .resetMidBody ? .reset : .close
        case .dieMidChunk:
            try await to.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1000\r\nabc")
            return .close
        case .noLastChunk:
            try await to.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
            return .close
        case .late:
            try await pause(request, 100)
            try await to.answer("200 OK", [], "late")
            return .keep
        case .flaky:
            guard to.counters.attempt(request.query["key"] ?? "") < request.number("failures", default: 1) else {
                try await to.answer("200 OK", [], "at last")
                return .keep
            }
            guard let status = request.query["status"] else { return .reset }
            try await to.answer("\(status) Not now", [], "not now")
            return .keep
        case .status:
            try await to.answer("\(request.number("code", default: 503)) As Asked", ["Retry-After: 7"], "as asked")
            return .keep
        default: return nil
        }
    }

    // MARK: - Connections

    private static func connection(_ fault: Fault, _ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After?
    {
        switch fault {
        case .halfClose:
            try await to.answer("200 OK", [], "last words")
            to.endOutput()
            return .hang
        case .closeAfter:
            try await to.answer("200 OK", [], "bye")
            return .close
        case .stale:
            guard to.requests == 1 else { return .reset }
            try await to.answer("200 OK", [], "fresh")
            return .keep
        case .sayClose:
            try await to.answer("200 OK", ["Connection: close"], "bye")
            return .close
        case .twoAnswers:
            let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            try await to.write(answer + "first" + answer + "other")
            return .keep
        case .early:
            try await to.answer("200 OK", [], "early")
            return .keep
        case .earlyRefusal:
            try await to.answer("413 Content Too Large", ["Connection: close"], "too large")
            return .close
        default: return nil
        }
    }

    // MARK: - Framing

    private static func framing(_ fault: Fault, _ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After? {
        switch fault {
        case .expectContinue:
            if request.field("expect") == "100-continue" { try await to.write("HTTP/1.1 100 Continue\r\n\r\n") }
            try await count(to)
            return .keep
        case .noContinue:
            try await count(to)
            return .keep
        case .refuseContinue:
            try await to.answer("417 Expectation Failed", ["Connection: close"], "no")
            return .close
        case .earlyHints:
            try await to.write("HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n\r\n")
            try await to.answer("200 OK", [], "hinted")
            return .keep
        case .interims:
            let head = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nContent-Length: 3\r\n\r\n"
            for _ in 0..<request.number("count", default: 1) { try await to.write(head) }
            try await to.answer("200 OK", [], "at last")
            return .keep
        case .trailers:
            try await to.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum, X-Rows\r\n\r\n")
            try await to.write("5\r\nhello\r\n0\r\nX-Checksum: abc\r\nX-Rows: 2\r\n\r\n")
            return .keep
        case .bodyOnHead:
            try await to.write("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            return .keep
        default:
            guard let (text, after) = fixed(fault) else { return try await heads(fault, request, to) }
            while try await to.bodyPart() != nil {}
            try await to.write(text)
            return after
        }
    }

    /// Bytes that are always the same, and what follows them.
    private static func fixed(_ fault: Fault) -> (String, FaultyConnection.After)? {
        let ok = "HTTP/1.1 200 OK\r\n", chunked = ok + "Transfer-Encoding: chunked\r\n\r\n"
        switch fault {
        case .untilClose: return (ok + "\r\nuntil the end", .close)
        case .http10: return ("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nof old", .close)
        case .http10Chunked: return ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", .keep)
        case .badChunk: return (chunked + "zz\r\nhello\r\n0\r\n\r\n", .hang)
        case .hugeChunk: return (chunked + "fffffffffffffffffff5\r\nhello\r\n0\r\n\r\n", .hang)
        case .longChunk: return (chunked + "3\r\nhello\r\n0\r\n\r\n", .hang)
        case .shortBody: return (ok + "Content-Length: 100\r\n\r\n" + String(repeating: "s", count: 50), .close)
        case .longBody: return (ok + "Content-Length: 5\r\n\r\nhelloWORLD", .keep)
        case .twoLengths: return (ok + "Content-Length: 5\r\nContent-Length: 10\r\n\r\nhelloWORLD", .keep)
        case .lengthAndChunks: return (ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", .keep)
        case .bodyOn204: return ("HTTP/1.1 204 No Content\r\n\r\nhello", .keep)
        case .switching: return ("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n", .hang)
        case .notHTTP: return ("SSH-2.0-OpenSSH_9.2p1\r\n", .hang)
        case .nul: return (ok + "X-Nul: a\0b\r\nContent-Length: 5\r\n\r\nhello", .keep)
        case .bareLF: return ("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", .keep)
        case .spacedColon: return (ok + "Content-Length : 5\r\n\r\nhello", .keep)
        case .folded: return (ok + "X-Folded: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", .keep)
        default: return nil
        }
    }

    private static func heads(_ fault: Fault, _ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After? {
        switch fault {
        case .hugeHeaders:
            let field = "X-Filler: " + String(repeating: "f", count: 1_012) + "\r\n"
            let count = request.number("bytes", default: 1_048_576) / field.utf8.count
            try await to.write("HTTP/1.1 200 OK\r\n" + String(repeating: field, count: count) + "Content-Length: 5\r\n\r\nhello")
            return .keep
        case .endlessHead:
            try await to.write("HTTP/1.1 200 ")
            while true { try await to.write(String(repeating: "O", count: 65_536)) }
        case .trickleHead:
            for byte in "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello".utf8 {
                try await to.write(ByteBuffer(bytes: [byte]))
                try await pause(request, 20)
            }
            return .keep
        default: return nil
        }
    }

    // MARK: - Bodies

    private static func bodies(_ fault: Fault, _ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After {
        switch fault {
        case .trickle:
            let count = request.number("count", default: 50)
            try await to.write("HTTP/1.1 200 OK\r\nContent-Length: \(count)\r\n\r\n")
            for _ in 0..<count {
                try await pause(request, 20)
                try await to.write("t")
            }
        case .infinite:
            try await to.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            let chunk = ByteBuffer(string: "10000\r\n" + String(repeating: "i", count: 65_536) + "\r\n")
            while true { try await to.write(chunk) }
        case .body:
            var left = request.number("bytes", default: 1_000)
            try await to.write("HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: \(left)\r\n\r\n")
            while left > 0, request.method != "HEAD" {
                let piece = part(left)
                try await to.write(piece)
                left -= piece.readableBytes
            }
        case .echo: try await echo(request, to)
        case .slowRead: try await count(to, pausing: .milliseconds(request.number("ms", default: 20)))
        case .events:
            try await to.write("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            let count = request.number("count", default: 5)
            var number = 0
            while count == 0 || number < count {
                let event = "id: \(number)\ndata: event \(number)\n\n"
                try await to.write("\(String(event.utf8.count, radix: 16))\r\n\(event)\r\n")
                number += 1
                try await pause(request, 20)
            }
            try await to.write("0\r\n\r\n")
        case .websocket: return try await FaultyWebSocket.serve(request, to)
        case .head:
            let lines = ["\(request.method) \(request.target)"] + request.fields.map { "\($0.name): \($0.value)" }
            while try await to.bodyPart() != nil {}
            try await to.answer("200 OK", ["Content-Type: text/plain"], (lines + to.trailers).joined(separator: "\n"))
        default:
            try await Task.sleep(for: .milliseconds(request.number("first", default: 0)))
            try await count(to)
        }
        return .keep
    }

    private static func echo(_ request: FaultRequest, _ to: FaultyConnection) async throws {
        let length = request.field("content-length")
        try await to.write("HTTP/1.1 200 OK\r\n\(length.map { "Content-Length: \($0)" } ?? "Transfer-Encoding: chunked")\r\n\r\n")
        while let part = try await to.bodyPart() {
            if length == nil { try await to.write("\(String(part.readableBytes, radix: 16))\r\n") }
            try await to.write(part)
            if length == nil { try await to.write("\r\n") }
        }
        if length == nil { try await to.write((["0"] + to.trailers).joined(separator: "\r\n") + "\r\n\r\n") }
    }

    private static func count(_ to: FaultyConnection, pausing pause: Duration = .zero) async throws {
        var hash = SHA256(), count = 0, sincePause = 0
        while let part = try await to.bodyPart() {
            hash.update(data: part.readableBytesView)
            count += part.readableBytes
            sincePause += part.readableBytes
            guard pause > .zero, sincePause >= 65_536 else { continue }
            sincePause = 0
            try await Task.sleep(for: pause)
        }
        try await to.answer("200 OK", ["Content-Type: application/json"], "{\"bytes\": \(count), \"sha256\": \"\(hex(hash.finalize()))\"}")
    }

    private static func part(_ most: Int) -> ByteBuffer {
        pattern.getSlice(at: pattern.readerIndex, length: min(most, pattern.readableBytes)) ?? ByteBuffer()
    }

    private static func pause(_ request: FaultRequest, _ standard: Int) async throws {
        try await Task.sleep(for: .milliseconds(request.number("ms", default: standard)))
    }
}

/// A WebSocket that sends back every message, answers pings, and closes when asked to (RFC 6455, without extensions).
enum FaultyWebSocket {
    static func accept(_ key: String) -> String {
        Data(Insecure.SHA1.hash(data: Data((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").utf8))).base64EncodedString()
    }

    static func serve(_ request: FaultRequest, _ to: FaultyConnection) async throws -> FaultyConnection.After {
        guard request.field("upgrade")?.lowercased() == "websocket", let key = request.field("sec-websocket-key") else {
            try await to.answer("426 Upgrade Required", ["Upgrade: websocket", "Connection: Upgrade"], "say Upgrade")
            return .keep
        }
        try await to.write(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: \(accept(key))\r\n\r\n")
        while true {
            let head = try await to.bytes(2)
            guard head[1] & 0x80 != 0 else { return .reset }
            var length = Int(head[1] & 0x7F)
            if length > 125 {
                length = try await to.bytes(length == 126 ? 2 : 8).reduce(0) { $0 << 8 | Int($1) }
            }
            let mask = try await to.bytes(4)
            let payload = try await to.bytes(length).enumerated().map { $1 ^ mask[$0 & 3] }
            let opcode = head[0] & 0x0F
            try await to.write(frame(opcode == 9 ? 0x8A : head[0], payload))
            if opcode == 8 { return .close }
        }
    }

    /// An unmasked frame, as servers send.
    static func frame(_ first: UInt8, _ payload: [UInt8]) -> ByteBuffer {
        var buffer = ByteBuffer(bytes: [first])
        switch payload.count {
        case ..<126: buffer.writeInteger(UInt8(payload.count))
        case ..<65_536:
            buffer.writeInteger(UInt8(126))
            buffer.writeInteger(UInt16(payload.count))
        default:
            buffer.writeInteger(UInt8(127))
            buffer.writeInteger(UInt64(payload.count))
        }
        buffer.writeBytes(payload)
        return buffer
    }
}
