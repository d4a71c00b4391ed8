import Testing

@testable import GatewayService

/// Each makes one number unsound.
private let unsoundChanges: [@Sendable (inout UpstreamSpec) -> Void] = [
    { $0.addresses = [] },
    { $0.addresses = (1...65).map { .init(host: "a", port: $0) } },
    { $0.addresses[0].weight = 0 },
    { $0.addresses[0].weight = 1_001 },
    { $0.addresses[0].port = 0 },
    { $0.addresses[1] = $0.addresses[0] },
    { $0.canaryShare = 0.1 },
    {
        $0.addresses[0].isCanary = true
        $0.canaryShare = 1.5
    },
    { $0.health.path = "health" },
    { $0.health.path = "/he alth" },
    { $0.health.path = "/health\r\nX: y" },
    { $0.health.interval = 1 },
    { $0.health.timeout = 0 },
    { $0.health.unhealthyAfter = 0 },
    { $0.ejection.failures = 0 },
    { $0.ejection.cap = 0 },
    { $0.ejection.maximumShare = 2 },
    { $0.breaker.minimumRequests = 0 },
    { $0.breaker.failureShare = 0 },
    { $0.breaker.window = 0 },
    { $0.breaker.cap = 0 },
    { $0.retries.share = -1 },
    { $0.concurrency.floor = 0 },
    { $0.concurrency.ceiling = 100 },
    { $0.concurrency.tolerance = 0.5 },
    { $0.concurrency.window = 0 },
    { $0.queue.capacity = -1 },
    { $0.queue.retryAfter = 0 },
    { $0.connections = 0 },
]

@Suite("Addresses and numbers of upstreams")
struct UpstreamSpecUnitTests {
    @Test(
        "Addresses are read with and without a scheme and a port",
        arguments: [
            ("http://content:8083", "content", 8083, "content:8083"), ("http://content:8083/", "content", 8083, "content:8083"),
            ("content:8083", "content", 8083, "content:8083"), ("http://content", "content", 80, "content"),
            ("HTTP://Content.Example.org", "content.example.org", 80, "content.example.org"),
            ("http://127.0.0.1:1", "127.0.0.1", 1, "127.0.0.1:1"), ("http://[::1]:8083", "::1", 8083, "[::1]:8083"),
            ("[fe80::1]", "fe80::1", 80, "[fe80::1]"), ("a_b-c.d:65535", "a_b-c.d", 65_535, "a_b-c.d:65535"),
        ])
    func read(text: String, host: String, port: Int, authority: String) throws {
        let address = try UpstreamSpec.Address(parsing: text, weight: 3, isCanary: true)
        #expect(address == UpstreamSpec.Address(host: host, port: port, weight: 3, isCanary: true))
        #expect(address.authority == authority)
    }

    @Test(
        "Nonsense is refused",
        arguments: [
            "", "http://", "ftp://content", "http://content/path", "http://user@content", "http://content:0", "http://content:65536",
            "http://content:", "http://content:80:80", "http://[::1", "http://[content]", "http://con tent", "http://content?x", "::1",
            "http://inh\u{E4}lt", "http://[::1]8083", "http://content:+80", "http://content:8 0",
        ])
    func refused(text: String) {
        #expect(throws: UpstreamAddressProblem.self) { try UpstreamSpec.Address(parsing: text) }
    }

    @Test("TLS to an upstream is refused with what to do instead")
    func https() {
        let problem = #expect(throws: UpstreamAddressProblem.self) { try UpstreamSpec.Address(parsing: "https://content:8083") }
        #expect(problem?.description.contains("plain HTTP/1.1") == true)
    }

    @Test("The numbers that are there without a file are sound")
    func defaults() {
        #expect(UpstreamSpec(addresses: [.init(host: "content", port: 8083)]).problems.isEmpty)
    }

    @Test("Health is asked of several replicas, or where the file says so")
    func checks() {
        var spec = UpstreamSpec(addresses: [.init(host: "a", port: 1)])
        #expect(!spec.checksHealth)
        spec.health.isOn = true
        #expect(spec.checksHealth)
        spec = UpstreamSpec(addresses: [.init(host: "a", port: 1), .init(host: "b", port: 1)])
        #expect(spec.checksHealth)
        spec.health.isOn = false
        #expect(!spec.checksHealth)
    }

    @Test("Event loops share the connections to a replica, and each has some")
    func connections() {
        var spec = UpstreamSpec()
        #expect([1, 2, 4, 16].map { spec.connections(ofLoops: $0) } == [4_096, 2_048, 1_024, 1_024])
        spec.connections = 100
        #expect([1, 2, 200].map { spec.connections(ofLoops: $0) } == [100, 50, 1])
    }

    @Test("Each unsound number is named", arguments: unsoundChanges.indices)
    func unsound(index: Int) {
        var spec = UpstreamSpec(addresses: [.init(host: "a", port: 1), .init(host: "b", port: 1)])
        unsoundChanges[index](&spec)
        #expect(spec.problems.count == 1, "\(spec.problems)")
    }
}
