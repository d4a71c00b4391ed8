import Contracts
import DevStack
import Foundation
import Kafka
import Logging
import NIOCore
import Redis
import TestKit
import Testing

@testable import GatewayService

@Suite("Answers that all replicas share")
struct CacheRemoteTests {
    private static let logger = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }
    private let open = "Cache-Control: public, max-age=60"

    private func redis(_ url: String) async throws -> Redis {
        let redis = Redis(try RedisConfiguration(url: url), logger: Self.logger)
        try await redis.ping()
        return redis
    }

    private func replicas(_ url: String, _ count: Int) async throws -> [CacheClient] {
        var clients: [CacheClient] = []
        for _ in 0..<count {
            clients.append(CacheClient(remote: ResponseCacheRemote(redis: try await redis(url), logger: Self.logger)))
        }
        return clients
    }

    private func sharedURL() async throws -> String { try await TestServers.shared.value.redis.url }

    /// Answers as the service until Redis has it, then gives what the second replica says.
    private func handedOver(
        _ one: CacheClient, _ other: CacheClient, _ question: CacheQuestion, _ scope: CacheScope, _ head: ResponseHead, _ body: String
    ) async throws -> CacheHit {
        for _ in 0..<200 {
            _ = await one.get(question, scope, else: head, body)
            // It is written in the background; a look that finds nothing lets its fill go.
            try await Task.sleep(for: .milliseconds(10))
            if let hit = await other.look(question, scope).hit { return hit }
        }
        Issue.record("never reached the other replica")
        throw CancellationError()
    }

    @Test("What one replica fetched another gives out, body, lines and age")
    func shared() async throws {
        let clients = try await replicas(try await sharedURL(), 2)
        let scope = CacheScope(TestTenant().user.caller)
        let question = try CacheFixture.question()
        let head = try CacheFixture.answer(200, open, "ETag: \"a\"", "Age: 7", "Content-Type: text/plain")
        let hit = try await handedOver(clients[0], clients[1], question, scope, head, "body")
        #expect(String(buffer: hit.answer.body) == "body")
        #expect(String(buffer: hit.answer.lines) == "Cache-Control: public, max-age=60\r\nETag: \"a\"\r\nContent-Type: text/plain\r\n")
        #expect((7...10).contains(hit.age))
        #expect(clients[1].cache.snapshot.remoteHits == 1)
        #expect(await clients[1].look(question, scope).hit != nil)
        #expect(clients[1].cache.snapshot.remoteHits == 1)
    }

    @Test("Variants reach other replicas each as their own, and another organization's never")
    func variants() async throws {
        let clients = try await replicas(try await sharedURL(), 2)
        let scope = CacheScope(TestTenant().user.caller)
        let head = try CacheFixture.answer(200, open, "Vary: Accept-Language")
        let german = try CacheFixture.question("GET", "/a", "Accept-Language: de")
        let english = try CacheFixture.question("GET", "/a", "Accept-Language: en")
        #expect(String(buffer: try await handedOver(clients[0], clients[1], german, scope, head, "Hallo").answer.body) == "Hallo")
        #expect(await clients[1].get(english, scope, else: head, "Hello") == ("Hello", false))
        #expect(await clients[1].get(english, scope, else: head, "wrong") == ("Hello", true))
        #expect(await clients[1].look(german, scope).hit.map { String(buffer: $0.answer.body) } == "Hallo")
        #expect(await clients[1].look(german, CacheScope(TestTenant().user.caller)).hit == nil)

        let mine = try CacheFixture.question("GET", "/mine")
        let (tenant, own) = (TestTenant(), try CacheFixture.answer(200, "Cache-Control: s-maxage=60"))
        let owner = CacheScope(tenant.user.caller)
        _ = try await handedOver(clients[0], clients[1], mine, owner, own, "mine")
        let colleague = CacheScope(TestPerson(.user, in: tenant.id).caller)
        #expect(await clients[1].get(mine, colleague, else: own, "theirs") == ("theirs", false))
    }

    @Test("A purge by one replica is one for those that have not read it yet; a change under a path is one for that path")
    func purged() async throws {
        let clients = try await replicas(try await sharedURL(), 4)
        let tenant = TestTenant()
        let scope = CacheScope(tenant.user.caller)
        let (question, other) = (try CacheFixture.question(), try CacheFixture.question("GET", "/other"))
        let head = try CacheFixture.answer(200, open)
        _ = try await handedOver(clients[0], clients[1], question, scope, head, "old")
        _ = try await handedOver(clients[0], clients[1], other, scope, head, "old")
        clients[0].cache.invalidate(try CacheFixture.question("PUT"), service: .content, scope: scope)
        try await TrionexTesting.eventually("the path is marked") {
            let fresh = try await self.replicas(try await self.sharedURL(), 1)[0]
            return await fresh.look(question, scope).fill != nil
        }
        #expect(await clients[2].look(other, scope).hit != nil)
        await clients[0].cache.purge(tenant: tenant.id.description, services: [.content])
        #expect(await clients[3].look(other, scope).fill != nil)
        #expect(await clients[0].look(other, scope).fill != nil)
    }

    @Test("What was asked for before a purge and comes after it is not given out by anybody")
    func overtaken() async throws {
        let clients = try await replicas(try await sharedURL(), 3)
        let tenant = TestTenant()
        let scope = CacheScope(tenant.user.caller)
        let question = try CacheFixture.question()
        let head = try CacheFixture.answer(200, open)
        // So that the group has a generation which the slow answer is then fetched under.
        _ = try await handedOver(clients[0], clients[1], try CacheFixture.question("GET", "/first"), scope, head, "x")
        let fill = try #require(await clients[0].look(question, scope).fill)
        #expect(fill.head(head, now: clients[0].now, wall: CacheFixture.wall))
        // Another replica hears of the change; this one has not yet.
        await clients[1].cache.purge(tenant: tenant.id.description, services: [.content])
        fill.body(ByteBuffer(string: "old"))
        fill.end(now: clients[0].now)
        try await Task.sleep(for: .milliseconds(100))
        #expect(await clients[2].look(question, scope).fill != nil)
    }

    @Test("Without Redis each replica goes on by itself, and a purge that it missed is made good before it is believed again")
    func away() async throws {
        let scratch = try ScratchDirectory("cache-redis")
        defer { scratch.remove() }
        let port = try Ports.free()
        var server = try await RedisServer.start(in: scratch.path, port: port, persistent: true)
        let clients = try await replicas(server.url, 3)
        let tenant = TestTenant()
        let scope = CacheScope(tenant.user.caller)
        let question = try CacheFixture.question()
        let head = try CacheFixture.answer(200, open)
        _ = try await handedOver(clients[0], clients[1], question, scope, head, "old")
        await server.stop()

        #expect(await clients[0].look(question, scope).hit != nil)
        let alone = try CacheFixture.question("GET", "/alone")
        #expect(await clients[0].get(alone, scope, else: head, "x") == ("x", false))
        #expect(await clients[0].get(alone, scope, else: head, "wrong") == ("x", true))
        await clients[0].cache.purge(tenant: tenant.id.description, services: [.content])
        #expect(clients[0].cache.snapshot.redis == "away")

        server = try await RedisServer.start(in: scratch.path, port: port, persistent: true)
        let remote = try #require(clients[0].cache.remote)
        try await TrionexTesting.eventually("the purge is made good") {
            await remote.mend()
            return clients[0].cache.snapshot.redis == "on"
        }
        #expect(await clients[0].look(question, scope).fill != nil)
        try await TrionexTesting.eventually("the third is connected") { clients[2].cache.snapshot.redis == "on" }
        #expect(await clients[2].look(question, scope).fill != nil)
        await server.stop()
    }

    @Test("Bytes in Redis that are none of ours are as nothing")
    func records() {
        let token = ResponseCacheRemote.Token(generation: Array(repeating: 1, count: 8), mark: [])
        let answer = CacheFixture.stored("body", lifetime: 60)
        let bytes = CacheRecord.bytes(of: answer, under: token, now: CacheFixture.start, wall: CacheFixture.wall)
        guard case .answer(let record) = CacheRecord(bytes, under: token) else {
            Issue.record("cannot be read")
            return
        }
        #expect(String(buffer: record.body) == "body")
        #expect(record.stored(now: CacheFixture.start, wall: CacheFixture.wall + 9).age(CacheFixture.start) == 9)
        // A clock that was set back makes nothing younger than it can be.
        #expect(record.stored(now: CacheFixture.start, wall: CacheFixture.wall - 9).age(CacheFixture.start) == 0)
        for length in 0..<(bytes.count - 4) { #expect(CacheRecord(Array(bytes.prefix(length)), under: token) == nil) }
        #expect(CacheRecord(bytes, under: .init(generation: Array(repeating: 2, count: 8), mark: [])) == nil)
        #expect(CacheRecord(bytes, under: .init(generation: token.generation, mark: [1])) == nil)
        #expect(CacheRecord(bytes, under: .init(generation: nil, mark: [])) == nil)
        #expect(CacheRecord(Array("garbage".utf8), under: token) == nil)
        let variation = CacheVariation(fields: [Array("accept".utf8), Array("x".utf8)], perPrincipal: true)
        guard case .variation(let read) = CacheRecord(CacheRecord.bytes(of: variation, under: token), under: token) else {
            Issue.record("cannot be read")
            return
        }
        #expect(read == variation)
    }
}

@Suite("Purges by events")
struct CachePurgeTests {
    private static let logger = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

    @Test("An event of a service takes away what was kept of it for that organization and for everybody, and nothing else")
    func events() async throws {
        let servers = try await TestServers.shared.value
        let client = CacheClient()
        let purge = CachePurge(
            cache: client.cache, kafka: KafkaConfiguration(brokers: servers.broker.brokers, clientID: "tests"), logger: Self.logger)
        let task = Task { try await purge.run() }
        defer { task.cancel() }
        let (one, other) = (TestTenant(), TestTenant())
        let head = try CacheFixture.answer(200, "Cache-Control: public, max-age=3600")
        let question = try CacheFixture.question()
        func keep(_ scope: CacheScope, _ service: ServiceName) async {
            _ = await client.get(question, scope, service: service, else: head, "x")
        }
        func has(_ scope: CacheScope, _ service: ServiceName) async -> Bool {
            await client.look(question, scope, service: service).hit != nil
        }
        let (mine, theirs) = (CacheScope(one.user.caller), CacheScope(other.user.caller))
        // When the partitions come all is let go once; after that an event takes only its own.
        try await TrionexTesting.eventually("it hears of events") { purge.isFollowing }
        try await TrionexTesting.eventually("an event takes it away, and nothing else") {
            for scope in [mine, theirs] { for service in [ServiceName.content, .notifications] { await keep(scope, service) } }
            try await TestEvents.publish(ArticleCreated.example, for: one.id)
            try await Task.sleep(for: .milliseconds(100))
            let remains = await has(mine, .notifications)
            return await !has(mine, .content) && remains
        }
        for scope in [mine, theirs, .anonymous] { await keep(scope, .content) }
        try await TestEvents.publish(ArticleCreated.example, for: one.id)
        try await TrionexTesting.eventually("it is gone") { await !has(mine, .content) }
        #expect(await has(theirs, .content))
        #expect(await has(theirs, .notifications))
    }

    @Test("What ends an organization concerns all services; sign-ins concern none; bytes that are no event are passed over")
    func concerns() async {
        #expect(
            Set(CachePurge.services(of: "trionex.users.events", type: OrganizationSuspended.type)).isSuperset(of: [.content, .files, .auth])
        )
        #expect(CachePurge.services(of: "trionex.auth.events", type: UserLoggedIn.type) == [])
        #expect(CachePurge.services(of: "trionex.content.events", type: nil) == [.content, .search])
        let client = CacheClient()
        let purge = CachePurge(
            cache: client.cache, kafka: KafkaConfiguration(brokers: "127.0.0.1:1", clientID: "tests"), logger: Self.logger)
        await purge.purge([
            KafkaMessage(
                place: TopicPartition("trionex.content.events", 0), offset: 0, key: nil, value: nil,
                headers: [KafkaHeader("ce_tenantid", "nonsense")], timestamp: nil, assignment: 1)
        ])
        #expect(client.cache.snapshot.purged == 0)
    }

    @Test("Without Kafka the cache is used all the same")
    func withoutBroker() async throws {
        let client = CacheClient()
        let purge = CachePurge(
            cache: client.cache, kafka: KafkaConfiguration(brokers: "127.0.0.1:1", clientID: "tests"), logger: Self.logger)
        let task = Task { try await purge.run() }
        let head = try CacheFixture.answer(200, "Cache-Control: public, max-age=3600")
        _ = await client.get(try CacheFixture.question(), else: head, "x")
        try await Task.sleep(for: .milliseconds(600))
        #expect(await client.get(try CacheFixture.question(), else: head, "wrong") == ("x", true))
        task.cancel()
        _ = try? await task.value
    }
}
