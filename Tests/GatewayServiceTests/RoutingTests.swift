import Contracts
import Foundation
import TestKit
import Testing

@testable import GatewayService

/// What a match says, in one line.
func told(_ match: RouteMatch) -> String {
    switch match {
    case .route(let route): route.label
    case .options(let allow): "options \(allow)"
    case .methodNotAllowed(let allow): "405 \(allow)"
    case .notFound: "404"
    case .malformed: "malformed"
    }
}

func entry(_ pattern: String, isKnown: Bool = true, _ service: ServiceName = .content) throws -> [RouteTable.Entry] {
    let pattern = try RoutePattern(pattern)
    let methods: [RouteMethod?] = pattern.methods.isEmpty ? [nil] : pattern.methods
    return methods.map { method in
        RouteTable.Entry(
            method: method, parts: pattern.parts, isOpen: pattern.isOpen,
            route: Route(id: 0, label: "\(method?.name ?? "any") \(pattern.path)", service: service, isKnown: isKnown))
    }
}

func table(_ patterns: String...) throws -> RouteTable {
    RouteTable(try patterns.flatMap { try entry($0, isKnown: !$0.hasSuffix("**")) })
}

extension GatewayDefaults {
    static let forTests = GatewayDefaults(
        limits: [
            "default": .init(policy: LimitPolicy(name: "default", quota: 1_000, window: 60), subject: .principal),
            "anonymous": .init(policy: LimitPolicy(name: "default", quota: 500, window: 60), subject: .anonymous),
            "uploads": .init(policy: LimitPolicy(name: "uploads", quota: 10, window: 60), subject: .caller),
            "sign-in": .init(policy: LimitPolicy(name: "sign-in", quota: 5, window: 900), subject: .account),
            "credentials": .init(policy: LimitPolicy(name: "credentials", quota: 120, window: 60), subject: .anonymous),
            "bad-keys": .init(policy: LimitPolicy(name: "bad-keys", quota: 20, window: 60), subject: .address),
        ],
        maximumBody: 1_000, maximumFile: 1_000_000, maximumHeader: 32_768, times: .standard, trustedProxies: [], origins: [],
        services: RoutingTable.platform.services)
}

@Suite("The table of routes")
struct RoutingTests {
    @Test("Literal segments go before parameters, from the left, and another method is looked for further on")
    func specificity() throws {
        let table = try table(
            "GET /a/open", "GET,POST /a/{id}", "GET /a/{id}/c", "GET /a/b/{x}", "GET /{any}/b/c", "DELETE /a/b/c", "/a/**", "GET /")
        #expect(told(table.match("GET", "/a/open")) == "GET /a/open")
        #expect(told(table.match("POST", "/a/open")) == "POST /a/{id}")
        #expect(told(table.match("GET", "/a/7")) == "GET /a/{id}")
        #expect(told(table.match("GET", "/a/b/c")) == "GET /a/b/{x}")
        #expect(told(table.match("GET", "/a/z/c")) == "GET /a/{id}/c")
        #expect(told(table.match("DELETE", "/a/b/c")) == "DELETE /a/b/c")
        #expect(told(table.match("GET", "/x/b/c")) == "GET /{any}/b/c")
        #expect(told(table.match("GET", "/a/b/c/d/e")) == "any /a/**")
        #expect(told(table.match("PUT", "/a")) == "any /a/**")
        #expect(told(table.match("GET", "/")) == "GET /")
        #expect(told(table.match("GET", "/x")) == "404")
    }

    @Test("HEAD is GET where it is not declared itself; other methods of a known path are refused with those that there are")
    func methods() throws {
        let table = try table("GET,PATCH /a/{id}", "HEAD,GET /b", "/a/**", "OPTIONS /c", "POST /d")
        #expect(told(table.match("HEAD", "/a/1")) == "GET /a/{id}")
        #expect(told(table.match("HEAD", "/b")) == "HEAD /b")
        #expect(told(table.match("POST", "/a/1")) == "405 GET, HEAD, OPTIONS, PATCH")
        #expect(told(table.match("OPTIONS", "/a/1")) == "options GET, HEAD, OPTIONS, PATCH")
        #expect(told(table.match("OPTIONS", "/c")) == "OPTIONS /c")
        #expect(told(table.match("OPTIONS", "/a/1/x")) == "any /a/**")
        for method in ["TRACE", "CONNECT", "BREW", "get", "", "PROPFIND", "GETT", "OPTION"] {
            #expect(told(table.match(method, "/a/1")) == "405 GET, HEAD, OPTIONS, PATCH")
            #expect(told(table.match(method, "/a/1/x")) == "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT")
            #expect(told(table.match(method, "/nowhere")) == "404")
        }
        #expect(told(table.match("HEAD", "/d")) == "405 OPTIONS, POST")
    }

    @Test(
        "A path that could be read in two ways is refused",
        arguments: [
            "", "api/v1", "//api/v1/auth", "/api//v1", "/api/v1/../internal/v1", "/api/v1/./auth", "/api/v1/%2e%2e/internal",
            "/api/v1/%2E/x",
            "/api/v1/auth%2flogin", "/api/v1/auth%2Flogin", "/api/v1/auth%5clogin", "/api/v1/auth\\login", "/api/v1/%00",
            "/api/v1/a%0d%0ab", "/api/v1/%", "/api/v1/%4", "/api/v1/%zz", "/api/v1/%252e%252e", "/api/v1/..;/internal", "/api/v1/;x",
            "/api/v1/%ff", "/api/v1/a b", "/api/v1/ü", "/api/v1/%7f", "*", "/..", "/.", "/..;a=b", "/a/..", "/a/%3bx", "/a#b", "/a?b",
            "/a//",
            "//", "/a%C3/%BC", "http://host/a", "/" + String(repeating: "a", count: RequestPath.maximumBytes),
        ])
    func malformed(path: String) throws {
        #expect(told(try table("/**").match("GET", path)) == "malformed")
    }

    @Test("Decoded segments are matched; a slash at the end adds nothing; case counts")
    func decoding() throws {
        let table = try table("GET /api/v1/auth/login", "GET /über", "GET /a;v=1", "GET /...")
        for path in ["/api/v1/auth/login", "/api/v1/auth/login/", "/api/v1/auth/log%69n", "/%61pi/v1/auth/login/"] {
            #expect(told(table.match("GET", path)) == "GET /api/v1/auth/login")
        }
        #expect(told(table.match("GET", "/%C3%BCber")) == "GET /über")
        #expect(told(table.match("GET", "/a%3Bv=1")) == "GET /a;v=1")
        #expect(told(table.match("GET", "/...")) == "GET /...")
        #expect(told(table.match("GET", "/API/v1/auth/login")) == "404")
        #expect(told(table.match("GET", "/" + String(repeating: "a/", count: 1_000))) == "404")
    }

    @Test(
        "What is for the platform's own programs and operators is not reached, however wide a pattern is",
        arguments: [
            "/internal", "/internal/v1/service-token", "/metrics", "/health", "/ready", "/%69nternal/v1", "/INTERNAL/v1", "/internal;x/v1",
            "/Metrics", "/ready/", "/health;a=b",
        ])
    func forbidden(path: String) throws {
        let table = try table("/**", "/{any}/v1", "GET /internal/v1/service-token", "/health", "/ready/**")
        #expect(told(table.match("GET", path)) == "404")
        #expect(told(table.match("GET", "/internals/v1/x")) == "any /**")
    }

    @Test("Whole segments only")
    func whole() throws {
        let table = try table("/api/v1/auth/**", "GET /api/v1/users")
        for path in ["/", "/api", "/api/v1", "/api/v1/authority", "/api/v1/aut", "/api/v1/usersx", "/api/v1/users/1", "/api/v2/auth"] {
            #expect(told(table.match("GET", path)) == "404", "\(path)")
        }
        #expect(told(table.match("GET", "/api/v1/auth")) == "any /api/v1/auth/**")
    }

    @Test("The table says what a plain search through all patterns says, whatever the patterns and paths")
    func fuzz() throws {
        var random = SeededGenerator(state: 20_261_121)
        let words = ["a", "b", "c", "ab", "é", "x;y", "..."]
        let raw = [
            "a", "b", "c", "ab", "%C3%A9", "%61", "x;y", "x%3By", "...", ".", "..", "", "%2e", "A", "%zz", "a%2fb", ";", "\\", "%ff", "é",
        ]
        let methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "X"]
        var seen: [String: Int] = [:]
        for _ in 0..<300 {
            var patterns: [RoutePattern] = []
            for _ in 0..<Int.random(in: 0...14, using: &random) {
                let parts = (0..<Int.random(in: 0...4, using: &random)).map { _ in
                    Bool.random(using: &random) ? words.randomElement(using: &random)! : "{p}"
                }
                let isOpen = Int.random(in: 0..<4, using: &random) == 0
                let method = Int.random(in: 0..<8, using: &random) == 0 ? "" : methods[Int.random(in: 0..<7, using: &random)] + " "
                patterns.append(try RoutePattern(method + "/" + (parts + (isOpen ? ["**"] : [])).joined(separator: "/")))
            }
            let entries = try patterns.enumerated().flatMap { index, pattern in
                try entry(pattern.text, isKnown: !pattern.isOpen && index % 5 != 0)
            }
            let table = RouteTable(entries)
            for _ in 0..<60 {
                let path =
                    "/"
                    + (0..<Int.random(in: 0...5, using: &random)).map { _ in
                        raw[min(Int.random(in: 0..<raw.count, using: &random), Int.random(in: 0..<raw.count, using: &random))]
                    }.joined(separator: "/")
                let method = methods.randomElement(using: &random)!
                let expected = Reference.match(entries, method, path)
                #expect(told(table.match(method, path)) == expected, "\(method) \(path) among \(patterns.map(\.text))")
                seen[String(expected.prefix(3)), default: 0] += 1
            }
        }
        // The comparison means something only where all kinds of answers come up.
        for kind in ["405", "404", "mal", "opt", "GET", "any"] { #expect(seen[kind, default: 0] > 50, "\(kind): \(seen)") }
    }

    @Test("Random bytes never trap, and are refused or matched as a plain search does")
    func bytes() throws {
        var random = SeededGenerator(state: 7)
        let table = try table("GET /a/{b}", "/**")
        for _ in 0..<20_000 {
            var bytes = (0..<Int.random(in: 0...24, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            if Bool.random(using: &random) { bytes = Array("/a/%".utf8) + bytes }
            let answer = bytes.withUnsafeBytes { path in Array("GET".utf8).withUnsafeBytes { told(table.match(method: $0, path: path)) } }
            let text = String(validating: bytes, as: UTF8.self)
            let isRefused = text.map { $0.contains("#") || $0.contains("?") || (try? RequestPath($0)) == nil } ?? true
            #expect((answer == "malformed") == isRefused, "\(bytes)")
        }
    }
}

/// The rules again, the slow way: strings, sorting, no trie.
enum Reference {
    static func match(_ entries: [RouteTable.Entry], _ method: String, _ path: String) -> String {
        guard let segments = try? RequestPath(path).segments else { return "malformed" }
        let method = RouteMethod(name: method) ?? .other
        func matches(_ entry: RouteTable.Entry) -> Bool {
            guard entry.isOpen ? entry.parts.count <= segments.count : entry.parts.count == segments.count else { return false }
            return zip(entry.parts, segments).allSatisfy { part, segment in
                if case .literal(let text) = part { text == segment } else { true }
            }
        }
        /// Places in the order in which they count, each with its entries in the order of the table.
        func places(_ isOpen: Bool) -> [[RouteTable.Entry]] {
            let found = entries.filter { $0.isOpen == isOpen && matches($0) }
            let grouped = Dictionary(grouping: found) { entry in
                entry.parts.map { if case .literal = $0 { "0" } else { "1" } }.joined() + "2"
            }
            return grouped.sorted { $0.key < $1.key }.map(\.value)
        }
        func pick(_ place: [RouteTable.Entry]) -> RouteTable.Entry? {
            guard method.isRoutable else { return nil }
            return place.first { $0.method == method } ?? (method == .head ? place.first { $0.method == .get } : nil)
                ?? place.first { $0.method == nil }
        }
        let exact = places(false), open = places(true)
        if let found = exact.compactMap(pick).first { return found.route.label }
        func allow(_ entries: [RouteTable.Entry]) -> String {
            var names = Set(entries.flatMap { $0.method.map { [$0.name] } ?? RouteMethod.allCases.filter(\.isRoutable).map(\.name) })
            if names.contains("GET") { names.insert("HEAD") }
            return names.union(["OPTIONS"]).sorted().joined(separator: ", ")
        }
        func refusal(_ entries: [RouteTable.Entry]) -> String { (method == .options ? "options " : "405 ") + allow(entries) }
        // An entry that came second for its method and place is not in the table.
        let named = exact.flatMap { place in
            place.enumerated().filter { index, entry in !place[..<index].contains { $0.method == entry.method } }.map(\.element)
        }
        let known = named.filter(\.route.isKnown)
        if !known.isEmpty { return refusal(known) }
        if !open.isEmpty {
            guard method.isRoutable else { return "405 DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT" }
            if let found = open.compactMap(pick).first { return found.route.label }
        }
        return named.isEmpty ? "404" : refusal(named)
    }
}
