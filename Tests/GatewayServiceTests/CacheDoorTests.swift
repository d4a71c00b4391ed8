import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

/// The cache as callers see it, through a whole gateway.
@Suite("Shared answers at the door")
struct CacheDoorTests {
    private let open = "public, s-maxage=600"

    private func cached(_ answer: TestResponse) -> Bool { answer.headers.first(name: "cache-status")?.contains("trionex; hit") == true }

    /// The first answer of a route shows that its service lets answers be shared; it is kept from then on.
    private func learn(_ client: TestClient) async throws {
        _ = try await client.get(SharingUpstream.path("first", open))
    }

    @Test("One fetches, the others of the organization with the same rights get it; other rights and other organizations never do")
    func isolation() async throws {
        try await SharingUpstream.with { town, upstream in
            let one = TestTenant(), other = TestTenant()
            let reader = try await town.client(one.viewer)
            try await learn(reader)
            let path = SharingUpstream.path("a", open)
            let first = try await reader.get(path)
            #expect(first.status == 200 && !cached(first))
            let second = try await reader.get(path)
            #expect(cached(second))
            #expect(second.body == first.body)
            #expect(second.headers.first(name: "age").flatMap { Int($0) } != nil)
            let colleague = try await town.client(TestPerson(.viewer, in: one.id)).get(path)
            #expect(cached(colleague) && colleague["number"] == 1)
            for (number, stranger) in [other.viewer, one.owner, other.owner].enumerated() {
                let client = try await town.client(stranger)
                #expect(try await client.get(path)["number"] == .integer(number + 2), "whoever may see something else asks the service")
                let again = try await client.get(path)
                #expect(cached(again) && again["number"] == .integer(number + 2))
            }
            #expect(upstream.seen.count("/api/v1/content/articles/a") == 4)
            let nobody = try await town.client().get(path)
            #expect(nobody.status == 401, "a kept answer opens nothing")
        }
    }

    @Test("Without public it is each one's own; what is private, sets a cookie or varies by everything is never kept")
    func own() async throws {
        try await SharingUpstream.with { town, upstream in
            let tenant = TestTenant()
            let reader = try await town.client(tenant.viewer), colleague = try await town.client(TestPerson(.viewer, in: tenant.id))
            try await learn(reader)
            let path = SharingUpstream.path("own", "s-maxage=600")
            #expect(try await reader.get(path)["number"] == 1)
            #expect(try await colleague.get(path)["number"] == 2)
            #expect(try await reader.get(path)["number"] == 1)
            #expect(try await colleague.get(path)["number"] == 2)
            let never = [
                SharingUpstream.path("private", "private, max-age=600"), SharingUpstream.path("store", "public, max-age=600, no-store"),
                SharingUpstream.path("silent", "max-age=600"), SharingUpstream.path("cookie", open, ["cookie": "1"]),
                SharingUpstream.path("star", open, ["vary": "*"]), SharingUpstream.path("both", "private, s-maxage=600"),
            ]
            for path in never {
                for number in 1...3 { #expect(try await reader.get(path)["number"] == .integer(number), "\(path)") }
            }
        }
    }

    @Test("What varies by a field is kept for each of its values")
    func varies() async throws {
        try await SharingUpstream.with { town, upstream in
            let client = try await town.client(TestTenant().viewer)
            try await learn(client)
            let path = SharingUpstream.path("a", open, ["vary": "Accept-Language"])
            for _ in 0..<2 {
                for language in ["de", "fr"] {
                    #expect(try await client.get(path, headers: ["accept-language": language])["language"] == .string(language))
                }
            }
            #expect(upstream.seen.count("/api/v1/content/articles/a") == 2)
        }
    }

    @Test("A hundred at once ask the service once")
    func stampede() async throws {
        try await SharingUpstream.with { town, upstream in
            let client = try await town.client(TestTenant().viewer)
            try await learn(client)
            let path = SharingUpstream.path("a", open, ["wait": "300"])
            let answers = try await withThrowingTaskGroup(of: TestResponse.self) { group in
                for _ in 0..<100 { group.addTask { try await client.get(path) } }
                return try await group.reduce(into: [TestResponse]()) { $0.append($1) }
            }
            #expect(answers.allSatisfy { $0.status == 200 && $0["number"] == 1 })
            #expect(upstream.seen.count("/api/v1/content/articles/a") == 1)
        }
    }

    @Test("Whoever has it already gets a 304 without a length of the whole, whether it is kept or fetched just then")
    func conditional() async throws {
        try await SharingUpstream.with { town, upstream in
            let client = try await town.client(TestTenant().viewer)
            try await learn(client)
            for id in ["fetched", "kept"] {
                let path = SharingUpstream.path(id, open, ["tag": "1"])
                if id == "kept" { #expect(try await client.get(path).status == 200) }
                for _ in 0..<2 {
                    let answer = try await client.get(path, headers: ["if-none-match": "\"1\""])
                    #expect(answer.status == 304 && answer.body.isEmpty)
                    #expect(answer.headers.first(name: "content-length") == nil)
                    #expect(answer.headers.first(name: "etag") == "\"1\"")
                }
                let whole = try await client.get(path)
                #expect(whole.status == 200 && whole["number"] == 1)
                #expect(upstream.seen.count("/api/v1/content/articles/\(id)") == 1)
            }
        }
    }

    @Test("A HEAD is answered as the GET would be, and a compressed answer from the cache says so")
    func codings() async throws {
        try await SharingUpstream.with { town, upstream in
            let client = try await town.client(TestTenant().viewer)
            try await learn(client)
            let path = SharingUpstream.path("a", open, ["size": "5000"])
            let plain = try await client.get(path)
            let packed = try await client.get(path, headers: ["accept-encoding": "gzip"])
            #expect(cached(packed))
            #expect(packed.headers.first(name: "content-encoding") == "gzip")
            #expect(packed.headers["vary"].joined(separator: ",").lowercased().contains("accept-encoding"))
            #expect(packed.body.count < plain.body.count)
            #expect(packed.headers.first(name: "content-length") == "\(packed.body.count)")
            #expect(try await client.get(path).body == plain.body)
            let head = try await client.head(path)
            #expect(cached(head) && head.body.isEmpty)
            #expect(head.headers.first(name: "content-length") == "\(plain.body.count)")
            #expect(upstream.seen.count("/api/v1/content/articles/a") == 1)
        }
    }

    @Test("A change through the gateway takes away what was under its path, on whatever event loop")
    func changed() async throws {
        try await SharingUpstream.with { town, upstream in
            let tenant = TestTenant()
            let reader = try await town.client(tenant.viewer), owner = try await town.client(tenant.owner)
            try await learn(reader)
            let path = SharingUpstream.path("a", open)
            for number in 1...5 {
                #expect(try await reader.get(path)["number"] == .integer(2 * number - 1))
                #expect(cached(try await reader.get(path)))
                #expect(try await owner.put(SharingUpstream.path("a", "no-store"), [:])["number"] == .integer(2 * number))
            }
        }
    }

    @Test("What only asks, such as OPTIONS, takes nothing away")
    func asked() async throws {
        try await SharingUpstream.with { town, upstream in
            let owner = TestTenant().owner, reader = try await town.client(owner)
            // Of no document, so that the service gets every method.
            let path = "/api/v1/content/shelf?caching=public,s-maxage%3D600"
            for _ in 0..<2 { _ = try await reader.get(path) }
            #expect(cached(try await reader.get(path)))
            #expect(try await reader.send(.OPTIONS, path, bytes: nil).status == 200)
            #expect(upstream.seen.count("/api/v1/content/shelf") == 3, "OPTIONS has reached the service")
            for _ in 0..<10 { #expect(cached(try await reader.get(path))) }
            #expect(upstream.seen.count("/api/v1/content/shelf") == 3)
            #expect(try await reader.delete(path).status == 200)
            #expect(!cached(try await reader.get(path)))
        }
    }

    @Test("When the service fails or is gone the old answer goes on, where it allows that, and nothing else does")
    func gone() async throws {
        try await SharingUpstream.with { town, upstream in
            let client = try await town.client(TestTenant().viewer)
            try await learn(client)
            let kept = SharingUpstream.path("kept", "public, s-maxage=1, stale-if-error=600")
            let other = SharingUpstream.path("other", "public, s-maxage=1")
            for path in [kept, other] { #expect(try await client.get(path).status == 200) }
            try await Task.sleep(for: .milliseconds(1_100))
            upstream.seen.fail(true)
            let old = try await client.get(kept)
            #expect(old.status == 200 && old["number"] == 1)
            #expect(try await client.get(other).status == 503)
            await upstream.kill()
            let without = try await client.get(kept)
            #expect(without.status == 200 && without["number"] == 1)
            #expect(try await client.get(other).status == 503)
        }
    }

    @Test("While one fetches anew in the background the others have the old answer at once")
    func refreshed() async throws {
        try await SharingUpstream.with { town, upstream in
            let client = try await town.client(TestTenant().viewer)
            try await learn(client)
            let path = SharingUpstream.path("a", "public, s-maxage=1, stale-while-revalidate=600", ["tag": "1"])
            #expect(try await client.get(path)["version"] == 1)
            try await Task.sleep(for: .milliseconds(1_100))
            upstream.seen.change()
            #expect(try await client.get(path)["version"] == 1, "the old one, and the new one is asked for")
            try await eventually("the new one has come") { try await client.get(path)["version"] == 2 }
        }
    }

    @Test("An event of the service takes away what its organization has, on this gateway and for what comes from Redis")
    func purged() async throws {
        let servers = try await TestServers.shared.value
        try await SharingUpstream.with(["TRIONEX_KAFKA_BROKERS": servers.broker.brokers]) { town, upstream in
            let one = TestTenant(), other = TestTenant()
            let mine = try await town.client(one.viewer), theirs = try await town.client(other.viewer)
            try await learn(mine)
            try await eventually("it hears of events") { town.log.all.contains { $0.contains("purged by events") } }
            let path = SharingUpstream.path("a", open)
            #expect(try await theirs.get(path)["number"] == 1)
            #expect(try await mine.get(path)["number"] == 2)
            #expect(cached(try await mine.get(path)))
            let article = ArticlePublished.example
            // Who listens from now on hears nothing of before: it is said until it is heard.
            try await eventually("it is asked for anew") {
                try await TestEvents.publish(article, for: one.id)
                try await Task.sleep(for: .milliseconds(200))
                return try await mine.get(path)["number"].int ?? 0 > 2
            }
            let kept = try await theirs.get(path)
            #expect(cached(kept) && kept["number"] == 1, "nothing of theirs has changed")
        }
    }
}
