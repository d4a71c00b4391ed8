import Yams

/// Reads one entry of `upstreams`. The numbers that are not given are `UpstreamSpec`'s own.
enum UpstreamSpecReader {
    private static let minute = 60 * GatewayFileFields.second
    private static let millisecond = GatewayFileFields.second / 1_000

    static func read(_ node: Node, _ name: String, _ fields: inout GatewayFileFields) -> UpstreamSpec {
        var spec = UpstreamSpec()
        let values = fields.fields(
            node, "the upstream \"\(name)\"",
            ["addresses", "canaryShare", "health", "ejection", "breaker", "retries", "concurrency", "queue", "connections"])
        if let node = values["addresses"] { spec.addresses = fields.list(node, "addresses").compactMap { address($0, &fields) } }
        if let node = values["canaryShare"] { spec.canaryShare = fields.share(node, "canaryShare") }
        if let node = values["health"] { health(node, &spec.health, &fields) }
        if let node = values["ejection"] { ejection(node, &spec.ejection, &fields) }
        if let node = values["breaker"] { breaker(node, &spec.breaker, &fields) }
        if let node = values["retries"] {
            let values = fields.fields(node, "retries", ["share", "perSecond"])
            if let node = values["share"] { fields.share(node, "share").map { spec.retries.share = $0 } }
            if let node = values["perSecond"] { fields.integer(node, "perSecond", in: 0...100_000).map { spec.retries.perSecond = $0 } }
        }
        if let node = values["concurrency"] { concurrency(node, &spec.concurrency, &fields) }
        if let node = values["queue"] {
            let values = fields.fields(node, "queue", ["capacity", "patience", "retryAfter"])
            if let node = values["capacity"] { fields.integer(node, "capacity", in: 0...1_000_000).map { spec.queue.capacity = $0 } }
            if let node = values["patience"] {
                fields.duration(node, "patience", in: millisecond...minute).map { spec.queue.patience = $0 }
            }
            if let node = values["retryAfter"] { fields.seconds(node, "retryAfter", in: 1...3_600).map { spec.queue.retryAfter = $0 } }
        }
        if let node = values["connections"] { spec.connections = fields.integer(node, "connections", in: 1...1_000_000) }
        return spec
    }

    /// `http://content:8083`, or with more to say `{ address: …, weight: 5, canary: true }`.
    private static func address(_ node: Node, _ fields: inout GatewayFileFields) -> UpstreamSpec.Address? {
        var text = node.scalar?.string, weight = 1, isCanary = false
        if node.mapping != nil {
            let values = fields.fields(node, "an address", ["address", "weight", "canary"])
            text = values["address"].flatMap { fields.text($0, "address") }
            if let node = values["weight"] { weight = fields.integer(node, "weight", in: 1...UpstreamSpec.maximumWeight) ?? 1 }
            if let node = values["canary"] { isCanary = fields.flag(node, "canary") ?? false }
        }
        guard let text, !text.isEmpty else {
            fields.refuse(node, "an address is written as http://host:port, or as { address: http://host:port, weight: 5 }")
            return nil
        }
        do {
            return try UpstreamSpec.Address(parsing: text, weight: weight, isCanary: isCanary)
        } catch {
            fields.refuse(node, error.description)
            return nil
        }
    }

    private static func health(_ node: Node, _ health: inout UpstreamSpec.Health, _ fields: inout GatewayFileFields) {
        let values = fields.fields(node, "health", ["enabled", "path", "interval", "timeout", "unhealthyAfter", "healthyAfter"])
        if let node = values["enabled"] { health.isOn = fields.flag(node, "enabled") }
        if let node = values["path"] { fields.text(node, "path").map { health.path = $0 } }
        if let node = values["interval"] {
            fields.duration(node, "interval", in: 100 * millisecond...10 * minute).map { health.interval = $0 }
        }
        if let node = values["timeout"] { fields.duration(node, "timeout", in: 10 * millisecond...minute).map { health.timeout = $0 } }
        if let node = values["unhealthyAfter"] { fields.integer(node, "unhealthyAfter", in: 1...100).map { health.unhealthyAfter = $0 } }
        if let node = values["healthyAfter"] { fields.integer(node, "healthyAfter", in: 1...100).map { health.healthyAfter = $0 } }
    }

    private static func ejection(_ node: Node, _ ejection: inout UpstreamSpec.Ejection, _ fields: inout GatewayFileFields) {
        let values = fields.fields(node, "ejection", ["failures", "connectFailures", "base", "cap", "forgetAfter", "maximumShare"])
        if let node = values["failures"] { fields.integer(node, "failures", in: 1...10_000).map { ejection.failures = $0 } }
        if let node = values["connectFailures"] {
            fields.integer(node, "connectFailures", in: 1...10_000).map { ejection.connectFailures = $0 }
        }
        if let node = values["base"] { fields.duration(node, "base", in: millisecond...60 * minute).map { ejection.base = $0 } }
        if let node = values["cap"] { fields.duration(node, "cap", in: millisecond...60 * minute).map { ejection.cap = $0 } }
        if let node = values["forgetAfter"] {
            fields.duration(node, "forgetAfter", in: millisecond...60 * minute).map { ejection.forgetAfter = $0 }
        }
        if let node = values["maximumShare"] { fields.share(node, "maximumShare").map { ejection.maximumShare = $0 } }
    }

    private static func breaker(_ node: Node, _ breaker: inout UpstreamSpec.Breaker, _ fields: inout GatewayFileFields) {
        let values = fields.fields(
            node, "breaker", ["enabled", "window", "minimumRequests", "failureShare", "base", "cap", "probes", "probePatience"])
        if let node = values["enabled"] { fields.flag(node, "enabled").map { breaker.isOn = $0 } }
        if let node = values["window"] {
            fields.duration(node, "window", in: 1_000 * millisecond...10 * minute).map { breaker.window = $0 }
        }
        if let node = values["minimumRequests"] {
            fields.integer(node, "minimumRequests", in: 1...1_000_000).map { breaker.minimumRequests = $0 }
        }
        if let node = values["failureShare"] { fields.share(node, "failureShare").map { breaker.failureShare = $0 } }
        if let node = values["base"] { fields.duration(node, "base", in: millisecond...60 * minute).map { breaker.base = $0 } }
        if let node = values["cap"] { fields.duration(node, "cap", in: millisecond...60 * minute).map { breaker.cap = $0 } }
        if let node = values["probes"] { fields.integer(node, "probes", in: 1...1_000).map { breaker.probes = $0 } }
        if let node = values["probePatience"] {
            fields.duration(node, "probePatience", in: millisecond...10 * minute).map { breaker.probePatience = $0 }
        }
    }

    private static func concurrency(_ node: Node, _ limit: inout UpstreamSpec.Concurrency, _ fields: inout GatewayFileFields) {
        let values = fields.fields(
            node, "concurrency", ["floor", "ceiling", "initial", "tolerance", "slack", "window", "minimumSamples"])
        if let node = values["floor"] { fields.integer(node, "floor", in: 1...1_000_000).map { limit.floor = $0 } }
        if let node = values["ceiling"] { fields.integer(node, "ceiling", in: 1...1_000_000).map { limit.ceiling = $0 } }
        if let node = values["initial"] {
            fields.integer(node, "initial", in: 1...1_000_000).map { limit.initial = $0 }
        } else {
            limit.initial = min(max(limit.initial, limit.floor), limit.ceiling)
        }
        if let node = values["tolerance"] { fields.number(node, "tolerance", in: 1...100).map { limit.tolerance = $0 } }
        if let node = values["slack"] { fields.duration(node, "slack", in: 0...minute).map { limit.slack = $0 } }
        if let node = values["window"] { fields.duration(node, "window", in: 10 * millisecond...minute).map { limit.window = $0 } }
        if let node = values["minimumSamples"] {
            fields.integer(node, "minimumSamples", in: 1...1_000_000).map { limit.minimumSamples = $0 }
        }
    }
}
