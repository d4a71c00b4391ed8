import Yams

/// Reads one entry of `routes`.
struct RouteRuleReader {
    var fields: GatewayFileFields
    let limits: [String: GatewayFile.NamedLimit]
    let upstreams: Set<String>

    private static let keys = [
        "match", "limits", "maxBodyBytes", "maxHeaderBytes", "timeouts", "cache", "priority", "retry", "compression", "upgrade", "access",
        "upstream",
    ]

    /// One rule for each pattern.
    mutating func read(_ node: Node) -> [RouteRule] {
        let values = fields.fields(node, "a route", Self.keys)
        guard let match = values["match"] else {
            if node.mapping != nil {
                fields.refuse(node, "a route needs a match, such as \"POST /api/v1/files\" or \"/api/v1/content/**\"")
            }
            return []
        }
        var rule = RouteRule(RoutePattern(parts: [], isOpen: true), line: fields.line(node))
        if let node = values["limits"] { rule.limits = uses(node) }
        if let node = values["maxBodyBytes"] { rule.maximumBody = fields.size(node, "maxBodyBytes", in: 0...1_000_000_000_000) }
        if let node = values["maxHeaderBytes"] { rule.maximumHeader = fields.size(node, "maxHeaderBytes", in: 1_024...1_048_576) }
        if let node = values["timeouts"] { times(node, &rule) }
        if let node = values["cache"] { rule.cache = cache(node) }
        if let node = values["priority"] {
            rule.priority = fields.choice(node, "priority", of: Priority.allCases.map(\.name)).flatMap(Priority.init(name:))
        }
        if let node = values["retry"] { rule.mayRetry = fields.flag(node, "retry") }
        if let node = values["compression"] { rule.compresses = fields.flag(node, "compression") }
        if let node = values["upgrade"] { rule.allowsUpgrade = fields.flag(node, "upgrade") }
        if let node = values["access"] {
            rule.access = fields.choice(node, "access", of: RouteRule.Access.allCases.map(\.rawValue)).flatMap(RouteRule.Access.init)
        }
        if let node = values["upstream"], let name = fields.text(node, "upstream") {
            if !upstreams.contains(name) {
                fields.refuse(node, "there is no upstream \"\(name)\"; add it below upstreams, or correct the name")
            }
            rule.upstream = name
        }
        return patterns(match).map { pattern in
            var own = rule
            own.pattern = pattern
            return own
        }
    }

    private mutating func patterns(_ node: Node) -> [RoutePattern] {
        let texts = node.sequence == nil ? fields.text(node, "match").map { [($0, node)] } ?? [] : fields.texts(node, "match")
        if node.sequence?.isEmpty == true { fields.refuse(node, "match names no path; write one, such as \"GET /api/v1/products/**\"") }
        return texts.compactMap { text, node in
            do throws(RoutePattern.Unreadable) {
                return try RoutePattern(text)
            } catch {
                fields.refuse(node, "\"\(text)\" cannot be matched: \(error.reason)")
                return nil
            }
        }
    }

    /// `[default, { limit: exports, per: tenant, eachRoute: true }]`.
    private mutating func uses(_ node: Node) -> [RouteRule.LimitUse] {
        var uses: [RouteRule.LimitUse] = []
        for item in fields.list(node, "limits") {
            var use = RouteRule.LimitUse(name: item.scalar?.string ?? "")
            var name: Node? = item
            if item.mapping != nil {
                let values = fields.fields(item, "a limit of a route", ["limit", "per", "eachRoute"])
                name = values["limit"]
                use.name = name?.scalar?.string ?? ""
                if let node = values["per"] {
                    use.subject = fields.choice(node, "per", of: SubjectKind.allCases.map(\.rawValue)).flatMap(SubjectKind.init)
                }
                if let node = values["eachRoute"] { use.isPerRoute = fields.flag(node, "eachRoute") ?? false }
            }
            guard limits[use.name] != nil else {
                let known = limits.keys.sorted().joined(separator: ", ")
                fields.refuse(name ?? item, "there is no limit \"\(use.name)\"; add it below limits, or use one of \(known)")
                continue
            }
            if uses.contains(use) { fields.refuse(item, "the limit \"\(use.name)\" is named twice; keep one of the two") }
            uses.append(use)
        }
        return uses
    }

    private mutating func times(_ node: Node, _ rule: inout RouteRule) {
        let millisecond = GatewayFileFields.second / 1_000, hour = 3_600 * GatewayFileFields.second
        let values = fields.fields(node, "timeouts", ["connect", "firstByte", "idle", "total"])
        if let node = values["connect"] { rule.connect = fields.duration(node, "connect", in: 10 * millisecond...hour / 60) }
        if let node = values["firstByte"] { rule.firstByte = fields.duration(node, "firstByte", in: 10 * millisecond...hour) }
        if let node = values["idle"] { rule.idle = fields.duration(node, "idle", in: 10 * millisecond...24 * hour) }
        if let node = values["total"] { rule.total = fields.duration(node, "total", in: 10 * millisecond...24 * hour) }
    }

    private mutating func cache(_ node: Node) -> RouteRule.CacheSetting? {
        if node.scalar?.string == "off" || node.scalar?.string == "false" { return .off }
        guard node.mapping != nil else {
            fields.refuse(node, "cache is off, or has maximum, stale and perPrincipal")
            return nil
        }
        var rule = CacheRule.standard
        let values = fields.fields(node, "cache", ["maximum", "stale", "perPrincipal"])
        if let node = values["maximum"] {
            rule.maximumSeconds = fields.seconds(node, "maximum", in: 1...86_400 * 30) ?? rule.maximumSeconds
        }
        if let node = values["stale"] { rule.staleSeconds = fields.seconds(node, "stale", in: 0...86_400) ?? rule.staleSeconds }
        if let node = values["perPrincipal"] { rule.perPrincipal = fields.flag(node, "perPrincipal") ?? rule.perPrincipal }
        return .rule(rule)
    }
}
