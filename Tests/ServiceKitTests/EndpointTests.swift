import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import TestKit
import Testing

@Suite("A declared endpoint")
struct EndpointTests {
    private static let order: JSONValue = [
        "email": "ada@example.org", "title": "Engine", "colour": "red", "count": 2, "parts": [["name": "wheel", "amount": 3]],
    ]

    private func order(_ email: String) -> JSONValue {
        guard case .object(var object) = Self.order else { return .null }
        object["email"] = .string(email)
        return .object(object)
    }

    @Test("is refused to nobody, to the powerless and with forged tokens")
    func sweep() async throws {
        try await EndpointSweep.check(
            try await TestHost.start(Workshop.self),
            skipForeign: ["GET /api/v1/workshop/orders/{id}", "PATCH /api/v1/workshop/orders/{id}"])
    }

    @Test("answers 201 with Location and an ETag")
    func created() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let answer = try await api.post("/api/v1/workshop/orders", order("created@example.org"))
        #expect(answer.status == 201)
        #expect(answer.header("location") == "/api/v1/workshop/orders/1")
        #expect(answer.header("etag") == "\"v1\"")
        #expect(answer["email"].string == "created@example.org")
    }

    @Test("names every bad field at once, by JSON pointer and code")
    func everyBadField() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let answer = try await api.post(
            "/api/v1/workshop/orders",
            [
                "email": "nobody", "title": "", "colour": "blue", "count": "two",
                "parts": [["name": "wheel", "amount": 1], ["amount": "x", "size": 3], 7], "due": "tomorrow", "extra": true,
            ])
        #expect(answer.status == 400)
        #expect(answer.header("content-type") == "application/problem+json")
        #expect(answer.problem == "validation-failed")
        let found = Dictionary(
            answer["errors"].array.map { ($0["pointer"].string ?? "", $0["code"].string ?? "") }, uniquingKeysWith: { first, _ in first })
        #expect(
            found == [
                "/email": "invalid-email", "/title": "empty", "/colour": "invalid-choice", "/count": "wrong-type",
                "/parts/1/name": "missing",
                "/parts/1/amount": "wrong-type", "/parts/1/size": "unknown-field", "/parts/2": "wrong-type", "/due": "invalid-time",
                "/extra": "unknown-field",
            ])
    }

    @Test("names every bad field of a merge patch at once too, an unknown choice among them, and reads a time in it")
    func everyBadFieldOfAPatch() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let path = "/api/v1/workshop/orders/\(ArticleID.make())"
        let answer = try await api.patch(
            path, ["title": "", "note": 7, "colour": "blue", "due": "tomorrow", "part": ["amount": "x", "size": 3], "extra": true])
        #expect(answer.status == 400)
        let found = Dictionary(
            answer["errors"].array.map { ($0["pointer"].string ?? "", $0["code"].string ?? "") }, uniquingKeysWith: { first, _ in first })
        #expect(
            found == [
                "/title": "empty", "/note": "wrong-type", "/colour": "invalid-choice", "/due": "invalid-time", "/part/name": "missing",
                "/part/amount": "wrong-type", "/part/size": "unknown-field", "/extra": "unknown-field",
            ])
        let choices = answer["errors"].array.first { $0["pointer"] == "/colour" }?["detail"].string
        #expect(choices == "must be one of red, green")
        #expect(try await api.patch(path, ["colour": ["red"], "title": ""]).badFields == ["/title", "/colour"])
        let good = try await api.patch(path, ["colour": "green", "due": "2026-01-15T10:30:00Z"])
        #expect(good.status == 200 && good["colour"] == "set green", "\(good.text)")
        #expect(good["due"].string.flatMap { Timestamp.date($0) } == Timestamp.date("2026-01-15T10:30:00Z"))
    }

    @Test(
        "refuses what is no JSON, no UTF-8, of another type or too large", arguments: ["{", "", "[1", "{\"email\":\"\u{0}\"", "null", "7"])
    func malformed(body: String) async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let answer = try await api.send(
            .POST, "/api/v1/workshop/orders", bytes: Data(body.utf8), headers: ["content-type": "application/json"])
        #expect(answer.status == 400)
        #expect(["malformed-json", "validation-failed"].contains(answer.problem))
    }

    @Test("refuses invalid UTF-8, a wrong media type and a body over the limit")
    func refusedBodies() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let path = "/api/v1/workshop/orders"
        let json = ["content-type": "application/json"]
        let invalid = try await api.send(.POST, path, bytes: Data([0x7B, 0x22, 0xFF, 0xFE, 0x22, 0x3A, 0x31, 0x7D]), headers: json)
        #expect(invalid.status == 400)
        let text = try await api.send(.POST, path, bytes: Data("{}".utf8), headers: ["content-type": "text/plain"])
        #expect(text.status == 415)
        let large = try await api.send(.POST, path, bytes: Data(repeating: 0x20, count: 2_500_000), headers: json)
        #expect(large.status == 413)
        #expect(large.problem == "body-too-large")
    }

    @Test("answers 304 to a matching If-None-Match and 412 to a stale If-Match")
    func conditions() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let path = "/api/v1/workshop/orders/\(ArticleID.make())"
        let unchanged = try await api.get(path, headers: ["if-none-match": "\"v7\""])
        #expect(unchanged.status == 304 && unchanged.body.isEmpty)
        #expect(try await api.get(path, headers: ["if-none-match": "\"v6\""]).status == 200)
        #expect(try await api.patch(path, ["title": "A"], headers: ["if-match": "\"v6\""]).status == 412)
        let patched = try await api.patch(
            path, ["title": "A", "note": nil], headers: ["if-match": "\"v7\"", "content-type": "application/merge-patch+json"])
        #expect(patched.status == 200)
        #expect(patched["title"].string == "set A" && patched["note"].string == "clear")
        #expect(try await api.patch(path, [:])["note"].string == "keep")
    }

    @Test("answers 404 to an id that is none, and 405 with Allow to another method")
    func unknown() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        #expect(try await api.get("/api/v1/workshop/orders/not-an-id").status == 404)
        let method = try await api.delete("/api/v1/workshop/filter")
        #expect(method.status == 405)
        #expect(method.header("allow") == "GET, HEAD")
        let nowhere = try await api.get("/api/v1/nowhere")
        #expect(nowhere.status == 404 && nowhere.problem == "route-not-found")
        #expect(nowhere["requestId"].string == nowhere.header("x-request-id"))
    }

    @Test("reads numbers, flags, choices and lists from the query, and names the bad ones")
    func query() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let answer = try await api.get("/api/v1/workshop/filter?limit=5&colour=green&tags=a,b&tags=c&open=true")
        #expect(answer["limit"].int == 5 && answer["colour"].string == "green" && answer["open"].bool == true)
        #expect(answer["tags"].array.compactMap(\.string) == ["a", "b", "c"])
        let bad = try await api.get("/api/v1/workshop/filter?limit=500&colour=blue&open=perhaps&nonsense=1")
        #expect(bad.status == 400)
        #expect(Set(bad.badFields) == ["?limit", "?colour", "?open", "?nonsense"])
        #expect(try await api.get("/api/v1/workshop/filter?limit=%ZZ").status == 400)
    }

    @Test("pages with an opaque cursor and a Link")
    func pages() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        var path: String? = "/api/v1/workshop/numbers?limit=10"
        var seen: [Int] = []
        var pages = 0
        while let next = path, pages < 10 {
            let answer = try await api.get(next)
            #expect(answer.status == 200)
            seen += answer["data"].array.compactMap { $0["number"].int }
            pages += 1
            let link = answer.header("link")
            path = link.map { String($0.dropFirst().prefix { $0 != ">" }) }
            #expect((link == nil) == answer["nextCursor"].isNull)
        }
        #expect(seen == Array(1...25) && pages == 3)
        #expect(try await api.get("/api/v1/workshop/numbers?cursor=garbage!").status == 400)
        let hostile = Base64URL.encode(Data("[\"-9000000000000000000\",\"\(UUID().uuidString)\"]".utf8))
        let cursor = try JSON.decode(Cursor.self, from: JSON.encode(JSONValue.string(hostile)))
        #expect(cursor.timeAndID == nil, "a time that no database would take is no place to begin")
    }

    @Test("shows nothing of an unexpected error, and logs it once")
    func surprise() async throws {
        let host = try await TestHost.start(Workshop.self)
        let answer = try await host.client(TestTenant().owner).get(
            "/api/v1/workshop/surprise", headers: ["x-request-id": "surprise-request-1"])
        #expect(answer.status == 500 && answer.problem == "internal-error")
        #expect(!answer.text.contains("Surprise") && !answer.text.contains("do not show"))
        let lines = host.log.lines.filter { $0.contains("surprise-request-1") }
        #expect(lines.filter { $0.contains("\"message\":\"request\"") }.count == 1)
        #expect(!lines.joined().contains("do not show"))
    }

    @Test("is open to the platform's programs only when it says so")
    func internalEndpoints() async throws {
        let host = try await TestHost.start(Workshop.self)
        #expect(try await host.client(service: .auth).get("/internal/v1/workshop/secret").status == 204)
        #expect(try await host.client(service: .auth).get("/api/v1/workshop/filter").status == 403)
        #expect(try await host.client(TestTenant().owner).get("/internal/v1/workshop/secret").status == 403)
    }

    @Test("continues a trace and a sane request id, and makes new ones otherwise")
    func correlation() async throws {
        let host = try await TestHost.start(Workshop.self)
        let api = host.client(token: nil)
        let trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        let answer = try await api.get(
            "/api/v1/workshop/open", headers: ["x-request-id": "request-abc-1", "traceparent": "00-\(trace)-00f067aa0ba902b7-01"])
        #expect(answer.header("x-request-id") == "request-abc-1")
        let line = try #require(host.log.lines.first { $0.contains("request-abc-1") })
        #expect(line.contains("\"traceId\":\"\(trace)\""))
        let insane = try await api.get("/api/v1/workshop/open", headers: ["x-request-id": "a b\"c"])
        #expect(insane.header("x-request-id") != "a b\"c")
    }

    @Test("writes one log event with the fields of the requirements, and never a token")
    func logEvent() async throws {
        let host = try await TestHost.start(Workshop.self)
        let person = TestTenant().owner
        let api = try await host.client(person)
        _ = try await api.post(
            "/api/v1/workshop/orders", order("logged@example.org"), headers: ["x-request-id": "logged-request-1", "user-agent": "probe/1"])
        let line = try #require(host.log.lines.first { $0.contains("logged-request-1") })
        let event = try JSON.decode(JSONValue.self, from: Data(line.utf8))
        #expect(event["service"].string == "content" && event["action"].string == "POST /api/v1/workshop/orders")
        #expect(event["statusCode"].int == 201 && event["userAgent"].string == "probe/1" && event["ip"].string != nil)
        #expect(event["userId"].string == "person:\(person.id)" && event["tenantId"].string == person.tenant.description)
        #expect(event["duration"].int != nil && Timestamp.date(event["timestamp"].string ?? "") != nil && event["level"].string == "info")
        #expect(event["metadata"]["colour"].string == "red")
        #expect(!host.log.lines.joined().contains(try #require(api.token)))
    }

    @Test("appears in the OpenAPI document as it is declared")
    func openAPI() async throws {
        let host = try await TestHost.start(Workshop.self)
        let document = try await host.client(token: nil).get("/openapi.json").json
        #expect(document["openapi"].string == "3.1.0")
        let place = document["paths"]["/api/v1/workshop/orders"]["post"]
        #expect(place["x-permission"].string == "orders:write")
        #expect(place["responses"]["201"]["content"]["application/json"]["schema"]["$ref"].string == "#/components/schemas/OrderView")
        let order = document["components"]["schemas"]["Order"]
        #expect(Set(order["required"].array.compactMap(\.string)) == ["email", "title", "colour", "count", "parts"])
        #expect(order["properties"]["email"]["format"].string == "email")
        #expect(order["properties"]["colour"]["enum"].array.compactMap(\.string) == ["red", "green"])
        #expect(order["properties"]["parts"]["items"]["properties"]["amount"]["type"].string == "integer")
        #expect(document["paths"]["/api/v1/workshop/open"]["get"]["security"].array.isEmpty)
        #expect(document["paths"]["/internal/v1/workshop/secret"].isNull)
    }

    @Test("tells operators that it lives, is ready and how long requests take")
    func operations() async throws {
        let host = try await TestHost.start(Workshop.self)
        let api = host.client(token: nil)
        _ = try await api.get("/api/v1/workshop/open")
        #expect(try await api.get("/health").status == 200)
        let ready = try await api.get("/ready")
        #expect(ready.status == 200 && ready["dependencies"]["database"]["status"].string == "up")
        #expect(ready["dependencies"]["kafka"]["status"].string == "up" && ready["dependencies"]["redis"]["status"].string == "up")
        #expect(ready["status"].string == "ready")
        let metrics = try await api.get("/metrics").text
        #expect(
            metrics.contains(
                "trionex_http_request_duration_seconds_bucket{service=\"content\",route=\"GET /api/v1/workshop/open\",status=\"200\""))
        #expect(metrics.contains("process_resident_memory_bytes"))
    }
}
