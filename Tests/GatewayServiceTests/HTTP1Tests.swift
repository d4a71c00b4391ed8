import Foundation
import Testing

@testable import GatewayService

/// HTTP/1.1 from a client's first byte to an upstream and back.
@Suite("HTTP/1.1", .serialized)
struct HTTP1Tests {
    private static func answer(_ socket: RawSocket, isHead: Bool = false) async throws -> RawAnswer {
        let (bytes, ended) = try await socket.receiveAll(patience: .seconds(5))
        return RawAnswer(bytes, ended: ended, isHead: isHead)
    }

    /// Reads until the answer is whole; what follows is in `rest`.
    private static func next(_ socket: RawSocket, isHead: Bool = false) async throws -> RawAnswer {
        var bytes: [UInt8] = []
        while let part = try await socket.receive(patience: .seconds(5)) {
            bytes += part
            let answer = RawAnswer(bytes, ended: part.isEmpty, isHead: isHead)
            if answer.isWhole || part.isEmpty { return answer }
        }
        return RawAnswer(bytes, ended: false, isHead: isHead)
    }

    // MARK: Expectations

    @Test("A client that waits to be asked for its body is asked once, and only when somebody wants it")
    func expectations() async throws {
        try await FaultTown.with { town in
            for fault in [Fault.count, .noContinue, .expectContinue] {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send(
                    "POST \(FaultTown.path(fault)) HTTP/1.1\r\nHost: localhost\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n"
                        + "Connection: close\r\n\r\n"
                )
                let asked = try await socket.receive(until: "\r\n\r\n")
                #expect(asked == "HTTP/1.1 100 Continue\r\n\r\n", "\(fault)")
                try await socket.send("hello")
                let answer = try await Self.answer(socket)
                #expect(answer.status == 200 && answer.interim.isEmpty && answer.text.contains("\"bytes\": 5"), "\(fault): \(answer)")
            }
            // Nobody wants it: the answer comes at once, and the connection ends, since the body may come or not.
            let unwanted = try RawSocket(port: town.town.port)
            try await unwanted.send("POST /nowhere HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            let refusal = try await Self.answer(unwanted)
            #expect(refusal.status == 404 && refusal.interim.isEmpty && refusal.field("connection") == "close" && refusal.hasEnded)
            // HTTP/1.0 knows no 100.
            let old = try RawSocket(port: town.town.port)
            try await old.send("POST \(FaultTown.path(.count)) HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello")
            let answer = try await Self.answer(old)
            #expect(answer.status == 200 && answer.interim.isEmpty && answer.text.contains("\"bytes\": 5"), "\(answer)")
        }
    }

    // MARK: Forms of answers

    @Test("Trailers of an answer reach the client; a client of HTTP/1.0 gets the body alone")
    func trailers() async throws {
        try await FaultTown.with { town in
            let answer = try await town.ask(.trailers)
            #expect(answer.text == "hello" && answer.trailers == "X-Checksum: abc\r\nX-Rows: 2\r\n" && answer.isWhole, "\(answer)")
            let old = try RawSocket(port: town.town.port)
            try await old.send("GET \(FaultTown.path(.trailers)) HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            let plain = try await Self.answer(old)
            #expect(plain.text == "hello" && plain.hasEnded && plain.field("transfer-encoding") == nil, "\(plain)")
            #expect(plain.field("connection") == "close")
        }
    }

    @Test("HEAD, 204 and 304 have no body, whatever the upstream says, and the connection goes on")
    func bodiless() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(FaultTown.request(.body, "?bytes=1000", method: "HEAD"))
            let head = try await Self.next(socket, isHead: true)
            #expect(head.status == 200 && head.field("content-length") == "1000" && head.rest.isEmpty, "\(head)")
            for code in [204, 304] {
                try await socket.send(FaultTown.request(.status, "?code=\(code)"))
                let answer = try await Self.next(socket)
                #expect(answer.status == code && answer.rest.isEmpty && answer.field("transfer-encoding") == nil, "\(answer)")
                if code == 204 { #expect(answer.field("content-length") == nil) }
            }
            try await socket.send(FaultTown.request(.echo, method: "POST", ["Connection: close"], body: "still here"))
            let last = try await Self.answer(socket)
            #expect(last.text == "still here", "\(last)")
        }
    }

    @Test("Early hints are passed on before the answer, but not to HTTP/1.0")
    func hints() async throws {
        try await FaultTown.with { town in
            let answer = try await town.ask(.earlyHints)
            #expect(answer.interim == [103] && answer.text == "hinted", "\(answer)")
            #expect(answer.head.contains("Link: </a.css>; rel=preload\r\nLink: </b.js>; rel=preload\r\n"))
            let old = try RawSocket(port: town.town.port)
            try await old.send("GET \(FaultTown.path(.earlyHints)) HTTP/1.0\r\n\r\n")
            let plain = try await Self.answer(old)
            #expect(plain.interim.isEmpty && plain.text == "hinted" && plain.hasEnded)
        }
    }

    @Test("Every answer has one date, one length or coding, and no word of the upstream's program")
    func fields() async throws {
        try await FaultTown.with { town in
            for request in [
                FaultTown.request(.echo, method: "POST", ["Connection: close"], body: "x"),
                FaultTown.request(.trailers, "", ["Connection: close"]),
                "GET /nowhere HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                "OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", "nonsense\r\n\r\n",
            ] {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send(request)
                let answer = try await Self.answer(socket)
                let names = answer.head.lowercased().split(separator: "\r\n").dropFirst().map { $0.prefix { $0 != ":" } }
                #expect(names.count { $0 == "date" } == 1 && names.count { $0 == "x-request-id" } == 1, "\(answer.head)")
                #expect(
                    names.count { $0 == "content-length" || $0 == "transfer-encoding" } == (answer.status == 204 ? 0 : 1), "\(answer.head)")
                #expect(!names.contains("server") && answer.field("connection") == "close", "\(answer.head)")
                let formatter = DateFormatter()
                formatter.locale = Locale(identifier: "en_US_POSIX")
                formatter.timeZone = TimeZone(identifier: "GMT")
                formatter.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
                let date = try #require(answer.field("date").flatMap { formatter.date(from: $0) }, "\(answer.head)")
                #expect(abs(date.timeIntervalSinceNow) < 5)
            }
        }
    }

    // MARK: Connections

    @Test("A hundred requests at once are answered one by one in their order, refusals among them", arguments: [0, 1, 97])
    func pipelining(piece: Int) async throws {
        try await FaultTown.with { town in
            let requests = (0..<100).map { index -> String in
                switch index % 7 {
                case 3: "GET /nowhere/\(index) HTTP/1.1\r\nHost: localhost\r\n\r\n"
                case 5:
                    "POST \(FaultTown.path(.echo)) HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
                        + "2\r\nno\r\n3;x=y\r\n\(100 + index)\r\n0\r\nX-Sum: 1\r\n\r\n"
                case 6: FaultTown.request(.count, "?n=\(index)", method: "TRACE")
                default: FaultTown.request(.echo, method: "POST", index == 99 ? ["Connection: close"] : [], body: "no\(100 + index)")
                }
            }
            let all = Array(requests.joined().utf8)
            let socket = try RawSocket(port: town.town.port)
            if piece == 0 {
                try await socket.send(all)
            } else {
                let end = piece == 1 ? 600 : all.count
                for at in stride(from: 0, to: end, by: piece) { try await socket.send(Array(all[at..<min(at + piece, end)])) }
                try await socket.send(Array(all[end...]))
            }
            let (bytes, ended) = try await socket.receiveAll()
            let answers = SmugglingTests.answers(bytes)
            #expect(answers.count == 100 && ended)
            for (index, answer) in answers.enumerated() {
                switch index % 7 {
                case 3: #expect(answer.status == 404 && answer.text.contains("/nowhere/\(index)\""), "\(index): \(answer)")
                case 6: #expect(answer.status == 405, "\(index): \(answer)")
                default: #expect(answer.status == 200 && answer.text == "no\(100 + index)", "\(index): \(answer)")
                }
            }
            #expect(answers.last?.field("connection") == "close")
        }
    }

    @Test("HTTP/1.0 closes unless it asks for more; HTTP/1.1 goes on unless it says close")
    func keepAlive() async throws {
        try await FaultTown.with { town in
            for (version, fields, stays) in [
                ("1.0", "", false), ("1.0", "Connection: Keep-Alive\r\n", true), ("1.0", "Connection: keep-alive, close\r\n", false),
                ("1.1", "", true), ("1.1", "Connection: close\r\n", false), ("1.1", "Connection: foo, CLOSE\r\n", false),
            ] {
                let socket = try RawSocket(port: town.town.port)
                let request = "POST \(FaultTown.path(.echo)) HTTP/\(version)\r\nHost: localhost\r\n\(fields)Content-Length: 2\r\n\r\nhi"
                try await socket.send(request)
                let first = try await Self.next(socket)
                #expect(first.text == "hi", "\(version) \(fields): \(first)")
                let said = first.field("connection")
                #expect(said == (stays ? version == "1.0" ? "keep-alive" : nil : "close"), "\(version) \(fields): \(said ?? "-")")
                try await socket.send(request)
                let second = try await Self.next(socket)
                #expect(stays ? second.text == "hi" : second.status == 0 && second.hasEnded, "\(version) \(fields): \(second)")
            }
        }
    }

    @Test("A client that closes its half after several requests gets all their answers; half a request gets none")
    func halfClosed() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send(
                (0..<3).map { FaultTown.request(.late, "?ms=50&n=\($0)") }.joined() + FaultTown.request(.echo, method: "POST", body: "end"))
            socket.endOutput()
            let (bytes, ended) = try await socket.receiveAll(patience: .seconds(5))
            let answers = SmugglingTests.answers(bytes)
            #expect(ended && answers.map(\.text) == ["late", "late", "late", "end"], "\(answers)")
            for text in ["", "GET /", "GET / HTTP/1.1\r\nHost: localhost\r\n", "\r"] {
                let half = try RawSocket(port: town.town.port)
                try await half.send(text)
                half.endOutput()
                let (bytes, ended) = try await half.receiveAll(patience: .seconds(3))
                #expect(bytes.isEmpty && ended, "\(text.debugDescription)")
            }
        }
    }

    @Test("OPTIONS says what a path takes")
    func options() async throws {
        try await FaultTown.with { town in
            let answer = try await town.ask(.echo, method: "OPTIONS")
            let allow = Set((answer.field("allow") ?? "").components(separatedBy: ", "))
            #expect(answer.status == 204 && allow.isSuperset(of: ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"]), "\(answer.head)")
        }
    }

    @Test("An empty line before a request is forgiven however it is split")
    func emptyLines() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            for piece in [
                "\r", "\n\r", "\n", "G", "ET \(FaultTown.path(.head)) HTTP/1.1\r", "\nHost: localhost\r\nConnection: close\r\n\r", "\n",
            ] {
                try await socket.send(piece)
                try await Task.sleep(for: .milliseconds(20))
            }
            #expect(try await Self.answer(socket).status == 200)
        }
    }

    // MARK: Answers before the end of the request

    @Test("An answer may come before the request's end; a short rest is read, and the connection goes on; a long one ends it")
    func early() async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            try await socket.send("POST \(FaultTown.path(.early)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nfirst")
            let answer = try await Self.next(socket)
            #expect(answer.text == "early" && answer.field("connection") == nil, "\(answer)")
            try await socket.send("other" + FaultTown.request(.echo, method: "POST", ["Connection: close"], body: "next"))
            let next = try await Self.answer(socket)
            #expect(next.text == "next", "\(next)")

            let long = try RawSocket(port: town.town.port)
            try await long.send("POST \(FaultTown.path(.early)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5000000\r\n\r\nfirst")
            let answered = try await Self.next(long)
            #expect(answered.text == "early", "\(answered)")
            try await long.send([UInt8](repeating: 120, count: 4_999_995), patience: .seconds(2))
            #expect(try await long.receiveAll(patience: .seconds(5)).ended)
            try await town.expectWell("after a long rest")
        }
    }

    @Test("The rest of a request that was answered is not waited for without end, nor is half a head")
    func slowRests() async throws {
        try await FaultTown.with(["TRIONEX_CLIENT_BODY_SECONDS": "1", "TRIONEX_CLIENT_HEAD_SECONDS": "1"]) { town in
            for target in ["/nowhere", FaultTown.path(.early)] {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send("POST \(target) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
                let answer = try await Self.answer(socket)
                #expect(answer.isWhole && answer.hasEnded, "\(target): \(answer)")
            }
            let half = try RawSocket(port: town.town.port)
            try await half.send("GET / HTTP/1.1\r\nHost: loc")
            let answer = try await Self.answer(half)
            #expect(answer.status == 408 && answer.hasEnded, "\(answer)")
            let silent = try RawSocket(port: town.town.port)
            #expect(try await silent.receiveAll(patience: .seconds(4)).ended)
        }
    }
}
