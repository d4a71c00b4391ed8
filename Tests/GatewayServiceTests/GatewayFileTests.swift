import Contracts
import Foundation
import TestKit
import Testing

@testable import GatewayService

@Suite("The gateway file")
struct GatewayFileTests {
    private func read(_ text: String) throws(GatewayFaults) -> GatewayFile { try GatewayFile(reading: text, .forTests) }

    private func faults(_ text: String) -> [GatewayFault] {
        do throws(GatewayFaults) {
            _ = try read(text)
            return []
        } catch {
            return error.faults
        }
    }

    static var example: String {
        get throws {
            let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("../../Gateway").standardized
            return try String(contentsOf: folder.appendingPathComponent("gateway.yaml"), encoding: .utf8)
        }
    }

    @Test("The example that is shipped is right, and says what it seems to say")
    func example() throws {
        let file = try read(try Self.example)
        #expect(file.limits["uploads"]?.policy == LimitPolicy(name: "uploads", quota: 10, window: 60, block: 60))
        #expect(file.limits["exports"] == .init(policy: LimitPolicy(name: "exports", quota: 10, window: 3_600), subject: .tenant))
        #expect(file.limits["anonymous"]?.policy.name == "default")
        #expect(file.plans.plans["free"]?["tenant"]?.quota == 3_000)
        #expect(file.rules.count == 10)
        #expect(file.upstreams["content"]?.breaker.failureShare == 0.5)
        #expect(file.maintenance.isOff && file.block.isEmpty)
        let state = RoutingState(defaults: .forTests)
        state.use(RouteCompilerTests.operations)
        // Only what the few operations of this test do not have.
        do throws(GatewayFaults) {
            try state.use(file)
        } catch {
            #expect(error.faults.allSatisfy { $0.message.contains("no operation of users") }, "\(error.faults)")
        }
    }

    @Test("The example says of the standard limits what the requirements say")
    func standard() throws {
        let file = try read(try Self.example)
        for (name, quota, window) in [("default", 1_000, 60), ("sign-in", 5, 900), ("uploads", 10, 60), ("credentials", 120, 60)] {
            #expect(file.limits[name]?.policy.quota == quota && file.limits[name]?.policy.window == window)
        }
    }

    @Test("An empty file is as none", arguments: ["", "# nothing\n", "limits:\nroutes:\n", "---\n"])
    func empty(text: String) throws {
        var file = try read(text)
        file.version = ""
        #expect(file == GatewayDefaults.forTests.file)
    }

    @Test("Everything that is wrong is told at once, by line, with what to do about it")
    func all() throws {
        let found = faults(
            """
            limits:
              default: { quota: 5, window: 60s }
              default: { quota: 5, window: 60s }
              slow: { quota: 5 }
              "Bad Name": { quota: 5, window: 1s }
              exports: { quote: 5, quota: 5, window: 1m, per: planet }
            plans:
              free: { nothing: { quota: 1, window: 1s } }
            upstream: {}
            upstreams:
              ghost: {}
              content:
                addresses: ["https://a", { address: "http://b:99999" }, [x]]
                canaryShare: 200%
                health: { interval: soon }
            routes:
              - match: POST files
              - match: "GRAB /x"
              - match: /a/**/b
              - match: /a/b*
                limits: [nothing]
                maxBodyBytes: big
                timeouts: { conect: 1s, idle: 3 }
                cache: sometimes
                priority: urgent
                retry: yes
                access: everybody
                upstream: nowhere
              - limits: [default]
            cors: { origins: ["console.example.org", "https://a.example/path"] }
            block: { addresses: [300.1.1.1], agents: [a] }
            maintenance: { all: perhaps, services: [kitchen], retryAfter: 1500ms }
            trustedProxies: [10.0.0.0/64]
            """)
        let lines = found.map(\.line)
        #expect(Set(1...33).subtracting(lines) == [1, 3, 7, 10, 12, 16])
        #expect(lines == lines.sorted())
        func has(_ line: Int, _ text: String) {
            let there = found.filter { $0.line == line }
            #expect(there.contains { $0.message.contains(text) }, "line \(line): \(there)")
        }
        has(2, "given twice")
        has(4, "needs a window")
        has(5, "small letters, digits and hyphens")
        has(6, "did you mean \"quota\"?")
        has(6, "per is one of principal")
        has(8, "add it below limits first")
        has(9, "did you mean \"upstreams\"?")
        has(11, "needs addresses")
        has(13, "end TLS in front of the service")
        has(13, "a port is 1 to 65535")
        has(14, "a share such as 5%")
        has(17, "write it as \"POST /api/v1/files\"")
        has(18, "\"GRAB\" is no method")
        has(19, "must be the last segment")
        has(20, "half a wildcard")
        has(21, "there is no limit \"nothing\"")
        has(22, "64KiB")
        has(23, "did you mean \"connect\"?")
        has(23, "500ms, 30s")
        has(26, "true or false")
        has(28, "there is no upstream \"nowhere\"")
        has(29, "needs a match")
        has(30, "is no origin")
        has(31, "is no address or network")
        has(32, "there is no service \"kitchen\"")
        #expect(found.allSatisfy { $0.description.hasPrefix("line ") && $0.message.count > 15 })
    }

    @Test("A key that is given twice is found together with everything else, wherever it stands")
    func duplicates() {
        let found = faults(
            """
            limits:
              a: { quota: 5, window: 1s, quota: 6 }
              b: { quota: 5, window: 1s }
              b: { quota: 0, window: 1s }
            limits: {}
            cors: { origins: 5 }
            """)
        #expect(found.filter { $0.message.contains("given twice") }.count == 3)
        #expect(found.contains { $0.line == 6 && $0.message.contains("is a list") })
    }

    @Test(
        "What is no YAML is refused with the line, and so is what is no mapping",
        arguments: [
            ("routes: [", true), ("a:\n\tb: c", true), ("limits: *nothing", true), ("--- {}\n--- {}", true), ("just text", true),
            ("- a\n- b", true), (String(repeating: "#", count: 1_048_577), false), ("\u{0}", false),
        ])
    func unreadable(text: String, hasLine: Bool) throws {
        let found = faults(text)
        #expect(!found.isEmpty)
        if hasLine { #expect(found.allSatisfy { $0.line > 0 }, "\(found)") }
    }

    @Test("Times, sizes and shares are read strictly")
    func units() throws {
        let file = try read(
            """
            limits:
              a: { quota: 1, window: 1h, block: 1d }
            upstreams:
              content:
                addresses: ["http://a:81", { address: "http://b", weight: 3, canary: true }]
                canaryShare: 0.25
                queue: { patience: 250ms }
            routes:
              - match: [GET /api/v1/search, "POST /api/v1/search"]
                maxBodyBytes: 64KiB
                maxHeaderBytes: 2048
                timeouts: { connect: 500ms, firstByte: 2m }
                limits: [{ limit: a, per: tenant, eachRoute: true }, default]
                cache: { maximum: 1m, stale: 0s, perPrincipal: true }
                upgrade: true
                compression: false
                retry: true
                priority: bulk
            """)
        #expect(file.limits["a"]?.policy == LimitPolicy(name: "a", quota: 1, window: 3_600, block: 86_400))
        let spec = try #require(file.upstreams["content"])
        #expect(spec.addresses.map(\.authority) == ["a:81", "b"] && spec.addresses[1].weight == 3 && spec.addresses[1].isCanary)
        #expect(spec.canaryShare == 0.25 && spec.queue.patience == 250_000_000)
        #expect(file.rules.map(\.pattern.text) == ["GET /api/v1/search", "POST /api/v1/search"])
        let rule = file.rules[0]
        #expect(rule.line == 9 && rule.maximumBody == 65_536 && rule.maximumHeader == 2_048)
        #expect(rule.connect == 500_000_000 && rule.firstByte == 120_000_000_000 && rule.idle == nil)
        #expect(rule.limits?.first == .init(name: "a", subject: .tenant, isPerRoute: true))
        #expect(rule.cache == .rule(CacheRule(maximumSeconds: 60, staleSeconds: 0, perPrincipal: true)))
        #expect(rule.allowsUpgrade == true && rule.compresses == false && rule.mayRetry == true && rule.priority == .bulk)
        for bad in ["5", "5 s", "-5s", "5sec", "1.5s", "", "99999999999999999999s", "s"] {
            #expect(!faults("limits: { a: { quota: 1, window: \"\(bad)\" } }").isEmpty, "\(bad)")
        }
        for bad in ["5MB", "5 MiB", "-1", "1e3", "99999999999GiB"] {
            #expect(!faults("routes: [{ match: /api/v1/search, maxBodyBytes: \"\(bad)\" }]").isEmpty, "\(bad)")
        }
    }

    @Test("The version says whether two texts are the same")
    func version() throws {
        #expect(try read("limits: {}").version == read("limits: {}").version)
        #expect(try read("limits: {}").version != read("limits: {} ").version)
    }

    @Test("Blocked networks and agents are found, others are not")
    func blocked() throws {
        let file = try read("block: { addresses: [203.0.113.0/24, 2001:db8::/33, 192.0.2.7], agents: [EvilBot, \"curl/7.1 \"] }")
        for address in ["203.0.113.255", "2001:db8:7fff::1", "192.0.2.7", "::ffff:203.0.113.9"] {
            #expect(file.block.blocks(address: address))
        }
        for address in ["203.0.114.0", "2001:db8:8000::1", "192.0.2.8", "rubbish", ""] { #expect(!file.block.blocks(address: address)) }
        func blocks(_ agent: String) -> Bool { Array(agent.utf8).withUnsafeBytes { file.block.blocks(agent: $0) } }
        for agent in ["evilbot", "Mozilla (compatible; EVILBOT/2.0)", "curl/7.1 x", "xEvilBot"] { #expect(blocks(agent), "\(agent)") }
        for agent in ["", "evilbo", "curl/7.10", "evil bot", "Mozilla/5.0"] { #expect(!blocks(agent), "\(agent)") }
    }

    @Test("A set of networks agrees with each of its networks asked by itself")
    func networks() throws {
        var random = SeededGenerator(state: 99)
        func byte(_ range: ClosedRange<Int> = 0...255) -> Int { Int.random(in: range, using: &random) }
        let networks = (0..<40).compactMap { _ in Network("10.\(byte(0...3)).\(byte()).0/\(byte(6...32))") }
        let set = NetworkSet(networks)
        for _ in 0..<3_000 {
            let address = try #require(NetworkAddress("10.\(byte(0...7)).\(byte()).\(byte(0...1))"))
            #expect(set.contains(address) == networks.contains { $0.contains(address) })
        }
    }
}
