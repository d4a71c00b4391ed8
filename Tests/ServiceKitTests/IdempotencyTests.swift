import Contracts
import Foundation
import NIOHTTP1
import ServiceKit
import Synchronization
import TestKit
import Testing

@Suite("An Idempotency-Key")
struct IdempotencyTests {
    private func order(_ email: String) -> JSONValue {
        ["email": .string(email), "title": "Engine", "colour": "red", "count": 2, "parts": []]
    }

    @Test("replays the first answer, and does the work once")
    func replay() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let email = "replay.\(UUID().uuidString.lowercased())@example.org"
        let first = try await api.post("/api/v1/workshop/orders", order(email), headers: ["idempotency-key": "k-1"])
        let second = try await api.post("/api/v1/workshop/orders", order(email), headers: ["idempotency-key": "k-1"])
        #expect(first.status == 201 && second.status == 201)
        #expect(first.header("idempotency-replayed") == nil)
        #expect(second.header("idempotency-replayed") == "true")
        #expect(second.body == first.body && second.header("location") == first.header("location"))
        #expect(Workshop.calls.withLock { $0[email] } == 1)
    }

    @Test("with another payload answers 422")
    func reuse() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let id = UUID().uuidString.lowercased()
        _ = try await api.post("/api/v1/workshop/orders", order("a.\(id)@example.org"), headers: ["idempotency-key": "k-2"])
        let other = try await api.post("/api/v1/workshop/orders", order("b.\(id)@example.org"), headers: ["idempotency-key": "k-2"])
        #expect(other.status == 422 && other.problem == "idempotency-key-reused")
        #expect(Workshop.calls.withLock { $0["b.\(id)@example.org"] } == nil)
    }

    @Test("on an upload is tied to the bytes that were sent, not to their number")
    func uploads() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        func send(_ text: String) async throws -> TestResponse {
            try await api.send(.POST, "/api/v1/workshop/things", bytes: Data(text.utf8), headers: ["idempotency-key": "k-6"])
        }
        #expect(try await send("AAAA").status == 201)
        let again = try await send("AAAA")
        #expect(again.status == 201 && again.header("idempotency-replayed") == "true")
        let other = try await send("BBBB")
        #expect(other.status == 422 && other.problem == "idempotency-key-reused")
    }

    @Test("belongs to one person of one organization")
    func scope() async throws {
        let host = try await TestHost.start(Workshop.self)
        let tenant = TestTenant()
        let email = "scope.\(UUID().uuidString.lowercased())@example.org"
        for person in [tenant.owner, tenant.admin, TestTenant().owner] {
            let answer = try await host.client(person).post("/api/v1/workshop/orders", order(email), headers: ["idempotency-key": "k-3"])
            #expect(answer.status == 201 && answer.header("idempotency-replayed") == nil)
        }
        #expect(Workshop.calls.withLock { $0[email] } == 3)
    }

    @Test("used many times at once does the work once")
    func race() async throws {
        let api = try await TestHost.start(Workshop.self).client(TestTenant().owner)
        let email = "race.\(UUID().uuidString.lowercased())@example.org"
        let body = order(email)
        let statuses = try await withThrowingTaskGroup(of: Int.self) { group in
            for _ in 0..<10 {
                group.addTask { try await api.post("/api/v1/workshop/orders", body, headers: ["idempotency-key": "k-4"]).status }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(statuses.allSatisfy { $0 == 201 || $0 == 409 } && statuses.contains(201))
        #expect(Workshop.calls.withLock { $0[email] } == 1)
    }

    @Test("is forgotten when the request was refused, so that it can be tried again")
    func refused() async throws {
        let person = TestTenant().owner
        let api = try await TestHost.start(Workshop.self).client(person)
        for _ in 0..<2 {
            #expect(try await api.post("/api/v1/workshop/fail", headers: ["idempotency-key": "k-5"]).status == 404)
        }
        #expect(Workshop.calls.withLock { $0[person.id.description] } == 2)
    }
}
