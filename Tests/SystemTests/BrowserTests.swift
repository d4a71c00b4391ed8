import AsyncHTTPClient
import Contracts
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import TestKit
import Testing

/// What a page in a browser does with analytics, through the gateway as there is no other way for it.
extension SystemTests {
    private static let origin = "https://shop.example"
    private static let agent = "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"

    @Test("count a page's beacon, whose answer the page may read where its organization allows its origin")
    func beacon() async throws {
        let platform = try await Platform.shared()
        let shop = try await SweptOrganization.found(at: platform.addresses.gateway, "shop")
        let made = try await shop.client.post("/api/v1/auth/api-keys", ["name": "Page", "scopes": ["analytics:write"]])
        #expect(made.status == 201, "\(made.text)")
        let key = try #require(made["key"].string)

        let folder = platform.stack.settings.runDirectory
        let file = folder + "/gateway-\(shop.slug).yaml"
        try "cors:\n  tenants:\n    \(shop.slug): [\(Self.origin)]\n".write(toFile: file, atomically: true, encoding: .utf8)
        let gateway = try await ExtraGateway.start(beside: platform.addresses, in: folder, settings: ["TRIONEX_GATEWAY_FILE": file])
        do {
            try await report(with: key, at: gateway)
        } catch {
            await gateway.stop()
            throw error
        }
        await gateway.stop()

        try await TrionexTesting.eventually("both beacons are counted, each once") {
            let totals = try await shop.client.get("/api/v1/analytics/overview")["totals"]
            return totals["events"] == 2 && totals["pageViews"] == 2 && totals["sessions"] == 1
        }
        // Whose key it was is not who looked at the page.
        #expect(try await shop.client.get("/api/v1/analytics/overview")["totals"]["uniqueUsers"] == 0)
    }

    /// Two beacons: one of the organization's page, one of a page that nobody named, which is not told how it went.
    private func report(with key: String, at gateway: ExtraGateway) async throws {
        let page = TestClient(base: gateway.url, token: nil)
        for (origin, isAllowed) in [(Self.origin, true), ("https://stranger.example", false)] {
            let body: JSONValue = [
                "writeKey": .string(key), "sentAt": .string(Timestamp.text(Date())),
                "events": [["eventName": "cta.clicked", "eventId": .string("\(EventID.make())"), "sessionId": "s1"]],
                "pageViews": [["url": .string(origin + "/pricing"), "eventId": .string("\(EventID.make())"), "sessionId": "s1"]],
            ]
            // As `navigator.sendBeacon` sends a text: no question before it, no header of the page's own.
            let headers = ["content-type": "text/plain;charset=UTF-8", "origin": origin, "user-agent": Self.agent]
            var answer: TestResponse?
            // The gateway has to have heard that anybody may; ids make asking again harmless.
            try await TrionexTesting.eventually("the beacon is taken") {
                answer = try await page.send(.POST, "/api/v1/analytics/beacon", bytes: try JSON.encode(body), headers: headers)
                return answer?.status == 202
            }
            #expect(answer?["accepted"] == 2, "\(answer?.text ?? "")")
            #expect(answer?.header("access-control-allow-origin") == (isAllowed ? origin : nil))
            let asked = try await page.send(
                .OPTIONS, "/api/v1/analytics/beacon", bytes: nil,
                headers: ["origin": origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type"])
            #expect(asked.status == 204)
            #expect(asked.header("access-control-allow-origin") == (isAllowed ? origin : nil))
        }
        let nobodys: JSONValue = ["writeKey": "trx_nobodys", "events": [["eventName": "x"]]]
        let wrong = try await page.send(
            .POST, "/api/v1/analytics/beacon", bytes: try JSON.encode(nobodys),
            headers: ["content-type": "text/plain", "origin": Self.origin, "user-agent": Self.agent])
        #expect(wrong.status == 401, "\(wrong.text)")
        #expect(wrong.header("access-control-allow-origin") == Self.origin, "a page may read a refusal, too")
    }

    @Test(
        "keep a stream of figures open through the gateway, with heartbeats and news, until its session is revoked",
        .timeLimit(.minutes(4)))
    func realtime() async throws {
        let platform = try await Platform.shared()
        let mine = try await SweptOrganization.found(at: platform.addresses.gateway, "watching")
        let other = try await SweptOrganization.found(at: platform.addresses.gateway, "staying")
        let stream = try await FigureStream.open(mine.client), beside = try await FigureStream.open(other.client)
        #expect(try await stream.next { $0.figures?["events"] == 0 }, "the figures there are come at once")
        #expect(try await mine.client.post("/api/v1/analytics/events", ["eventName": "clicked"]).status == 202)
        #expect(try await stream.next { $0.figures?["events"] == 1 && $0.figures?["activeUsers"] == 1 })
        #expect(try await stream.next { $0.isHeartbeat }, "nothing happens, and nobody takes the stream for dead")

        #expect(try await mine.client.post("/api/v1/auth/logout").status < 300)
        let revoked = ContinuousClock.now
        try await stream.untilEnd()
        #expect(ContinuousClock.now - revoked < .seconds(30), "long before the stream's own time is over")
        let again = try await mine.client.get("/api/v1/analytics/realtime")
        #expect(again.status == 401, "\(again.text)")
        // Another's stream goes on: it was no restart that ended this one.
        #expect(try await beside.next { $0.isHeartbeat })
        beside.close()
    }
}

/// Server-sent events of `/analytics/realtime`, as they come through.
private final class FigureStream: Sendable {
    struct Block: Sendable {
        let text: String
        var isHeartbeat: Bool { text.hasPrefix(":") }
        var figures: JSONValue? {
            text.split(separator: "\n").first { $0.hasPrefix("data: ") }.flatMap {
                try? JSON.decode(JSONValue.self, from: Data($0.dropFirst(6).utf8))
            }
        }
    }

    private let blocks: AsyncStream<Block>
    private let reading: Task<Void, Never>

    static func open(_ client: TestClient) async throws -> FigureStream {
        var request = HTTPClientRequest(url: client.base + "/api/v1/analytics/realtime")
        request.headers.add(name: "authorization", value: "Bearer \(client.token ?? "")")
        request.headers.add(name: "accept", value: "text/event-stream")
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(200))
        #expect(response.status == .ok)
        #expect(response.headers.first(name: "content-type") == "text/event-stream")
        #expect(response.headers.first(name: "content-encoding") == nil)
        return FigureStream(response.body)
    }

    private init(_ body: HTTPClientResponse.Body) {
        let (blocks, continuation) = AsyncStream<Block>.makeStream()
        self.blocks = blocks
        reading = Task {
            var text = ""
            // Breaking the connection off is how a gateway ends an answer that has begun.
            try? await {
                for try await part in body {
                    text += String(buffer: part)
                    while let end = text.range(of: "\n\n") {
                        continuation.yield(Block(text: String(text[..<end.lowerBound])))
                        text.removeSubrange(..<end.upperBound)
                    }
                }
            }()
            continuation.finish()
        }
    }

    /// Whether such a block comes before the stream ends.
    func next(_ isWanted: (Block) -> Bool) async throws -> Bool {
        for await block in blocks where isWanted(block) { return true }
        return false
    }

    func untilEnd() async throws {
        for await _ in blocks {}
    }

    func close() { reading.cancel() }
}
