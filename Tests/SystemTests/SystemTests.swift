import Contracts
import DevStack
import Foundation
import TestKit
import Testing

@Suite("The nine programs together", .serialized)
struct SystemTests {
    @Test("play the whole journey, and after stopping and starting again all of it is still there")
    func journey() async throws {
        let platform = try await Platform.shared()
        let journey = Journey(
            gateway: platform.addresses.gateway, mail: platform.mail, report: { _ in }, headline: { _ in }, finding: { _ in })
        let record = try await journey.play()
        for name in [ServiceName.content, .search, .analytics, .assistant, .notifications, .users] {
            try await restart(name, platform)
        }
        try await journey.lookAgain(record)
    }

    @Test("lose and double nothing when consumers and a relay are killed in the middle of the work")
    func kills() async throws {
        let platform = try await Platform.shared()
        let (me, _) = try await platform.newcomer()
        let count = 30
        for index in 0..<count {
            switch index {
            case 6: try platform.kill(.search)
            case 12: try platform.kill(.content)
            case 18: try platform.kill(.analytics)
            case 24:
                try platform.kill(.search)
                try platform.kill(.content)
            default: break
            }
            try await publish(index, me)
        }
        try await everythingCounted(count, me)
    }

    @Test("go on without the broker for ten seconds, and catch up when it is back")
    func brokerAway() async throws {
        let platform = try await Platform.shared()
        let (me, email) = try await platform.newcomer()
        try await platform.broker.control("down 1")
        for index in 0..<5 { try await publish(index, me) }
        try await Task.sleep(for: .seconds(10))
        #expect(try await me.get("/api/v1/search?q=compilation")["data"].array.isEmpty)
        try await platform.broker.control("up 1")
        try await everythingCounted(5, me)
        let mails = try await GatewayClient(base: platform.mail).get("/messages?to=\(email)").json.array
        #expect(mails.count { $0["subject"].string?.hasPrefix("Welcome") == true } == 1)
    }

    /// Writes and publishes, trying again while a program is being started again. The key makes that harmless.
    private func publish(_ index: Int, _ me: GatewayClient) async throws {
        let body: JSONValue = [
            "title": .string("Article \(index)"), "content": .string("<p>On the compilation of programs, part \(index).</p>"),
        ]
        let created = try await untilAccepted { try await me.post("/api/v1/content/articles", body, key: "create-\(index)") }
        let id = try #require(created["id"].string)
        _ = try await untilAccepted { try await me.post("/api/v1/content/articles/\(id)/publish", nil, key: "publish-\(index)") }
    }

    private func untilAccepted(_ ask: () async throws -> Exchange) async throws -> Exchange {
        let deadline = ContinuousClock.now + .seconds(20)
        while true {
            let answer = try await ask()
            if answer.status < 300 { return answer }
            // 409 to a publication that had been done when the program was killed before it could answer.
            if answer.status == 409, answer["type"].string?.hasSuffix("article-already-published") == true { return answer }
            guard answer.status >= 500 || answer.status == 409, ContinuousClock.now < deadline else {
                throw Journey.Failed(
                    description: "\(answer.path) answered \(answer.status): \(String(decoding: answer.body, as: UTF8.self))")
            }
            try await Task.sleep(for: .milliseconds(100))
        }
    }

    private func everythingCounted(_ count: Int, _ me: GatewayClient) async throws {
        try await TrionexTesting.eventually("search finds all \(count)") {
            try await me.get("/api/v1/search?q=compilation&limit=100")["total"].int == count
        }
        try await TrionexTesting.eventually("analytics counts all \(count)") {
            try await me.get("/api/v1/analytics/overview")["totals"]["publications"].int ?? 0 >= count
        }
        // Time for a doubled event to show itself.
        try await Task.sleep(for: .seconds(1))
        let articles = try await me.get("/api/v1/content/articles?limit=100")
        #expect(articles["data"].array.count == count)
        #expect(try await me.get("/api/v1/search?q=compilation&limit=100")["total"].int == count)
        #expect(try await me.get("/api/v1/analytics/overview")["totals"]["publications"].int == count)
    }

    /// Stops a program as a signal would; the stack starts it again.
    private func restart(_ name: ServiceName, _ platform: Platform) async throws {
        let process = try #require(platform.stack.process(of: name))
        let before = process.pid
        process.send(.terminate)
        #expect(try await process.exited() == .code(0), "\(name) exits in order")
        try await TrionexTesting.eventually("\(name) runs again") {
            guard let now = platform.stack.process(of: name), now.pid != before, now.isRunning else { return false }
            return (try? await GatewayClient(base: platform.stack.settings.url(of: name)).get("/ready").status) == 200
        }
    }
}
