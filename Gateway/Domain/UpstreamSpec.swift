/// How the replicas of one upstream are reached, and when they are spared. Times are nanoseconds.
struct UpstreamSpec: Sendable, Equatable {
    /// Replicas of one group, at most: one bit each in a word.
    static let maximumAddresses = 64
    static let maximumWeight = 1_000
    /// Connections to one replica where the file has no number for them: so many, or more where event loops are many.
    static let usualConnections = 4_096
    /// Of each event loop, where the file has no number.
    static let leastConnectionsPerLoop = 1_024

    private static let millisecond: UInt64 = 1_000_000
    private static let second: UInt64 = 1_000_000_000

    /// One replica: plain HTTP/1.1 at a host and port.
    struct Address: Sendable, Equatable {
        /// A name, an IPv4 address, or an IPv6 address without its brackets.
        var host: String
        var port: Int
        /// Its part of the requests, against the weights of the others: 1 to 1,000.
        var weight = 1
        /// Gets the canary's share instead of a part by weight among all.
        var isCanary = false

        /// As in the `Host` field: `content:8083`, `[::1]:8083`, and without the port when it is 80.
        var authority: String {
            let name = host.contains(":") ? "[\(host)]" : host
            return port == 80 ? name : "\(name):\(port)"
        }
    }

    /// When each replica is asked how it is.
    struct Health: Sendable, Equatable {
        var path = "/health"
        /// Between two questions to one replica; each waits a fifth more or less by chance.
        var interval: UInt64 = 5 * UpstreamSpec.second
        var timeout: UInt64 = 2 * UpstreamSpec.second
        /// Bad answers in a row that make a replica unhealthy.
        var unhealthyAfter = 2
        /// Good answers in a row that make it healthy again.
        var healthyAfter = 1
        /// Nil: only where there is another replica to turn to.
        var isOn: Bool?
    }

    /// When a replica that fails requests is left alone for a while (passive, from the requests themselves).
    struct Ejection: Sendable, Equatable {
        /// 502, 503, 504, time-outs and broken answers in a row.
        var failures = 5
        /// Refused connections in a row.
        var connectFailures = 2
        /// The first time; each further one is twice as long.
        var base: UInt64 = 1 * UpstreamSpec.second
        var cap: UInt64 = 60 * UpstreamSpec.second
        /// Good time after which one ejection is forgotten.
        var forgetAfter: UInt64 = 30 * UpstreamSpec.second
        /// Of the replicas, out at once; never the only one.
        var maximumShare = 0.5
    }

    /// When the whole group is left alone for a while, and answers 503 at once.
    struct Breaker: Sendable, Equatable {
        var isOn = true
        var window: UInt64 = 10 * UpstreamSpec.second
        /// Requests within the window before the share means anything.
        var minimumRequests = 20
        /// Of them failed: no connection, broken, timed out, 502 or 504.
        var failureShare = 0.5
        /// The first time; each further one is twice as long.
        var base: UInt64 = 1 * UpstreamSpec.second
        var cap: UInt64 = 30 * UpstreamSpec.second
        /// Good probes, one at a time, that close it.
        var probes = 1
        /// A probe without an outcome for so long counts as lost, and another may go.
        var probePatience: UInt64 = 10 * UpstreamSpec.second
    }

    /// Second attempts, so that a failing service does not get twice the load.
    struct Retries: Sendable, Equatable {
        /// Of the requests of the last ten seconds.
        var share = 0.2
        /// Allowed in any case.
        var perSecond = 3
    }

    /// How many requests the services of the group may think about at once, learnt from how long they take.
    struct Concurrency: Sendable, Equatable {
        var floor = 64
        var ceiling = 4_096
        var initial = 256
        /// Latency over the usual, as a factor, that is no sign of overload.
        var tolerance = 2.5
        /// And beyond that.
        var slack: UInt64 = 10 * UpstreamSpec.millisecond
        /// Between two adjustments.
        var window: UInt64 = 500 * UpstreamSpec.millisecond
        /// Answers within a window before it means anything.
        var minimumSamples = 20
    }

    /// Requests that wait for their turn beyond the limit.
    struct Queue: Sendable, Equatable {
        /// Of all priorities together.
        var capacity = 512
        var patience: UInt64 = 1 * UpstreamSpec.second
        /// What a client that is shed is told, in seconds.
        var retryAfter = 1
    }

    var addresses: [Address] = []
    /// Of the requests, 0 to 1, that go to the canaries; nil: as the weights have it.
    var canaryShare: Double?
    var health = Health()
    var ejection = Ejection()
    var breaker = Breaker()
    var retries = Retries()
    var concurrency = Concurrency()
    var queue = Queue()
    /// To one replica at once, of all event loops together, each of which has its part; nil: as usual.
    var connections: Int?

    /// To one replica at once, of each event loop.
    func connections(ofLoops loops: Int) -> Int {
        guard let connections else { return max(Self.leastConnectionsPerLoop, Self.usualConnections / max(1, loops)) }
        return max(1, connections / max(1, loops))
    }

    /// Whether replicas are asked how they are.
    var checksHealth: Bool { health.isOn ?? (addresses.count > 1) }

    /// What is wrong with the numbers, one sentence each; empty when all is well.
    var problems: [String] {
        var found: [String] = []
        func expect(_ holds: Bool, _ sentence: String) { if !holds { found.append(sentence) } }
        expect(!addresses.isEmpty, "needs an address")
        expect(addresses.count <= Self.maximumAddresses, "has \(addresses.count) addresses; \(Self.maximumAddresses) are the most")
        for (index, address) in addresses.enumerated() {
            expect(1...Self.maximumWeight ~= address.weight, "\(address.authority): a weight is 1 to \(Self.maximumWeight)")
            expect(1...65_535 ~= address.port, "\(address.authority): a port is 1 to 65535")
            expect(
                !addresses[..<index].contains { $0.host == address.host && $0.port == address.port },
                "\(address.authority) is named twice")
        }
        expect(canaryShare.map { 0...1 ~= $0 } ?? true, "a canary's share is 0 to 1")
        expect(canaryShare == nil || addresses.contains(where: \.isCanary), "a canary's share needs an address that is a canary")
        expect(health.path.hasPrefix("/"), "health: a path begins with /")
        expect(!health.path.utf8.contains { $0 <= 0x20 || $0 >= 0x7F }, "health: a path has visible ASCII alone")
        expect(health.interval >= 100 * Self.millisecond, "health: an interval is 100 ms or more")
        expect(health.timeout >= 10 * Self.millisecond, "health: a timeout is 10 ms or more")
        expect(health.unhealthyAfter >= 1 && health.healthyAfter >= 1, "health: thresholds are 1 or more")
        expect(ejection.failures >= 1 && ejection.connectFailures >= 1, "ejection: thresholds are 1 or more")
        expect(ejection.base > 0 && ejection.cap >= ejection.base, "ejection: the cap is at least the first time")
        expect(0...1 ~= ejection.maximumShare, "ejection: a share is 0 to 1")
        expect(breaker.minimumRequests >= 1 && breaker.probes >= 1, "breaker: requests and probes are 1 or more")
        expect(breaker.failureShare > 0 && breaker.failureShare <= 1, "breaker: a share is above 0 and at most 1")
        expect(breaker.window >= Self.second, "breaker: a window is a second or more")
        expect(breaker.base > 0 && breaker.cap >= breaker.base, "breaker: the cap is at least the first time")
        expect(0...1 ~= retries.share && retries.perSecond >= 0, "retries: a share is 0 to 1, and a number 0 or more")
        expect(
            concurrency.floor >= 1 && concurrency.floor <= concurrency.initial && concurrency.initial <= concurrency.ceiling,
            "concurrency: 1 ≤ floor ≤ initial ≤ ceiling")
        expect(concurrency.tolerance >= 1, "concurrency: a tolerance is 1 or more")
        expect(concurrency.window >= 10 * Self.millisecond, "concurrency: a window is 10 ms or more")
        expect(queue.capacity >= 0 && queue.retryAfter >= 1, "queue: a capacity is 0 or more, a retryAfter 1 or more")
        expect(connections.map { $0 >= 1 } ?? true, "connections are 1 or more")
        return found
    }
}

/// Why an upstream's address cannot be used.
struct UpstreamAddressProblem: Error, Equatable, CustomStringConvertible {
    let description: String
}

extension UpstreamSpec.Address {
    /// Reads `http://content:8083` or `content:8083`; without a port it is 80. Throws `UpstreamAddressProblem` for `https`, paths and nonsense.
    init(parsing text: String, weight: Int = 1, isCanary: Bool = false) throws(UpstreamAddressProblem) {
        func refuse(_ reason: String) -> UpstreamAddressProblem { UpstreamAddressProblem(description: "\"\(text)\": \(reason)") }
        var rest = text[...]
        if let end = rest.firstRange(of: "://") {
            switch rest[..<end.lowerBound].lowercased() {
            case "http": rest = rest[end.upperBound...]
            case "https": throw refuse("upstreams are spoken to in plain HTTP/1.1; end TLS in front of the service, and say http://")
            case let scheme: throw refuse("\(scheme) is no scheme of an upstream; say http://")
            }
        }
        if rest.hasSuffix("/") { rest.removeLast() }
        guard !rest.contains(where: { "/?#@ ".contains($0) }) else { throw refuse("an upstream is a host and a port, no more") }
        let name: Substring
        var tail: Substring
        if rest.hasPrefix("[") {
            guard let close = rest.firstIndex(of: "]") else { throw refuse("an IPv6 address ends with ]") }
            name = rest[rest.index(after: rest.startIndex)..<close]
            tail = rest[rest.index(after: close)...]
            guard name.contains(":"), name.allSatisfy({ $0.isHexDigit || $0 == ":" || $0 == "." }) else {
                throw refuse("that is no IPv6 address")
            }
        } else {
            let colon = rest.firstIndex(of: ":") ?? rest.endIndex
            name = rest[..<colon]
            tail = rest[colon...]
            guard !name.isEmpty, name.utf8.allSatisfy(Self.isOfName) else { throw refuse("that is no host name") }
        }
        var port = 80
        if !tail.isEmpty {
            guard tail.removeFirst() == ":", tail.first != "+", let number = UInt16(tail), number > 0 else {
                throw refuse("a port is 1 to 65535")
            }
            port = Int(number)
        }
        self.init(host: name.lowercased(), port: port, weight: weight, isCanary: isCanary)
    }

    private static func isOfName(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}
