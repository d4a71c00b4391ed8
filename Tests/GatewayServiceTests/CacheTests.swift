import Contracts
import Foundation
import NIOCore
import NIOPosix
import TestKit
import Testing

@testable import GatewayService

/// Builds what the cache is asked and told.
enum CacheFixture {
    static let start: UInt64 = 1_000 * Monotonic.second
    static let wall = 1_700_000_000
    static let rule = CacheRule(maximumSeconds: 3_600, staleSeconds: 120, perPrincipal: false)
    static let loop = MultiThreadedEventLoopGroup.singleton.next()

    static func question(_ method: String = "GET", _ target: String = "/api/v1/content/articles", _ lines: String...) throws
        -> CacheQuestion
    {
        let head = RequestHead(limits: .standard)
        var bytes = ByteBuffer(string: "\(method) \(target) HTTP/1.1\r\nHost: a\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n")
        #expect(try head.parse(&bytes))
        return CacheQuestion(head)
    }

    static func answer(_ status: Int = 200, _ lines: String...) throws -> ResponseHead {
        let head = ResponseHead(limits: .standard)
        var bytes = ByteBuffer(string: "HTTP/1.1 \(status) X\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n")
        #expect(try head.parse(&bytes))
        return head
    }

    static func control(_ text: String) -> CacheControl { Array(text.utf8).withUnsafeBytes { CacheControl($0) } }

    static func stored(_ text: String, lifetime: Int = 60) -> StoredAnswer {
        StoredAnswer(
            status: 200, lines: ByteBuffer(string: "Content-Type: text/plain\r\n"), body: ByteBuffer(string: text),
            freshness: CacheFreshness(lifetime: lifetime, staleWhileRevalidate: 0, staleIfError: 0, initialAge: 0), receivedAt: start)
    }
}

@Suite("What Cache-Control says")
struct CacheControlTests {
    @Test("Directives are read whatever their case, their blanks and their quotes")
    func directives() {
        let control = CacheFixture.control(
            "Public , MAX-AGE=\"60\",s-maxage=5 ,stale-while-revalidate=7, stale-if-error=9, x=\"a, no-store\"")
        #expect(control.flags == .isPublic)
        #expect(control.maxAge == 60)
        #expect(control.sharedMaxAge == 5)
        #expect(control.staleWhileRevalidate == 7)
        #expect(control.staleIfError == 9)
    }

    @Test("Directives that name fields count as those that do not; both names of revalidation are one")
    func qualified() {
        #expect(CacheFixture.control("private=\"set-cookie\", no-cache=\"x, y\"").flags == [.isPrivate, .noCache])
        #expect(CacheFixture.control("proxy-revalidate").flags == .mustRevalidate)
        #expect(
            CacheFixture.control("must-revalidate, no-transform, only-if-cached").flags == [.mustRevalidate, .noTransform, .onlyIfCached])
    }

    @Test(
        "Seconds that cannot be read are none, endless ones are very many, and of two the shorter counts",
        arguments: [
            ("max-age", 0), ("max-age=", 0), ("max-age=x", 0), ("max-age=-1", 0), ("max-age=1.5", 0),
            ("max-age=99999999999999999999999", CacheControl.longest), ("max-age=60, max-age=30", 30), ("max-age=60,max-age=x", 0),
        ])
    func seconds(text: String, expected: Int) { #expect(CacheFixture.control(text).maxAge == expected) }

    @Test(
        "Dates are read in all three forms of HTTP",
        arguments: ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"])
    func dates(text: String) { #expect(Array(text.utf8).withUnsafeBytes { CacheDate.seconds($0) } == 784_111_777) }

    @Test(
        "What is no date is none",
        arguments: [
            "", "0", "-1", "Sun, 06 Xyz 1994 08:49:37 GMT", "Sun, 06 Nov 1994 25:49:37 GMT", "Sun, 06 Nov 1994", "Sunday, 06-Nov-94",
            "Sun Nov", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ",", " ", "Sun, 32 Nov 1994 08:49:37 GMT",
        ])
    func noDates(text: String) { #expect(Array(text.utf8).withUnsafeBytes { CacheDate.seconds($0) } == nil) }

    @Test("Dates before and after leap days are the right ones")
    func leapDays() {
        let texts = [
            "Thu, 29 Feb 2024 12:00:00 GMT": 1_709_208_000, "Fri, 01 Mar 2024 12:00:00 GMT": 1_709_294_400,
            "Thu, 01 Jan 1970 00:00:00 GMT": 0,
        ]
        for (text, seconds) in texts { #expect(Array(text.utf8).withUnsafeBytes { CacheDate.seconds($0) } == seconds) }
    }
}

@Suite("What may be kept")
struct CachePolicyTests {
    private let person = CacheScope(TestTenant().user.caller)

    private func judge(_ head: ResponseHead, scope: CacheScope = .anonymous, rule: CacheRule = CacheFixture.rule) -> CachePolicy {
        CachePolicy.judge(head, rule: rule, scope: scope, wall: CacheFixture.wall, delay: 0)
    }

    @Test(
        "Without the service's word, and with one against it, nothing is kept",
        arguments: [
            "Cache-Control: max-age=60", "Expires: Sun, 06 Nov 2094 08:49:37 GMT", "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT",
            "Cache-Control: public, max-age=60, private", "Cache-Control: public, max-age=60, no-store", "Cache-Control: public",
            "Cache-Control: public, max-age=0", "Cache-Control: public, max-age=oops",
            "Cache-Control: public, max-age=60\r\nSet-Cookie: a=b", "Cache-Control: public, max-age=60\r\nVary: *",
            "Cache-Control: public, max-age=60\r\nVary: accept, *", "Cache-Control: public\r\nCache-Control: max-age=60, private",
            "Cache-Control: public, no-cache, max-age=60", "Cache-Control: public\r\nExpires: 0",
            "Cache-Control: public, max-age=60\r\nAge: 61", "Cache-Control: public, max-age=60\r\nVary: a, b, c, d, e, f, g, h, i",
        ])
    func refused(lines: String) throws {
        guard case .leave = judge(try CacheFixture.answer(200, lines)) else {
            Issue.record("kept: \(lines)")
            return
        }
    }

    @Test("Only finished answers of lasting kinds are kept", arguments: [201, 204, 206, 302, 304, 307, 400, 401, 403, 429, 500, 503])
    func statuses(status: Int) throws {
        #expect(judge(try CacheFixture.answer(status, "Cache-Control: public, max-age=60")) == .leave(.status))
    }

    @Test(
        "The lifetime is that of s-maxage, of max-age, of Expires, in this order",
        arguments: [
            ("Cache-Control: public, max-age=60, s-maxage=30", 30), ("Cache-Control: public, max-age=60", 60),
            ("Cache-Control: s-maxage=20", 20),
            (
                "Cache-Control: public\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nAge: 0\r\nExpires: Sun, 06 Nov 1994 08:50:37 GMT\r\nETag: \"a\"",
                60
            ),
            ("Cache-Control: public, max-age=999999999", 3_600), ("Cache-Control: public, no-cache, max-age=60\r\nETag: \"a\"", 0),
        ])
    func lifetimes(lines: String, expected: Int) throws {
        guard case .keep(let freshness, _) = judge(try CacheFixture.answer(200, lines)) else {
            Issue.record("not kept: \(lines)")
            return
        }
        #expect(freshness.lifetime == expected)
    }

    @Test("Stale answers are used only where the service allows it, and no longer than the route does")
    func stale() throws {
        let allowed = "public, max-age=60, stale-while-revalidate=30, stale-if-error=9999"
        guard case .keep(let freshness, _) = judge(try CacheFixture.answer(200, "Cache-Control: \(allowed)")) else {
            Issue.record("not kept")
            return
        }
        #expect(freshness.staleWhileRevalidate == 30)
        #expect(freshness.staleIfError == 120)
        guard case .keep(let strict, _) = judge(try CacheFixture.answer(200, "Cache-Control: \(allowed), must-revalidate")) else {
            Issue.record("not kept")
            return
        }
        #expect(strict.staleWhileRevalidate == 0)
        #expect(strict.staleIfError == 0)
    }

    @Test("The age begins with what others have added to it")
    func ages() throws {
        let head = try CacheFixture.answer(200, "Cache-Control: public, max-age=600", "Age: 100", "Date: Tue, 14 Nov 2023 22:11:40 GMT")
        guard
            case .keep(let freshness, _) = CachePolicy.judge(
                head, rule: CacheFixture.rule, scope: .anonymous, wall: CacheFixture.wall, delay: 5)
        else {
            Issue.record("not kept")
            return
        }
        // By Age 100 + 5, by Date 100.
        #expect(freshness.initialAge == 105)
    }

    @Test("What is not public belongs to the one who asked, and so does what varies by credentials")
    func principals() throws {
        let shared = try CacheFixture.answer(200, "Cache-Control: s-maxage=60")
        let varied = try CacheFixture.answer(200, "Cache-Control: public, max-age=60", "Vary: Accept, Authorization")
        let open = try CacheFixture.answer(200, "Cache-Control: public, max-age=60")
        guard case .keep(_, let one) = judge(shared, scope: person), case .keep(_, let two) = judge(varied, scope: person),
            case .keep(_, let three) = judge(open, scope: person), case .keep(_, let four) = judge(shared)
        else {
            Issue.record("not kept")
            return
        }
        #expect(one.perPrincipal)
        #expect(two == CacheVariation(fields: [Array("accept".utf8)], perPrincipal: true))
        #expect(three.isPlain)
        #expect(four.isPlain)
    }
}

@Suite("Whose answers are whose")
struct CacheScopeTests {
    @Test("Callers share only with the same organization and the same rights; alone they share with themselves")
    func scopes() {
        let (one, other) = (TestTenant(), TestTenant())
        let colleague = TestPerson(.user, in: one.id)
        #expect(CacheScope(one.user.caller).shared == CacheScope(colleague.caller).shared)
        #expect(CacheScope(one.user.caller).own != CacheScope(colleague.caller).own)
        #expect(CacheScope(one.user.caller).shared != CacheScope(one.viewer.caller).shared)
        #expect(CacheScope(one.user.caller).shared != CacheScope(other.user.caller).shared)
        #expect(CacheScope(one.user.caller).shared != CacheScope.anonymous.shared)
        #expect(CacheScope(slug: "acme").shared != CacheScope.anonymous.shared)
        let weak = Caller(.person(one.user.id), tenant: one.id, methods: ["pwd"])
        let strong = Caller(.person(one.user.id), tenant: one.id, methods: ["pwd", "otp"])
        #expect(CacheScope(weak).shared != CacheScope(strong).shared)
    }

    @Test("A key tells path, query, service and the values of what varies apart")
    func keys() throws {
        func key(_ target: String, _ service: ServiceName = .content) -> CacheKey {
            Array(target.utf8).withUnsafeBytes { CacheKey(scope: CacheScope.anonymous.shared, service: service, target: $0) }
        }
        #expect(key("/a?b=1") == key("/a?b=1"))
        #expect(key("/a?b=1") != key("/a?b=2"))
        #expect(key("/a") != key("/a", .files))
        #expect(key("/a").text.count == 64)
        let variation = CacheVariation(fields: [Array("accept".utf8), Array("x".utf8)])
        func varied(_ lines: String...) throws -> CacheKey {
            let head = RequestHead(limits: .standard)
            var bytes = ByteBuffer(string: "GET /a HTTP/1.1\r\nHost: a\r\n" + lines.map { $0 + "\r\n" }.joined() + "\r\n")
            #expect(try head.parse(&bytes))
            return CacheKey(key("/a"), variation, of: CacheQuestion(head), scope: .anonymous)
        }
        #expect(try varied("Accept: a") == varied("ACCEPT:  a ", "Other: b"))
        #expect(try varied("Accept: a") != varied("Accept: b"))
        #expect(try varied("Accept: a", "X: b") != varied("Accept: ab", "X:"))
        #expect(try varied("Accept: a") != varied())
    }
}

@Suite("Kept answers in memory")
struct CacheStoreTests {
    private func key(_ number: Int) -> CacheKey {
        Array("\(number)".utf8).withUnsafeBytes { CacheKey(scope: [], service: .content, target: $0) }
    }
    private func path(_ text: String) -> CachePath { Array(text.utf8).withUnsafeBytes { CachePath($0) } }
    private let group = CacheGroup(tenant: "t", service: .content)

    @Test("It never holds more bytes than it may, and what is asked for stays while a crawler goes by")
    func sieve() {
        var store = CacheStore(capacity: 10_000)
        for number in 0..<5 { store.insert(.pass(until: 0), as: key(number), cost: 1_000, group: group, path: path("/a")) }
        for number in 100..<1_100 {
            for popular in 0..<5 { _ = store.find(key(popular)) }
            store.insert(.pass(until: 0), as: key(number), cost: 1_000, group: group, path: path("/a"))
            #expect(store.bytes <= 10_000)
        }
        for popular in 0..<5 { #expect(store.find(key(popular)) != nil) }
        #expect(store.count == 10)
        #expect(store.evictions == 995)
    }

    @Test("What is larger than the whole is not kept; what is put in twice counts once")
    func bounds() {
        var store = CacheStore(capacity: 1_000)
        store.insert(.pass(until: 0), as: key(1), cost: 1_001, group: group, path: path("/a"))
        #expect(store.count == 0)
        for _ in 0..<3 { store.insert(.pass(until: 0), as: key(1), cost: 600, group: group, path: path("/a")) }
        #expect(store.count == 1)
        #expect(store.bytes == 600)
    }

    @Test("A purge takes a group, a path of it or an organization, and nothing else")
    func purge() {
        var store = CacheStore(capacity: 100_000)
        let files = CacheGroup(tenant: "t", service: .files)
        let other = CacheGroup(tenant: "u", service: .content)
        for number in 0..<30 {
            store.insert(
                .pass(until: 0), as: key(number), cost: 100, group: [group, files, other][number % 3], path: path(number < 15 ? "/a" : "/b")
            )
        }
        #expect(store.purge(group, path: path("/a?x")) == 5)
        #expect(store.purge(group) == 5)
        #expect(store.purge(group) == 0)
        #expect(store.purge(tenant: "t") == 10)
        #expect(store.count == 10)
        #expect(store.bytes == 1_000)
        for number in 0..<30 { #expect((store.find(key(number)) != nil) == (number % 3 == 2)) }
    }

    @Test("Random use leaves its books in order")
    func books() {
        var store = CacheStore(capacity: 5_000)
        var random = SystemRandomNumberGenerator()
        let groups = (0..<4).map { CacheGroup(tenant: "\($0)", service: .content) }
        for _ in 0..<20_000 {
            let number = Int.random(in: 0..<60, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: store.remove(key(number))
            case 1 where number < 4: store.purge(groups[number])
            case 2..<6: _ = store.find(key(number))
            default:
                store.insert(.pass(until: 0), as: key(number), cost: 100 + number * 7, group: groups[number % 4], path: path("/\(number)"))
            }
            #expect(store.bytes <= 5_000)
        }
        for group in groups { store.purge(group) }
        #expect(store.count == 0)
        #expect(store.bytes == 0)
    }
}
