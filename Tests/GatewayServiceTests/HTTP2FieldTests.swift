import CNghttp2
import NIOCore
import Testing

@testable import GatewayService

@Suite("Fields of HTTP/2")
struct HTTP2FieldTests {
    static func head(_ fields: [(String, String)], hasBody: Bool = false, maximum: Int = 32_768) -> HTTP2RequestFields.Outcome {
        var writer = HTTP2RequestFields(maximumBytes: maximum)
        writer.begin(into: ByteBuffer())
        for (name, value) in fields {
            // One more byte, so that an empty value has an address too.
            let name = Array(name.utf8) + [0], value = Array(value.utf8) + [0]
            name.withUnsafeBufferPointer { name in
                value.withUnsafeBufferPointer { value in
                    writer.add(name.baseAddress!, name.count - 1, value.baseAddress!, value.count - 1)
                }
            }
        }
        return writer.finish(hasBody: hasBody)
    }

    static func text(_ outcome: HTTP2RequestFields.Outcome) -> String? {
        guard case .head(let buffer) = outcome else { return nil }
        return String(buffer: buffer)
    }

    static let get = FrameClient.request("/a?b=c")

    // MARK: Requests

    @Test("A request is written as the head of HTTP/1.1, whatever the order of its pseudo fields")
    func order() {
        let expected = "GET /a?b=c HTTP/1.1\r\nhost: edge.test\r\naccept: */*\r\n\r\n"
        #expect(Self.text(Self.head(Self.get + [("accept", "*/*")])) == expected)
        #expect(Self.text(Self.head(Self.get.reversed() + [("accept", "*/*")])) == expected)
    }

    @Test("Without :authority, host names the host; with both, they must be one")
    func host() {
        let without = Self.get.filter { $0.0 != ":authority" }
        #expect(Self.text(Self.head(without + [("host", "edge.test")])) == "GET /a?b=c HTTP/1.1\r\nhost: edge.test\r\n\r\n")
        #expect(Self.text(Self.head(Self.get + [("host", "edge.test")])) == "GET /a?b=c HTTP/1.1\r\nhost: edge.test\r\n\r\n")
        #expect(Self.head(Self.get + [("host", "other.test")]) == .malformed)
        #expect(Self.head(without) == .malformed)
    }

    @Test("Cookies are one field")
    func cookies() {
        let text = Self.text(Self.head(Self.get + [("cookie", "a=1"), ("x", "y"), ("cookie", "b=2")]))
        #expect(text == "GET /a?b=c HTTP/1.1\r\nhost: edge.test\r\nx: y\r\ncookie: a=1; b=2\r\n\r\n")
    }

    @Test("A body whose length is not said is chunked to the parser, and only then")
    func framing() {
        #expect(Self.text(Self.head(Self.get, hasBody: true))?.hasSuffix("\r\ntransfer-encoding: chunked\r\n\r\n") == true)
        #expect(
            Self.text(Self.head(Self.get + [("content-length", "3")], hasBody: true))?.hasSuffix("\r\ncontent-length: 3\r\n\r\n") == true)
        #expect(Self.text(Self.head(Self.get))?.contains("transfer-encoding") == false)
    }

    @Test(
        "What could be read as another request is refused",
        arguments: [
            [("transfer-encoding", "chunked")], [("connection", "keep-alive")], [("upgrade", "h2c")], [("keep-alive", "5")],
            [("proxy-connection", "x")], [("te", "gzip")], [("X-Upper", "a")], [("bad name", "a")], [("bad:name", "a")], [("", "a")],
            [("x", "a\r\nhost: other")], [("x", "a\nb")], [("x", "a\u{0}b")], [(":path", "/again")], [(":unknown", "x")],
            [(":status", "200")],
            [(":protocol", "websocket")], [("x", "y"), (":late", "z")],
        ])
    func smuggled(_ more: [(String, String)]) { #expect(Self.head(Self.get + more) == .malformed) }

    @Test(
        "Pseudo fields that make no good first line are refused",
        arguments: [
            (":path", ""), (":path", "a"), (":path", "http://other.test/"), (":path", "/a b"), (":path", "/a HTTP/1.1\r\nx: y"),
            (":path", "**"),
            (":method", ""), (":method", "GET /"), (":scheme", "ftp"), (":scheme", ""),
        ])
    func firstLine(_ name: String, _ value: String) {
        #expect(Self.head(Self.get.map { $0.0 == name ? (name, value) : $0 }) == .malformed)
    }

    @Test("A field too many is told from a malformed one, and nothing is kept of it", arguments: [31, 32, 33])
    func tooLarge(_ count: Int) {
        let fields = Self.get + (0..<count).map { ("x-\($0)", String(repeating: "a", count: 1_000)) }
        let isTooLarge = Self.head(fields) == .tooLarge
        #expect(isTooLarge == (fields.reduce(0) { $0 + $1.0.utf8.count + $1.1.utf8.count + 32 } > 32_768))
    }

    @Test("Every written head is one that the parser of HTTP/1.1 reads as the same request, or refuses")
    func parsed() throws {
        var random = SystemRandomNumberGenerator()
        let names = ["x", "accept", "te", "host", "cookie", "content-length", "transfer-encoding", "x-\u{7F}", "a b", "é"]
        let values = ["", "a", "trailers", "edge.test", "7", " a ", "a\r\nb: c", "a\tb", "é", "\u{0}"]
        let paths = ["/", "/a b", "/a\r\n", "*", "/é", "/a#b", "//", "/%00"]
        for _ in 0..<5_000 {
            var fields = FrameClient.request(paths.randomElement(using: &random)!)
            for _ in 0..<Int.random(in: 0...3, using: &random) {
                fields.append((names.randomElement(using: &random)!, values.randomElement(using: &random)!))
            }
            let hasBody = Bool.random(using: &random)
            guard case .head(var buffer) = Self.head(fields, hasBody: hasBody) else { continue }
            let head = RequestHead(limits: .standard)
            guard let isWhole = try? head.parse(&buffer) else { continue }
            #expect(isWhole && buffer.readableBytes == 0, "\(fields)")
            #expect(head.text(head.target) == fields[3].1)
            #expect(hasBody || !head.isChunked)
        }
    }

    // MARK: Answers

    static func answer(_ head: String, status: Int = 200, length: Int? = nil) -> [(String, String)] {
        let fields = HTTP2AnswerFields()
        fields.begin(status: status)
        return Array(head.utf8).withUnsafeBytes { bytes in
            fields.add(bytes, skippingFirst: true)
            if let length { fields.addLength(length) }
            return (0..<fields.count).map { index in
                let field = fields.fields[index]
                return (
                    String(decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self),
                    String(decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)
                )
            }
        }
    }

    @Test("Fields of an answer go on without those of the HTTP/1.1 connection")
    func answerFields() {
        let fields = Self.answer(
            "HTTP/1.1 404 Not Found\r\nContent-Type: \t text/plain \r\nConnection: close\r\nTransfer-Encoding: chunked\r\nX-Empty:\r\n"
                + "Content-Length: 9\r\nkeep-alive: 5\r\nSet-Cookie: a=1; Path=/\r\n", status: 404, length: 12_345)
        let expected = [
            (":status", "404"), ("Content-Type", "text/plain"), ("X-Empty", ""), ("Set-Cookie", "a=1; Path=/"), ("content-length", "12345"),
        ]
        #expect(fields.map(\.0) == expected.map(\.0))
        #expect(fields.map(\.1) == expected.map(\.1))
    }

    @Test("Lengths are written in full", arguments: [0, 7, 10, 4_294_967_296, 999_999_999_999_999])
    func lengths(_ length: Int) {
        #expect(Self.answer("HTTP/1.1 200 OK\r\n", length: length).last?.1 == String(length))
    }

    // MARK: The budget of failed streams

    @Test("Failed streams are borne in a burst, and then as many a second as the limits say")
    func budget() {
        var limits = HTTP2Limits()
        limits.resetBurst = 3
        limits.resetsPerSecond = 2
        var budget = ResetBudget(limits)
        #expect((0..<4).map { _ in budget.take() } == [true, true, true, false])
        budget.tick()
        #expect((0..<3).map { _ in budget.take() } == [true, true, false])
        for _ in 0..<10 { budget.tick() }
        #expect(budget.left == 3)
    }
}
