import AsyncHTTPClient
import Foundation
import Glibc
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Testing

@testable import DevStack

@Suite final class MailSinkTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-mail-test") }
    deinit { scratch.remove() }

    /// Holds a dialogue over a real socket: each line is sent after the reply to the one before has come.
    func dialogue(_ sink: MailSink, _ lines: [String]) async throws -> [String] {
        let port = sink.smtpPort
        return try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try SMTPClient.talk(port: port, lines) }) }
        }
    }

    func get(_ path: String, _ sink: MailSink) async throws -> (status: UInt, body: Data) {
        let response = try await HTTPClient.shared.execute(HTTPClientRequest(url: sink.httpURL + path), timeout: .seconds(10))
        return (response.status.code, Data(buffer: try await response.body.collect(upTo: 1_000_000)))
    }

    @Test("A mail sent by SMTP can be read over HTTP, with its dots as they were written")
    func roundTrip() async throws {
        let sink = try await MailSink.start()
        let content = [
            "From: Ada <ada@example.org>", "To: bob@example.org", "Subject: =?utf-8?B?R3LDvMOfZQ==?=",
            "Date: Sat, 21 Nov 2026 06:00:00 +0000", "", "first", "..", "..two dots were one", "last", ".",
        ].joined(separator: "\r\n")
        let replies = try await dialogue(
            sink,
            [
                "EHLO client.example.org", "MAIL FROM:<ada@example.org> SIZE=200", "RCPT TO:<Bob@Example.org>", "RCPT TO:<eve@example.org>",
                "DATA", content, "QUIT",
            ])
        #expect(replies.map { String($0.prefix(3)) } == ["220", "250", "250", "250", "250", "354", "250", "221"])
        #expect(replies[1].contains("250-SIZE 10485760\r\n") && replies[1].contains("AUTH PLAIN LOGIN"))

        let (status, body) = try await get("/messages?to=bob@example.org", sink)
        #expect(status == 200)
        let messages = try JSONDecoder().decode([MailMessage].self, from: body)
        let message = try #require(messages.first)
        #expect(messages.count == 1)
        #expect(message.from == "ada@example.org")
        #expect(message.to == ["bob@example.org", "eve@example.org"])
        #expect(message.subject == "Grüße")
        #expect(message.date == "Sat, 21 Nov 2026 06:00:00 +0000")
        #expect(message.body == "first\n.\n.two dots were one\nlast")
        #expect(sink.messages(to: "EVE@example.org") == messages)
        #expect(try await String(decoding: get("/messages?to=nobody@example.org", sink).body, as: UTF8.self) == "[]")
        await sink.stop()
    }

    @Test("The sink signs in anybody, by PLAIN and by LOGIN")
    func authentication() async throws {
        let sink = try await MailSink.start()
        let replies = try await dialogue(
            sink,
            [
                "EHLO x", "AUTH PLAIN AGFkYQBzZWNyZXQ=", "AUTH PLAIN", "AGFkYQBzZWNyZXQ=", "AUTH LOGIN", "YWRh", "c2VjcmV0",
                "AUTH CRAM-MD5", "QUIT",
            ])
        #expect(replies.map { String($0.prefix(3)) } == ["220", "250", "235", "334", "235", "334", "334", "235", "504", "221"])
        await sink.stop()
    }

    @Test("Mails outlive the sink when it has a directory")
    func persistence() async throws {
        let first = try await MailSink.start(directory: scratch.path + "/mail")
        let send = ["HELO x", "MAIL FROM:<a@example.org>", "RCPT TO:<b@example.org>", "DATA", "Subject: kept\r\n\r\nhello\r\n.", "QUIT"]
        _ = try await dialogue(first, send)
        let before = first.messages()
        await first.stop()
        let second = try await MailSink.start(directory: scratch.path + "/mail")
        #expect(before.count == 1)
        #expect(second.messages() == before)
        _ = try await dialogue(second, send)
        #expect(second.messages().map(\.id) == ["00000001", "00000002"])
        await second.stop()
    }

    @Test("A port in use is a sentence")
    func portInUse() async throws {
        let sink = try await MailSink.start()
        let failure = await #expect(throws: StackFailure.self) { try await MailSink.start(smtpPort: sink.smtpPort) }
        #expect(failure?.description.hasPrefix("Port \(sink.smtpPort) for the mail sink (SMTP) is already in use") == true)
        await sink.stop()
    }

    @Test("Other requests are refused with the status that fits")
    func refusals() async throws {
        let sink = try await MailSink.start()
        #expect(try await get("/elsewhere", sink).status == 404)
        var post = HTTPClientRequest(url: sink.httpURL + "/messages")
        post.method = .POST
        #expect(try await HTTPClient.shared.execute(post, timeout: .seconds(10)).status.code == 405)
        for (text, status) in [("hello\r\n\r\n", "400"), ("\r\n\r\n", "400"), (String(repeating: "x", count: 9_000), "431")] {
            guard case .refused(let refused) = SinkRequest.read(Array(text.utf8)) else {
                Issue.record("\(status) is refused")
                continue
            }
            #expect(refused.hasPrefix(status))
        }
        await sink.stop()
    }
}

@Suite struct SMTPSessionTests {
    /// The codes of the replies; 0 where there is none.
    func codes(_ lines: [String], in session: inout SMTPSession) -> [Int] {
        lines.map { line in
            switch session.receive(Array(line.utf8)[...]) {
            case .silent: 0
            case .reply(let text), .replyAndClose(let text), .deliver(_, let text): Int(text.prefix(3)) ?? -1
            }
        }
    }

    @Test("Commands out of order are refused and change nothing")
    func order() {
        var session = SMTPSession()
        #expect(
            codes(["MAIL FROM:<a@b.c>", "RCPT TO:<a@b.c>", "DATA", "NOOP", "NONSENSE", ""], in: &session) == [503, 503, 503, 250, 500, 500])
        #expect(codes(["EHLO x", "MAIL FROM:<a@b.c>", "MAIL FROM:<a@b.c>", "DATA"], in: &session) == [250, 250, 503, 503])
        #expect(
            codes(["RSET", "MAIL FROM:<>", "RCPT TO:<>", "RCPT TO:b@c.d", "RCPT TO:<b c@d.e>"], in: &session) == [250, 250, 501, 501, 501])
    }

    @Test("What is larger than the limit is refused, as announced and as it comes")
    func size() {
        var session = SMTPSession()
        #expect(codes(["EHLO x", "MAIL FROM:<a@b.c> SIZE=10485761", "MAIL FROM:<a@b.c> size=10485760"], in: &session) == [250, 552, 250])
        #expect(codes(["RCPT TO:<b@b.c>", "DATA"], in: &session) == [250, 354])
        let line = [UInt8](repeating: 0x61, count: 1_000_000)
        for _ in 0..<11 { #expect(session.receive(line[...]) == .silent) }
        #expect(codes(["."], in: &session) == [552])
        #expect(codes(["MAIL FROM:<a@b.c>", "RCPT TO:<b@b.c>", "DATA", "short", "."], in: &session) == [250, 250, 354, 0, 250])
    }

    @Test("Addresses in the domains for failures are refused, for good or for now")
    func failures() {
        var session = SMTPSession()
        let codes = codes(["EHLO x", "MAIL FROM:<a@b.c>", "RCPT TO:<x@refused.test>", "RCPT TO:<x@busy.test>", "DATA"], in: &session)
        #expect(codes == [250, 250, 550, 451, 503])
    }

    @Test("At most a hundred recipients are taken")
    func recipients() {
        var session = SMTPSession()
        _ = codes(["EHLO x", "MAIL FROM:<a@b.c>"], in: &session)
        let replies = codes((0...SMTPSession.recipientLimit).map { "RCPT TO:<r\($0)@b.c>" }, in: &session)
        #expect(replies == Array(repeating: 250, count: 100) + [452])
    }
}

@Suite struct MailMessageTests {
    func message(_ lines: String...) -> MailMessage {
        MailMessage(id: "1", from: "a@b.c", to: ["d@e.f"], content: Array(lines.joined(separator: "\r\n").utf8))
    }

    @Test("Of several parts the plain text is taken, also from parts within parts")
    func multipart() {
        let read = message(
            "Subject: two", " lines", "Content-Type: multipart/mixed; boundary=\"outer\"", "", "preamble", "--outer",
            "Content-Type: multipart/alternative; boundary=inner", "", "--inner", "Content-Type: text/html", "", "<p>no</p>", "--inner",
            "Content-Type: text/plain; charset=utf-8", "Content-Transfer-Encoding: quoted-printable", "", "caf=C3=A9 a=", "nd tea=3D5",
            "--inner--",
            "--outer--", "epilogue")
        #expect(read.subject == "two lines")
        #expect(read.body == "café and tea=5")
    }

    @Test("Base64 and other character sets are decoded")
    func encodings() {
        #expect(message("Content-Transfer-Encoding: base64", "", "aGVsbG8g", "d29ybGQ=").body == "hello world")
        #expect(
            message("Content-Type: text/plain; charset=iso-8859-1", "Content-Transfer-Encoding: quoted-printable", "", "caf=E9").body
                == "café")
        #expect(message("Subject: =?iso-8859-1?Q?caf=E9_cr=E8me?= =?utf-8?q?_to_go?=", "", "x").subject == "café crème to go")
    }

    @Test("A mail without header fields, without a body or with broken parts is still a mail")
    func broken() {
        #expect(message("", "only text").body == "only text")
        #expect(message("Subject: nothing more").body == "")
        #expect(message("Content-Type: multipart/mixed; boundary=x", "", "no parts").body == "no parts")
        #expect(message("Content-Transfer-Encoding: base64", "", "!!").subject == "")
    }
}

/// The client's side of a dialogue, on a blocking socket.
private enum SMTPClient {
    static func talk(port: Int, _ lines: [String]) throws -> [String] {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var limit = timeval(tv_sec: 10, tv_usec: 0)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = Ports.loopback(port: port)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        guard connected == 0 else { throw StackFailure("not connected") }
        var replies = [try reply(socket)]
        for line in lines {
            let bytes = Array((line + "\r\n").utf8)
            guard send(socket, bytes, bytes.count, 0) == bytes.count else { throw StackFailure("not sent") }
            replies.append(try reply(socket))
        }
        return replies
    }

    /// All lines of one reply: the last has a space after its code (RFC 5321, 4.2.1).
    private static func reply(_ socket: Int32) throws -> String {
        var text = ""
        while true {
            var buffer = [UInt8](repeating: 0, count: 4_096)
            let count = recv(socket, &buffer, buffer.count, 0)
            guard count > 0 else { throw StackFailure("no reply after \(text)") }
            text += String(decoding: buffer.prefix(count), as: UTF8.self)
            let last = text.components(separatedBy: "\r\n").dropLast().last ?? ""
            if text.hasSuffix("\r\n"), last.dropFirst(3).first == " " { return text }
        }
    }
}
