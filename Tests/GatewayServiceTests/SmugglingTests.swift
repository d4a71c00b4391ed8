import Testing

@testable import GatewayService

/// Requests that two programs could read differently: each is refused, or goes on in one form that nobody can read otherwise.
@Suite("Smuggling", .serialized)
struct SmugglingTests {
    /// Bytes of a client, and what must come of them.
    struct Case: Sendable, CustomStringConvertible {
        let description: String
        let bytes: String
        /// Of all answers on the connection, in order.
        var statuses: [Int]
        /// Requests that reach the upstream.
        var seen = 0
        /// In what the upstream says that it got (`Fault.head`), or nowhere in it. Lower case.
        var has: [String] = []
        var lacks: [String] = []
    }

    static let path = FaultTown.path(.head)
    /// What is smuggled, if anything is.
    static let hidden = "GET \(path)?hidden HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"

    static func get(_ fields: String, target: String = path, version: String = "HTTP/1.1", method: String = "GET") -> String {
        "\(method) \(target) \(version)\r\nHost: localhost\r\n\(fields)\r\n"
    }

    static func post(_ fields: String, _ body: String) -> String { get(fields, method: "POST") + body }

    private static func refused(_ name: String, _ bytes: String) -> Case { refused(name, 400, bytes) }

    private static func refused(_ name: String, _ status: Int, _ bytes: String) -> Case {
        // Whatever comes behind must not be taken for a request.
        Case(description: name, bytes: bytes + hidden, statuses: [status])
    }

    private static func goesOn(_ name: String, _ bytes: String, has: [String] = [], lacks: [String] = []) -> Case {
        Case(description: name, bytes: bytes + hidden, statuses: [200, 200], seen: 2, has: has, lacks: lacks)
    }

    // MARK: The table

    static let lengths: [Case] =
        [
            refused("a length and chunks (CL.TE)", post("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\nG")),
            refused("chunks and a length (TE.CL)", post("Transfer-Encoding: chunked\r\nContent-Length: 4\r\n", "5c\r\n")),
            refused("two lengths that differ", post("Content-Length: 0\r\nContent-Length: 5\r\n", "hello")),
            refused("two lengths that are the same", post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")),
            refused("a length beyond what is taken", 413, post("Content-Length: 100000000000000\r\n", "")),
            goesOn("a length with zeros before it", post("Content-Length: 005\r\n", "hello"), has: ["content-length: 5\n"]),
            goesOn("a length with blanks around it", post("Content-Length: \t 5 \t\r\n", "hello"), has: ["content-length: 5\n"]),
            goesOn(
                "underscores for hyphens",
                post("Content_Length: 0\r\nTransfer_Encoding: chunked\r\nX_Tenant_Id: 1\r\nContent-Length: 5\r\n", "hello"),
                has: ["content-length: 5\n"], lacks: ["content_length", "transfer_encoding", "x_tenant_id"]),
        ]
        + [
            "5, 5", "5,6", "+5", "-5", "0x5", "5 5", "5;", "1e1", "5.0", "", "\u{665}", "18446744073709551621", "0000000000000005",
            "5\u{b}",
            "\"5\"", "5\0",
        ].map { refused("the length \($0.debugDescription)", post("Content-Length: \($0)\r\n", "hello")) }

    static let codings: [Case] =
        [
            "xchunked", "identity", "chunked, identity", "gzip, chunked", "chunked, chunked", "chunked;q=1", "\"chunked\"", "chunked,",
            ", chunked",
            "", "chu nked", "gzip", "chunked \u{a0}",
        ].map { refused("the coding \($0.debugDescription)", 501, post("Transfer-Encoding: \($0)\r\n", "0\r\n\r\n")) }
        + [
            refused("two codings", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            refused("two codings, one unknown", post("Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n", "0\r\n\r\n")),
            refused("a blank before the colon", post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n")),
            refused("a coding behind a control character", post("Transfer-Encoding: \u{b}chunked\r\n", "0\r\n\r\n")),
            refused("a coding in the next line", 501, post("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
            refused("a coding in a line that goes on", post("X: y\r\n Transfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            refused("a coding in a line that begins with a tabulator", post("\tTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            refused("a coding behind LF alone", post("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            refused("a coding behind CR alone", post("X: y\rTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            refused("a coding behind NUL", post("X: y\0Transfer-Encoding: chunked\r\n", "0\r\n\r\n")),
            refused("a coding whose name has DEL in it", post("Transfer-Encoding\u{7f}: chunked\r\n", "0\r\n\r\n")),
            refused("chunks of HTTP/1.0", "POST \(path) HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            goesOn(
                "another case", post("tRANSFER-eNCODING:chunKED\t\r\n", "5\r\nhello\r\n0\r\n\r\n"), has: ["transfer-encoding: chunked\n"]),
        ]

    static let lines: [Case] = [
        refused("lines that end with LF", "GET \(path) HTTP/1.1\nHost: localhost\n\n"),
        refused("a first line that ends with LF", "GET \(path) HTTP/1.1\nHost: localhost\r\n\r\n"),
        refused("a last line that ends with LF", "GET \(path) HTTP/1.1\r\nHost: localhost\r\n\n"),
        refused("lines that end with CR", "GET \(path) HTTP/1.1\rHost: localhost\r\r\n"),
        refused("a line that ends with CR CR LF", get("X: y\r\r\n")),
        refused("a blank before the method", " " + get("")),
        refused("LF before the method", "\n" + get("")),
        refused("a field without a colon", get("Nothing\r\n")),
        refused("a field without a name", get(": nothing\r\n")),
        refused("a name with a blank", get("X Y: z\r\n")),
        refused("a name with brackets", get("X(Y): z\r\n")),
        refused("a name with NUL", get("X\0Y: z\r\n")),
        refused("a name beyond ASCII", get("Xü: z\r\n")),
        refused("a value with NUL", get("X: y\0z\r\n")),
        refused("a value with a control character", get("X: y\u{7}z\r\n")),
        refused("a value with DEL", get("X: y\u{7f}z\r\n")),
        refused("a first field that begins with a blank", get(" X: y\r\n")),
        refused("a line of blanks", get("X: y\r\n \r\n")),
        refused("an expectation that nobody knows", 417, get("Expect: 200-ok\r\n")),
        refused("two expectations", get("Expect: 100-continue\r\nExpect: 100-continue\r\n")),
        refused("two credentials", get("Authorization: Bearer a\r\nAuthorization: Bearer b\r\n")),
        refused("two organizations", get("X-Tenant-Slug: a\r\nX-Tenant-Slug: b\r\n")),
        refused("a target too long", 414, get("", target: "/" + String(repeating: "a", count: 8_193))),
        refused("a first line without end", 414, "GET /" + String(repeating: "a", count: 40_000)),
        refused("101 fields", 431, get(String(repeating: "X: y\r\n", count: 100))),
        refused("fields beyond the limit", 431, get("X: " + String(repeating: "y", count: 33_000) + "\r\n")),
        goesOn("100 fields", get(String(repeating: "X: y\r\n", count: 99)), has: ["x: y"]),
        goesOn("empty lines before the method", "\r\n\r\n" + get("")),
        goesOn("values beyond ASCII, and tabulators within", get("X: ü\tz\r\n"), has: ["x: ü\tz\n"]),
        goesOn("an empty value", get("X:\r\n"), has: ["x: \n"]),
    ]

    static let targets: [Case] = [
        refused("an address of another host", get("", target: "http://elsewhere\(path)")),
        refused("an address with a name and a password", get("", target: "http://a:b@localhost\(path)")),
        refused("an address without a host", get("", target: "http://\(path)")),
        refused("an address of another scheme", get("", target: "ftp://localhost\(path)")),
        refused("host and port", get("", target: "localhost:80")),
        refused("CONNECT", get("", target: "localhost:443", method: "CONNECT")),
        Case(description: "an asterisk for GET", bytes: get("", target: "*") + hidden, statuses: [400, 200], seen: 1),
        refused("a relative path", get("", target: "api/v1/content/fault/head")),
        refused("a fragment", get("", target: path + "#x")),
        refused("a backslash", get("", target: "/api\\v1")),
        refused("a blank in the path", get("", target: path + " x")),
        refused("two blanks", get("", target: " " + path)),
        refused("a tabulator for a blank", "GET\t\(path)\tHTTP/1.1\r\nHost: localhost\r\n\r\n"),
        refused("letters beyond ASCII", get("", target: path + "?ü")),
        refused("CR in the target", get("", target: path + "?\rx")),
        refused("NUL in the target", get("", target: path + "?\0x")),
        refused("a method with brackets", get("", method: "GET()")),
        refused("a method without end", get("", method: String(repeating: "A", count: 30))),
        goesOn("an address of the same host", get("", target: "http://localhost\(path)"), has: ["get \(path)\n"]),
    ]

    static let hosts: [Case] =
        [
            refused("no host", "GET \(path) HTTP/1.1\r\n\r\n"),
            refused("two hosts", get("Host: elsewhere\r\n")),
            refused("the same host twice", get("Host: localhost\r\n")),
        ]
        + [
            "", "user@localhost", "local host", "localhost/x", "localhost:80:81", "localhost:http", "localhost:123456", ":80", "[::1", "[]",
            "::1", "a,b", "localhost#", "localhost?", "lo\\calhost", "lo%63alhost",
        ].map { refused("the host \($0.debugDescription)", "GET \(path) HTTP/1.1\r\nHost: \($0)\r\n\r\n") }
        + ["[::1]:8080", "localhost:", "a_b.example.org:65535"].map {
            goesOn("the host \($0.debugDescription)", "GET \(path) HTTP/1.1\r\nHost: \($0)\r\n\r\n", has: ["x-forwarded-host: \($0)\n"])
        }

    static let versions: [Case] =
        [
            refused("HTTP/0.9", "GET \(path)\r\n\r\n"),
            refused("the preface of HTTP/2", 505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            Case(description: "HTTP/1.0 without a host", bytes: "GET \(path) HTTP/1.0\r\n\r\n" + hidden, statuses: [200], seen: 1),
            goesOn("a later minor version", get("", version: "HTTP/1.9")),
        ]
        + ["HTTP/2.0", "HTTP/3.0", "HTTP/0.9"].map { refused("the version \($0)", 505, get("", version: $0)) }
        + ["http/1.1", "HTTP/1.10", "HTTP/11", "HTTP/1.1 ", "HTTP/1,1", "HTTPS/1.1", "HTTP/1.x", "HTTP/ 1.1"].map {
            refused("the version \($0.debugDescription)", get("", version: $0))
        }

    static let bodies: [Case] =
        ["GET", "DELETE"].map {
            goesOn("a body of \($0) that looks like a request", get("Content-Length: \(hidden.utf8.count)\r\n", method: $0) + hidden)
        }
        + [
            goesOn(
                "h2c", get("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"),
                lacks: ["upgrade", "http2-settings"]),
            // What comes behind is a request, and no part of a tunnel.
            Case(
                description: "a WebSocket where there is none",
                bytes: get(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                )
                    + hidden, statuses: [400, 200], seen: 1),
            Case(
                description: "a body behind a WebSocket's handshake",
                bytes: get(
                    "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: \(hidden.utf8.count)\r\n",
                    target: FaultTown.path(.websocket))
                    + hidden + hidden, statuses: [400, 200], seen: 1),
            Case(
                description: "a WebSocket that the upstream does not want",
                bytes: get("Connection: Upgrade\r\nUpgrade: websocket\r\n", target: FaultTown.path(.websocket)) + hidden,
                statuses: [426, 200], seen: 2),
            Case(description: "TRACE", bytes: get("", method: "TRACE") + hidden, statuses: [405, 200], seen: 1),
            Case(description: "CONNECT with a path", bytes: get("", method: "CONNECT") + hidden, statuses: [405, 200], seen: 1),
            Case(description: "a method in small letters", bytes: get("", method: "get") + hidden, statuses: [405, 200], seen: 1),
            Case(
                description: "OPTIONS *", bytes: get("Content-Length: 5\r\n", target: "*", method: "OPTIONS") + "hello" + hidden,
                statuses: [204, 200], seen: 1),
        ]

    static let connections: [Case] = [
        goesOn(
            "fields of the connection",
            get("Connection: X-Secret,Keep-Alive , TE\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nX-Open: 2\r\n"),
            has: ["x-open: 2"], lacks: ["secret", "keep-alive", "te:", "connection"]),
        goesOn(
            "fields of two connection lines", get("Connection: x-secret\r\nConnection: keep-alive\r\nX-Secret: 1\r\n"), lacks: ["secret"]),
        goesOn("a short list", get("Connection: keep-alive,x-s\r\nX-S: 1\r\n"), lacks: ["x-s:"]),
        goesOn(
            "as long a list as may be", get("Connection: \(String(repeating: "b,", count: 31))x-s,,,\r\nX-S: 1\r\nX-T: 2\r\n"),
            has: ["x-t: 2"], lacks: ["x-s:"]),
        refused("a list that is longer", get("Connection: \(String(repeating: "b,", count: 32))x-s\r\n")),
        refused("a list that is longer in all its lines", get(String(repeating: "Connection: b,b,b,b,b,b,b,b,b,b,b\r\n", count: 3))),
        goesOn(
            "the length, the host and the credential as fields of the connection",
            post(
                "Connection: content-length, host, authorization, x-forwarded-for, x-request-id\r\nContent-Length: 5\r\nAuthorization: Basic e\r\n",
                "hello"),
            has: ["content-length: 5", "host: ", "x-forwarded-for: 127.0.0.1", "x-request-id"]),
        goesOn(
            "the coding as a field of the connection",
            post("Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            has: ["transfer-encoding: chunked"]),
        goesOn(
            "what a service might take for the gateway's word",
            get(
                "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Tenant-Id: 6\r\n"
                    + "X-Original-URL: /6.6\r\nX-HTTP-Method-Override: PUT\r\n"
            ),
            has: ["x-forwarded-for: 127.0.0.1\n"], lacks: ["6.6", "x-tenant-id", "override"]),
    ]

    @Test(
        "What can be read in two ways is refused, the rest goes on in one form, and no byte becomes a request that it was not",
        arguments: [
            ("lengths", lengths), ("codings", codings), ("lines", lines), ("targets", targets), ("hosts", hosts), ("versions", versions),
            ("bodies", bodies), ("connections", connections),
        ])
    func table(name: String, cases: [Case]) async throws {
        try await FaultTown.with { town in for item in cases { try await expect(item, town) } }
    }

    private func expect(_ item: Case, _ town: FaultTown) async throws {
        let before = Self.requests(town).count
        let socket = try RawSocket(port: town.town.port)
        try await socket.send(item.bytes)
        let (bytes, ended) = try await socket.receiveAll(patience: .seconds(5))
        let answers = Self.answers(bytes)
        #expect(answers.map(\.status) == item.statuses && ended, "\(item): \(answers.map { $0.head + $0.text })")
        for answer in answers where answer.status >= 400 && answer.status != 426 {
            #expect(answer.field("content-type") == "application/problem+json" && answer.text.contains("\"requestId\""), "\(item)")
        }
        let seen = Self.requests(town).dropFirst(before)
        #expect(seen.count == item.seen, "\(item): \(seen)")
        let told = (answers.first?.text ?? "").lowercased() + "\n"
        for part in item.has { #expect(told.contains(part.lowercased()), "\(item): \(part) in \(told)") }
        for part in item.lacks { #expect(!told.contains(part), "\(item): no \(part) in \(told)") }
    }

    /// But for what the gateway asks by itself.
    private static func requests(_ town: FaultTown) -> [String] {
        town.upstream.counters.requests.filter { !$0.hasPrefix("GET /openapi.json") && !$0.contains("/health") }
    }

    static func answers(_ bytes: [UInt8]) -> [RawAnswer] {
        var answers: [RawAnswer] = [], left = bytes
        while !left.isEmpty {
            let answer = RawAnswer(left, ended: true)
            answers.append(answer)
            guard answer.rest.count < left.count else { break }
            left = answer.rest
        }
        return answers
    }

    // MARK: Chunks

    @Test("A body whose chunks are not as they must be ends its request and its connections, and nothing of it becomes another")
    func chunks() async throws {
        let bad = [
            "", ";x", "-5", "+5", "0x5", "5 ", " 5", "5;\u{0}", "5;x\rz", "g", "5,", "fffffffffffffffffff5", "0000000000000005",
            "5;" + String(repeating: "x", count: 300),
        ].map { "\($0)\r\nhello\r\n0\r\n\r\n" }
        let others = [
            "5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "5\r\nhello0\r\n\r\n", "5\r\nhello \r\n0\r\n\r\n", "3\r\nhello\r\n0\r\n\r\n",
            "5\r\nhello\r0\r\n\r\n", "5\r\nhello\r\n0\r\n X: y\r\n\r\n", "5\r\nhello\r\n0\r\nX\r\n\r\n", "5\r\nhello\r\n0\r\nX : y\r\n\r\n",
            "5\r\nhello\r\n0\r\nX: y\n\r\n", "5\r\nhello\r\n0\r\nX: y\0\r\n\r\n", "5\r\nhello\r\n0\r\n\n",
            "5\r\nhello\r\n0\r\n" + String(repeating: "X: y\r\n", count: 33) + "\r\n",
            "5\r\nhello\r\n0\r\nX: " + String(repeating: "y", count: 9_000) + "\r\n\r\n",
            String(repeating: "1;\(String(repeating: "x", count: 240))\r\nh\r\n", count: 100) + "0\r\n\r\n",
        ]
        try await FaultTown.with { town in
            for body in bad + others {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send(Self.post("Transfer-Encoding: chunked\r\n", body + Self.hidden))
                let (bytes, ended) = try await socket.receiveAll(patience: .seconds(5))
                let answers = Self.answers(bytes)
                #expect(answers.map(\.status) == [400] && ended, "\(body.prefix(60).debugDescription): \(answers)")
                #expect(answers.first?.text.contains("malformed-body") == true)
            }
            // Those whose head was on its way already are seen not to be whole.
            let seen = Self.requests(town)
            #expect(seen.allSatisfy { $0 == "POST \(Self.path)" }, "\(seen)")
            try await eventually("none is taken for whole") { town.upstream.counters.brokenRequests == Self.requests(town).count }
            try await town.expectWell("after bad chunks")
        }
    }

    @Test("Chunks go on without their extensions, and trailers without what would be framing, routing or a credential")
    func trailers() async throws {
        let names = [
            "Content-Length", "Transfer-Encoding", "Host", "Connection", "Authorization", "X-API-Key", "Cookie", "Set-Cookie", "Expect",
            "Trailer",
            "X-Tenant-Slug", "X-Tenant-Id", "X-Forwarded-For", "X-Request-Id", "Content-Type", "Content-Encoding", "Cache-Control", "Range",
            "TE",
        ]
        let trailers = (names + ["X-Sum"]).map { "\($0): trailed\r\n" }.joined()
        let body = "5;a=b;c=\"d e\"\r\nhello\r\n000A \t;x\r\n0123456789\r\n0;last\r\n\(trailers)\r\n"
        try await FaultTown.with { town in
            try await expect(
                Self.goesOn(
                    "trailers", Self.post("Transfer-Encoding: chunked\r\n", body), has: ["transfer-encoding: chunked\n", "x-sum: trailed"],
                    lacks: names.map { $0.lowercased() + ": trailed" }), town)
            #expect(town.upstream.counters.receivedBytes == 15)
        }
    }

    // MARK: Answers

    @Test("Answers that can be read in two ways reach nobody, and what comes behind an answer is nobody's")
    func answers() async throws {
        try await FaultTown.with { town in
            for fault in [Fault.twoLengths, .lengthAndChunks, .http10Chunked, .switching, .notHTTP, .nul, .bareLF, .spacedColon, .folded] {
                let answer = try await town.ask(fault)
                #expect(answer.status == 503 && answer.isWhole && !answer.text.contains("hello"), "\(fault): \(answer)")
                try await town.expectWell("after \(fault)")
            }
            for (fault, text) in [(Fault.twoAnswers, "first"), (.longBody, "hello"), (.bodyOn204, ""), (.bodyOnHead, "")] {
                for _ in 0..<3 {
                    let answer = try await town.ask(fault, method: fault == .bodyOnHead ? "HEAD" : "GET")
                    #expect(answer.text == text && answer.isWhole && answer.rest.isEmpty, "\(fault): \(answer)")
                    try await town.expectWell("after \(fault)")
                }
            }
        }
    }

    @Test("A few interim answers are passed on; a flood of them ends the request")
    func interims() async throws {
        try await FaultTown.with { town in
            let some = try await town.ask(.interims, "?count=5")
            #expect(some.interim == [103, 103, 103, 103, 103] && some.status == 200 && some.text == "at last", "\(some)")
            #expect(!some.head.lowercased().contains("content-length: 3\r\n"), "an interim answer has no body: \(some.head)")
            let flood = try await town.ask(.interims, "?count=100000")
            #expect(flood.status == 503 && flood.interim.count <= 32, "\(flood.interim.count) \(flood.status)")
            try await town.expectWell("after a flood")
        }
    }
}
