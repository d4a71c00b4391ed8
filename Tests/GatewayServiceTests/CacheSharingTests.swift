import Contracts
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import TestKit
import Testing

@testable import GatewayService

/// A cache as the exchanges of requests use it, with a clock that the test sets.
final class CacheClient: Sendable {
    let cache: ResponseCache
    private let time = Mutex(CacheFixture.start)

    init(limits: ResponseCache.Limits = .init(), remote: ResponseCacheRemote? = nil) {
        cache = ResponseCache(limits: limits, remote: remote)
    }

    var now: UInt64 { time.withLock { $0 } }
    func pass(seconds: Int) { time.withLock { $0 += UInt64(seconds) * Monotonic.second } }

    func look(
        _ question: CacheQuestion, _ scope: CacheScope = .anonymous, rule: CacheRule = CacheFixture.rule,
        service: ServiceName = .content
    ) async -> CacheLookup {
        await withCheckedContinuation { continuation in
            let found = cache.look(
                question, service: service, rule: rule, scope: scope, on: CacheFixture.loop, now: now
            ) { continuation.resume(returning: $0) }
            if let found { continuation.resume(returning: found) }
        }
    }

    /// Asks, and answers as the service when it has to. Gives the body and whether it was kept before.
    func get(
        _ question: CacheQuestion, _ scope: CacheScope = .anonymous, rule: CacheRule = CacheFixture.rule, service: ServiceName = .content,
        else head: ResponseHead, _ body: String
    ) async -> (body: String, isHit: Bool) {
        switch await look(question, scope, rule: rule, service: service) {
        case .hit(let hit): return (String(buffer: hit.answer.body), true)
        case .stale(let hit, let fill):
            fill.abandon()
            return (String(buffer: hit.answer.body), true)
        case .lead(let fill):
            if fill.head(head, now: now, wall: CacheFixture.wall) {
                fill.body(ByteBuffer(string: body))
                fill.end(now: now)
            }
            return (body, false)
        case .bypass, .absent: return (body, false)
        }
    }
}

final class Counted: Sendable {
    private let number = Mutex(0)
    var value: Int { number.withLock { $0 } }
    func count() { number.withLock { $0 += 1 } }
}

extension CacheLookup {
    var hit: CacheHit? { if case .hit(let hit) = self { hit } else { nil } }
    var fill: CacheFill? { if case .lead(let fill) = self { fill } else { nil } }
    var isBypass: Bool { if case .bypass = self { true } else { false } }
    var isAbsent: Bool { if case .absent = self { true } else { false } }
}

@Suite("Answers that are shared")
struct CacheSharingTests {
    private let open = "Cache-Control: public, max-age=60"

    @Test("What one has fetched another gets, with its age, until it is too old")
    func sharing() async throws {
        let client = CacheClient()
        let question = try CacheFixture.question()
        #expect(await client.get(question, else: try CacheFixture.answer(200, open, "X: y"), "one").isHit == false)
        client.pass(seconds: 10)
        let hit = try #require(await client.look(question).hit)
        #expect(hit.age == 10)
        #expect(hit.status == .hit(ttl: 50))
        #expect(String(buffer: hit.answer.lines) == "Cache-Control: public, max-age=60\r\nX: y\r\n")
        #expect(String(buffer: hit.answer.body) == "one")
        client.pass(seconds: 49)
        #expect(await client.look(question).hit != nil)
        client.pass(seconds: 1)
        #expect(await client.look(question).fill != nil)
    }

    @Test("Nothing of one organization, of other rights, or of another person where it is not public, reaches anybody else")
    func isolation() async throws {
        let client = CacheClient()
        let question = try CacheFixture.question()
        let (one, other) = (TestTenant(), TestTenant())
        let scopes =
            [one.user, one.viewer, other.user, other.viewer].map { CacheScope($0.caller) } + [.anonymous, CacheScope(slug: "acme")]
        for (number, scope) in scopes.enumerated() {
            let got = await client.get(question, scope, else: try CacheFixture.answer(200, open), "\(number)")
            #expect(!got.isHit)
        }
        for (number, scope) in scopes.enumerated() {
            let got = await client.get(question, scope, else: try CacheFixture.answer(200, open), "wrong")
            #expect(got == ("\(number)", true))
        }
        let colleague = CacheScope(TestPerson(.user, in: one.id).caller)
        #expect(await client.get(question, colleague, else: try CacheFixture.answer(200, open), "wrong") == ("0", true))

        let mine = try CacheFixture.question("GET", "/api/v1/content/mine")
        let head = try CacheFixture.answer(200, "Cache-Control: s-maxage=60")
        #expect(await client.get(mine, scopes[0], else: head, "mine") == ("mine", false))
        #expect(await client.get(mine, colleague, else: head, "theirs") == ("theirs", false))
        #expect(await client.get(mine, scopes[0], else: head, "wrong") == ("mine", true))
        #expect(await client.get(mine, colleague, else: head, "wrong") == ("theirs", true))

        let strict = CacheRule(maximumSeconds: 60, staleSeconds: 0, perPrincipal: true)
        let each = try CacheFixture.question("GET", "/api/v1/content/each")
        #expect(await client.get(each, scopes[0], rule: strict, else: try CacheFixture.answer(200, open), "a") == ("a", false))
        #expect(await client.get(each, colleague, rule: strict, else: try CacheFixture.answer(200, open), "b") == ("b", false))
        #expect(await client.get(each, scopes[0], rule: strict, else: try CacheFixture.answer(200, open), "c") == ("a", true))
    }

    @Test(
        "A credential that only the service can judge is nobody's and everybody's: its answers are not kept",
        arguments: ["Authorization: Basic eA==", "X-API-Key: trx_1"])
    func strangers(line: String) async throws {
        let client = CacheClient()
        let (open, shared) = (try CacheFixture.question("GET", "/a"), try CacheFixture.question("GET", "/a", line))
        #expect(await client.look(shared).isBypass)
        _ = await client.get(open, else: try CacheFixture.answer(200, self.open), "for everybody")
        #expect(await client.look(shared).isBypass)
        #expect(await client.look(shared, CacheScope(TestTenant().user.caller)).fill != nil)
    }

    @Test("The fields that Vary names tell answers apart")
    func varying() async throws {
        let client = CacheClient()
        let head = try CacheFixture.answer(200, open, "Vary: Accept-Language")
        let (german, english) = (
            try CacheFixture.question("GET", "/a", "Accept-Language: de"), try CacheFixture.question("GET", "/a", "Accept-Language: en")
        )
        #expect(await client.get(german, else: head, "Hallo") == ("Hallo", false))
        #expect(await client.get(english, else: head, "Hello") == ("Hello", false))
        #expect(await client.get(german, else: head, "wrong") == ("Hallo", true))
        #expect(await client.get(english, else: head, "wrong") == ("Hello", true))
        #expect(await client.get(try CacheFixture.question("GET", "/a"), else: head, "?") == ("?", false))
    }

    @Test(
        "A client that has it already is told so",
        arguments: [
            ("If-None-Match: \"a\"", true), ("If-None-Match: W/\"a\"", true), ("If-None-Match: \"x\", \"a\"", true),
            ("If-None-Match: *", true),
            ("If-None-Match: \"b\"", false), ("If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", true),
            ("If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT", false), ("If-Modified-Since: nonsense", false),
            ("If-None-Match: \"b\"\r\nIf-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT", false),
        ])
    func conditions(lines: String, isUnchanged: Bool) async throws {
        let client = CacheClient()
        let head = try CacheFixture.answer(
            200, open, "ETag: \"a\"", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Type: text/plain", "Content-Language: de")
        _ = await client.get(try CacheFixture.question("GET", "/a"), else: head, "x")
        let hit = try #require(await client.look(try CacheFixture.question("GET", "/a", lines)).hit)
        #expect(hit.isUnchanged == isUnchanged)
        #expect(String(buffer: hit.answer.unchangedLines) == "Cache-Control: public, max-age=60\r\nETag: \"a\"\r\n")
        let fill = try #require(await client.look(try CacheFixture.question("GET", "/b", lines)).fill)
        #expect(fill.isAnswered(by: head) == isUnchanged)
    }

    @Test(
        "Requests that want more than a cache can say go on",
        arguments: [
            "Cache-Control: no-store", "Range: bytes=0-1", "If-Match: \"a\"", "If-Unmodified-Since: x", "If-Range: \"a\"",
            "Transfer-Encoding: chunked", "Content-Length: 3",
        ])
    func unfit(line: String) async throws {
        let client = CacheClient()
        _ = await client.get(try CacheFixture.question("GET", "/a"), else: try CacheFixture.answer(200, open), "x")
        #expect(await client.look(try CacheFixture.question("GET", "/a", line)).isBypass)
    }

    @Test("A request may want the service's own word, a younger answer, or only what is kept")
    func wishes() async throws {
        let client = CacheClient()
        let head = try CacheFixture.answer(200, open)
        #expect(await client.look(try CacheFixture.question("GET", "/a", "Cache-Control: only-if-cached")).isAbsent)
        _ = await client.get(try CacheFixture.question("GET", "/a"), else: head, "x")
        client.pass(seconds: 20)
        #expect(await client.look(try CacheFixture.question("GET", "/a", "Cache-Control: only-if-cached")).hit != nil)
        #expect(await client.look(try CacheFixture.question("GET", "/a", "Cache-Control: max-age=20")).hit != nil)
        #expect(await client.look(try CacheFixture.question("GET", "/a", "Cache-Control: min-fresh=39")).hit != nil)
        for wish in [
            "Cache-Control: no-cache", "Cache-Control: max-age=0", "Pragma: no-cache", "Cache-Control: max-age=19",
            "Cache-Control: min-fresh=40",
        ] {
            let fill = try #require(await client.look(try CacheFixture.question("GET", "/a", wish)).fill, "\(wish)")
            fill.abandon()
        }
        #expect(await client.look(try CacheFixture.question("HEAD", "/a")).hit != nil)
        #expect(await client.look(try CacheFixture.question("HEAD", "/new")).isBypass)
        #expect(await client.look(try CacheFixture.question("POST", "/a")).isBypass)
    }

    @Test("An old answer is asked for again by its tag, and lives on when the service says that it still is so")
    func revalidation() async throws {
        let client = CacheClient()
        let question = try CacheFixture.question("GET", "/a")
        _ = await client.get(
            question, else: try CacheFixture.answer(200, open, "ETag: \"a\"", "X: old", "Content-Type: text/plain"), "body")
        client.pass(seconds: 61)
        let fill = try #require(await client.look(question).fill)
        #expect(String(decoding: fill.validators, as: UTF8.self) == "If-None-Match: \"a\"\r\n")
        #expect(fill.status(stored: true) == .forwarded(.stale, stored: true))
        let unchanged = try CacheFixture.answer(304, "Cache-Control: public, max-age=30", "ETag: \"a\"", "X: new")
        let hit = try #require(fill.notModified(unchanged, now: client.now, wall: CacheFixture.wall))
        #expect(hit.status == .revalidated)
        #expect(String(buffer: hit.answer.body) == "body")
        #expect(
            String(buffer: hit.answer.lines) == "Cache-Control: public, max-age=30\r\nETag: \"a\"\r\nX: new\r\nContent-Type: text/plain\r\n"
        )
        client.pass(seconds: 29)
        #expect(await client.look(question).hit?.age == 29)
        client.pass(seconds: 1)
        #expect(await client.look(question).fill != nil)
    }

    @Test("While one fetches anew the others get the old answer, where the service allows it; and when it fails, that one too")
    func stale() async throws {
        let client = CacheClient()
        let question = try CacheFixture.question("GET", "/a")
        let head = try CacheFixture.answer(200, open + ", stale-while-revalidate=10, stale-if-error=30")
        _ = await client.get(question, else: head, "old")
        client.pass(seconds: 65)
        guard case .stale(let hit, let refresh) = await client.look(question) else {
            Issue.record("no stale answer with a refresh")
            return
        }
        #expect(hit.status == .hit(ttl: -5))
        for _ in 0..<5 { #expect(String(buffer: try #require(await client.look(question).hit).answer.body) == "old") }
        #expect(refresh.head(head, now: client.now, wall: CacheFixture.wall))
        refresh.body(ByteBuffer(string: "new"))
        refresh.end(now: client.now)
        #expect(await client.look(question).hit.map { String(buffer: $0.answer.body) } == "new")

        client.pass(seconds: 75)
        let fill = try #require(await client.look(question).fill)
        #expect(fill.failed(now: client.now).map { String(buffer: $0.answer.body) } == "new")
        client.pass(seconds: 20)
        #expect(try #require(await client.look(question).fill).failed(now: client.now) == nil)
    }

    @Test("An unsafe method takes away what is under its path, for its organization and for everybody, and no more")
    func invalidation() async throws {
        let client = CacheClient()
        let (one, other) = (CacheScope(TestTenant().user.caller), CacheScope(TestTenant().user.caller))
        let head = try CacheFixture.answer(200, open)
        for scope in [one, other, .anonymous] {
            for target in ["/a", "/a?q=1", "/b"] { _ = await client.get(try CacheFixture.question("GET", target), scope, else: head, "x") }
        }
        client.cache.invalidate(try CacheFixture.question("DELETE", "/a"), service: .content, scope: one)
        for (scope, remains) in [(one, false), (other, true), (CacheScope.anonymous, false)] {
            for target in ["/a", "/a?q=1"] {
                #expect((await client.look(try CacheFixture.question("GET", target), scope).hit != nil) == remains)
            }
            #expect(await client.look(try CacheFixture.question("GET", "/b"), scope).hit != nil)
        }
    }

    @Test("An answer that is larger than may be kept is passed on and not kept, whether it says so before or not")
    func size() async throws {
        let client = CacheClient(limits: .init(answerBytes: 1_000))
        let long = try CacheFixture.question("GET", "/long")
        let fill = try #require(await client.look(long).fill)
        #expect(fill.head(try CacheFixture.answer(200, open, "Content-Length: 5000"), now: client.now, wall: CacheFixture.wall) == false)
        let secret = try #require(await client.look(try CacheFixture.question("GET", "/unsaid")).fill)
        #expect(secret.head(try CacheFixture.answer(200, open), now: client.now, wall: CacheFixture.wall))
        for _ in 0..<3 { secret.body(ByteBuffer(repeating: 0, count: 500)) }
        secret.end(now: client.now)
        #expect(await client.look(try CacheFixture.question("GET", "/unsaid")).isBypass)
    }
}

@Suite("Many who want the same")
struct CacheStampedeTests {
    private let open = "Cache-Control: public, max-age=60"

    /// Starts `count` requests of which one leads; gives its fill and the tasks of the others, all of them waiting.
    private func crowd(_ client: CacheClient, _ question: CacheQuestion, _ count: Int) async throws -> (
        CacheFill, [Task<CacheLookup, Never>]
    ) {
        let fill = try #require(await client.look(question).fill)
        let others = (0..<count).map { _ in Task { await client.look(question) } }
        try await TrionexTesting.eventually("all wait") { client.cache.snapshot.waited == count }
        return (fill, others)
    }

    @Test("One asks the service, and all get what it says")
    func collapse() async throws {
        let client = CacheClient()
        let (fill, others) = try await crowd(client, try CacheFixture.question(), 200)
        #expect(fill.head(try CacheFixture.answer(200, open), now: client.now, wall: CacheFixture.wall))
        fill.body(ByteBuffer(string: "x"))
        fill.end(now: client.now)
        for other in others { #expect(await other.value.hit?.status == .collapsed(ttl: 60)) }
        #expect(client.cache.snapshot.misses == 1)
    }

    @Test("When the service forbids it, all go by themselves at once, and nobody waits for a while after that")
    func forbidden() async throws {
        let client = CacheClient()
        let question = try CacheFixture.question()
        let (fill, others) = try await crowd(client, question, 20)
        #expect(fill.head(try CacheFixture.answer(200, "Cache-Control: no-store"), now: client.now, wall: CacheFixture.wall) == false)
        for other in others { #expect(await other.value.isBypass) }
        #expect(await client.look(question).isBypass)
        client.pass(seconds: 11)
        #expect(await client.look(question).fill != nil)
    }

    @Test("When the one who leads goes away the next one leads, and the others wait for that")
    func succession() async throws {
        let client = CacheClient()
        let (fill, others) = try await crowd(client, try CacheFixture.question(), 10)
        fill.abandon()
        let (leaders, hits) = (Counted(), Counted())
        // In whatever order they come back: the one that leads lets the others go on.
        let answered = others.map { other in
            Task {
                switch await other.value {
                case .lead(let next):
                    leaders.count()
                    let head = try CacheFixture.answer(200, open)
                    #expect(next.head(head, now: client.now, wall: CacheFixture.wall))
                    next.end(now: client.now)
                case .hit: hits.count()
                default: break
                }
            }
        }
        for task in answered { try await task.value }
        #expect(leaders.value == 1)
        #expect(hits.value == 9)
    }

    @Test("A fill that is let go without a word is no obstacle to the next")
    func forgotten() async throws {
        let client = CacheClient()
        let question = try CacheFixture.question()
        do { _ = await client.look(question) }
        #expect(await client.look(question).fill != nil)
    }

    @Test("Nobody waits longer than the limit for somebody who is slow")
    func patience() async throws {
        let client = CacheClient(limits: .init(wait: .milliseconds(50)))
        let (fill, others) = try await crowd(client, try CacheFixture.question(), 5)
        for other in others { #expect(await other.value.isBypass) }
        fill.abandon()
    }

    @Test("Those who waited and need another variant do not get the one that came")
    func variants() async throws {
        let client = CacheClient()
        let german = try CacheFixture.question("GET", "/a", "Accept-Language: de")
        let english = try CacheFixture.question("GET", "/a", "Accept-Language: en")
        let fill = try #require(await client.look(german).fill)
        let other = Task { await client.look(english) }
        try await TrionexTesting.eventually("it waits") { client.cache.snapshot.waited == 1 }
        #expect(fill.head(try CacheFixture.answer(200, open, "Vary: Accept-Language"), now: client.now, wall: CacheFixture.wall))
        fill.body(ByteBuffer(string: "Hallo"))
        fill.end(now: client.now)
        #expect(await other.value.fill != nil)
    }

    @Test("What is purged while it is being fetched is not kept")
    func tainted() async throws {
        let client = CacheClient()
        let tenant = TestTenant()
        let scope = CacheScope(tenant.user.caller)
        let question = try CacheFixture.question()
        let fill = try #require(await client.look(question, scope).fill)
        #expect(fill.head(try CacheFixture.answer(200, open), now: client.now, wall: CacheFixture.wall))
        client.cache.forget(tenant: tenant.id.description, service: .content)
        fill.end(now: client.now)
        #expect(await client.look(question, scope).fill != nil)
    }
}
