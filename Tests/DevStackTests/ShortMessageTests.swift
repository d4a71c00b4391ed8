import AsyncHTTPClient
import Foundation
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import Testing

@testable import DevStack

@Suite("Short messages of the sink")
struct ShortMessageTests {
    private let account = "AC00000000000000000000000000000001"

    private func send(
        _ sink: MailSink, _ method: HTTPMethod, _ query: String = "", form: String? = nil, token: String? = "local"
    ) async throws -> (status: UInt, json: [String: Any]) {
        var request = HTTPClientRequest(url: "\(sink.httpURL)/2010-04-01/Accounts/\(account)/Messages.json\(query)")
        request.method = method
        if let token {
            request.headers.add(name: "authorization", value: "Basic " + Data("\(account):\(token)".utf8).base64EncodedString())
        }
        if let form {
            request.headers.add(name: "content-type", value: "application/x-www-form-urlencoded")
            request.body = .bytes(ByteBuffer(string: form))
        }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        let body = Data(buffer: try await response.body.collect(upTo: 1_000_000))
        return (response.status.code, try #require(try JSONSerialization.jsonObject(with: body) as? [String: Any]))
    }

    @Test("A message is taken with Twilio's answer, and can be read by number and on the page, escaped")
    func taken() async throws {
        let sink = try await MailSink.start()
        let answer = try await send(sink, .POST, form: "To=%2B4930123456&From=%2B15005550006&Body=a+%3Cb%3E+%26+%C3%BC")
        #expect(answer.status == 201)
        #expect(answer.json["status"] as? String == "queued")
        #expect((answer.json["sid"] as? String)?.wholeMatch(of: /SM[0-9a-f]{32}/) != nil)
        #expect(answer.json["account_sid"] as? String == account)
        #expect(answer.json["num_segments"] as? String == "1")
        let kept = try #require(sink.shortMessages(to: "+4930123456").first)
        #expect(kept.body == "a <b> & ü")
        #expect(kept.from == "+15005550006")

        func get(_ path: String, accept: String) async throws -> String {
            var request = HTTPClientRequest(url: sink.httpURL + path)
            request.headers.add(name: "accept", value: accept)
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
            return String(buffer: try await response.body.collect(upTo: 1_000_000))
        }
        let json = try await get("/sms?to=%2B4930123456", accept: "*/*")
        #expect(json.contains("\"body\":\"a <b> & ü\""))
        #expect(try await get("/sms?to=+4930123456", accept: "*/*") == json)
        #expect(try await get("/sms?to=%2B4930000000", accept: "*/*") == "[]")
        #expect(try await get("/", accept: "*/*") == "[]")
        #expect(try await get("/", accept: "text/html").contains("<pre>a &lt;b&gt; &amp; ü</pre>"))
        await sink.stop()
    }

    @Test("A list names the messages to a number, newest first, as many as were asked for")
    func list() async throws {
        let sink = try await MailSink.start()
        for index in 0..<3 { _ = try await send(sink, .POST, form: "To=%2B4930123456&From=Trionex&Body=n\(index)") }
        _ = try await send(sink, .POST, form: "To=%2B4930123457&From=Trionex&Body=other")
        let list = try await send(sink, .GET, "?To=%2B4930123456&PageSize=2")
        #expect(list.status == 200)
        let messages = try #require(list.json["messages"] as? [[String: Any]])
        #expect(messages.map { $0["body"] as? String } == ["n2", "n1"])
        #expect((messages[0]["date_created"] as? String)?.hasSuffix("+0000") == true)
        await sink.stop()
    }

    @Test(
        "What Twilio refuses is refused with its codes",
        arguments: [
            ("To=12345&From=a&Body=x", 400, 21211), ("To=%2B15005550009&From=a&Body=x", 400, 21614),
            ("To=%2B15005550004&From=a&Body=x", 400, 21610), ("To=%2B15005550003&From=a&Body=x", 429, 20429),
            ("To=%2B15005550007&From=a&Body=x", 503, 20503), ("To=%2B4930123456&Body=x", 400, 21603),
            ("To=%2B4930123456&From=a", 400, 21602),
        ])
    func refused(_ form: String, _ status: UInt, _ code: Int) async throws {
        let sink = try await MailSink.start()
        let answer = try await send(sink, .POST, form: form)
        #expect(answer.status == status)
        #expect(answer.json["code"] as? Int == code)
        #expect(sink.shortMessages().isEmpty)
        await sink.stop()
    }

    @Test("Nobody sends without a token, and one number's message is taken without an answer")
    func edges() async throws {
        let sink = try await MailSink.start()
        #expect(try await send(sink, .POST, form: "To=%2B4930123456&From=a&Body=x", token: nil).status == 401)
        #expect(try await send(sink, .POST, form: "To=%2B4930123456&From=a&Body=x", token: "wrong").status == 401)
        #expect(sink.shortMessages().isEmpty)
        await #expect(throws: (any Error).self) { try await send(sink, .POST, form: "To=%2B15005550008&From=a&Body=lost") }
        #expect(sink.shortMessages(to: "+15005550008").map(\.body) == ["lost"])
        await sink.stop()
    }

    @Test("A request that comes in pieces is waited for, and one that is too large is refused")
    func pieces() {
        let head = "POST /x?a=b%20c HTTP/1.1\r\nContent-Length: 5\r\n\r\n"
        guard case .incomplete = SinkRequest.read(Array((head + "abc").utf8)) else {
            Issue.record("two bytes are to come")
            return
        }
        guard case .complete(let request) = SinkRequest.read(Array((head + "a=%2B").utf8)) else {
            Issue.record("it is complete")
            return
        }
        #expect(request.form == ["a": "+"])
        #expect(request.query == ["a": "b c"])
        guard case .refused(let status) = SinkRequest.read(Array("POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n".utf8)) else {
            Issue.record("too large")
            return
        }
        #expect(status.hasPrefix("413"))
    }
}
