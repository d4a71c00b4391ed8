import Contracts
import Crypto
import Foundation
import Yams

extension GatewayFile {
    /// Reads a whole file. Throws everything that is wrong with it at once, by line.
    init(reading text: String, _ defaults: GatewayDefaults) throws(GatewayFaults) {
        var reader = GatewayFileReader(defaults)
        let file = reader.read(text)
        let faults = Array(Set(reader.fields.faults)).sorted()
        guard faults.isEmpty else { throw GatewayFaults(faults: faults) }
        self = file
        version = SHA256.hash(data: Data(text.utf8)).prefix(6).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}

/// Reads a gateway file, section by section. The keys and their meaning: `gateway.yaml`.
struct GatewayFileReader {
    static let maximumRules = 2_000
    static let maximumQuota = 1_000_000_000
    static let maximumWindow = 86_400 * 31

    private let defaults: GatewayDefaults
    var fields = GatewayFileFields(faults: [])
    private var file: GatewayFile

    init(_ defaults: GatewayDefaults) {
        self.defaults = defaults
        file = defaults.file
    }

    mutating func read(_ text: String) -> GatewayFile {
        let source = GatewayFileText(text)
        fields = GatewayFileFields(faults: source.faults)
        guard let root = source.root else { return file }
        let sections = fields.fields(
            root, "the gateway file", ["limits", "plans", "upstreams", "routes", "cors", "block", "maintenance", "trustedProxies"])
        // In this order: routes name limits and upstreams.
        if let node = sections["limits"] { limits(node) }
        if let node = sections["plans"] { plans(node) }
        if let node = sections["upstreams"] { upstreams(node) }
        if let node = sections["routes"] { routes(node) }
        if let node = sections["cors"] { crossOrigin(node) }
        if let node = sections["block"] { block(node) }
        if let node = sections["maintenance"] { maintenance(node) }
        if let node = sections["trustedProxies"] { file.trustedProxies = fields.networks(node, "trustedProxies") }
        return file
    }

    private static let policyKeys = ["quota", "window", "block"]

    private mutating func limits(_ node: Node) {
        for (name, node) in fields.named(node, "limits") {
            let known = file.limits[name]
            let values = fields.fields(node, "the limit \"\(name)\"", Self.policyKeys + ["per"])
            guard isName(name, node, "a limit") else { continue }
            let policy = policy(known?.policy.name ?? name, node, values, known?.policy)
            var subject = known?.subject ?? .caller
            if let node = values["per"] { subject = self.subject(node) ?? subject }
            // What nobody is without: an allowance of addresses cannot become one of accounts.
            if let known, known.subject != subject, name == "anonymous" || name == "sign-in" || name == "bad-keys" {
                fields.refuse(values["per"], "the limit \"\(name)\" is always counted per \(known.subject.rawValue); remove \"per\"")
            }
            if let policy { file.limits[name] = .init(policy: policy, subject: subject) }
        }
    }

    private mutating func plans(_ node: Node) {
        for (plan, node) in fields.named(node, "plans") {
            var policies: [String: LimitPolicy] = [:]
            for (name, node) in fields.named(node, "the plan \"\(plan)\"") {
                guard name == PlanLimits.tenantPolicy || file.limits[name] != nil else {
                    fields.refuse(node, "the plan \"\(plan)\" names a limit \"\(name)\" that is not there; add it below limits first")
                    continue
                }
                let values = fields.fields(node, "the limit \"\(name)\" of the plan \"\(plan)\"", Self.policyKeys)
                policies[name] = policy(file.limits[name]?.policy.name ?? name, node, values, file.limits[name]?.policy)
            }
            file.plans.plans[plan] = policies
        }
    }

    /// `known`: where the numbers come from that are not given; without one, quota and window must be.
    private mutating func policy(_ name: String, _ node: Node, _ values: [String: Node], _ known: LimitPolicy?) -> LimitPolicy? {
        if known == nil {
            for key in ["quota", "window"] where values[key] == nil { fields.refuse(node, "the limit \"\(name)\" needs a \(key)") }
        }
        let quota = values["quota"].flatMap { fields.integer($0, "quota", in: 1...Self.maximumQuota) } ?? known?.quota
        let window = values["window"].flatMap { fields.seconds($0, "window", in: 1...Self.maximumWindow) } ?? known?.window
        let block = values["block"].flatMap { fields.seconds($0, "block", in: 0...Self.maximumWindow) } ?? known?.block ?? 0
        guard let quota, let window else { return nil }
        return LimitPolicy(name: name, quota: quota, window: window, block: block)
    }

    private mutating func subject(_ node: Node) -> SubjectKind? {
        let kinds = SubjectKind.allCases.map(\.rawValue)
        return fields.choice(node, "per", of: kinds).flatMap(SubjectKind.init)
    }

    /// Names end up in header fields, keys and metrics.
    private mutating func isName(_ name: String, _ node: Node, _ what: String) -> Bool {
        let isName =
            !name.isEmpty && name.utf8.count <= 64
            && name.utf8.allSatisfy { byte in
                (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                    || byte == UInt8(ascii: "-")
            }
        if !isName { fields.refuse(node, "\"\(name)\" cannot name \(what); use up to 64 small letters, digits and hyphens") }
        return isName
    }

    private mutating func upstreams(_ node: Node) {
        for (name, node) in fields.named(node, "upstreams") where isName(name, node, "an upstream") {
            let spec = UpstreamSpecReader.read(node, name, &fields)
            var whole = spec
            // Without addresses of its own it has those of the settings, which are not known here.
            if spec.addresses.isEmpty { whole.addresses = [.init(host: name, port: 80)] }
            for problem in whole.problems { fields.refuse(node, "the upstream \"\(name)\": \(problem)") }
            if spec.addresses.isEmpty, !defaults.services.contains(where: { $0.rawValue == name }) {
                fields.refuse(node, "the upstream \"\(name)\" needs addresses; only those of services have some from TRIONEX_<SERVICE>_URL")
            }
            file.upstreams[name] = spec
        }
    }

    private mutating func routes(_ node: Node) {
        let nodes = fields.list(node, "routes")
        guard nodes.count <= Self.maximumRules else {
            fields.refuse(node, "there are more than \(Self.maximumRules) routes; use ** to say several at once")
            return
        }
        let groups = Set(file.upstreams.keys).union(defaults.services.map(\.rawValue))
        for node in nodes {
            var reader = RouteRuleReader(fields: fields, limits: file.limits, upstreams: groups)
            file.rules += reader.read(node)
            fields = reader.fields
        }
    }

    private mutating func crossOrigin(_ node: Node) {
        let values = fields.fields(node, "cors", ["origins", "tenants"])
        if let node = values["origins"] { file.crossOrigin.origins = origins(node, "origins") }
        guard let node = values["tenants"] else { return }
        for (tenant, node) in fields.named(node, "tenants") {
            file.crossOrigin.tenants[tenant] = origins(node, "the origins of \"\(tenant)\"")
        }
    }

    private mutating func origins(_ node: Node, _ what: String) -> [String] {
        fields.texts(node, what).compactMap { text, node in
            guard let url = URLComponents(string: text), ["http", "https"].contains(url.scheme), url.host?.isEmpty == false,
                url.path.isEmpty,
                url.query == nil, url.fragment == nil, url.user == nil
            else {
                fields.refuse(node, "\"\(text)\" is no origin; write scheme, host and port only, such as https://console.example.org")
                return nil
            }
            return text.lowercased()
        }
    }

    private mutating func block(_ node: Node) {
        let values = fields.fields(node, "block", ["addresses", "agents"])
        let addresses = values["addresses"].map { fields.networks($0, "addresses") } ?? []
        let agents = (values["agents"].map { fields.texts($0, "agents") } ?? []).compactMap { text, node -> String? in
            guard text.utf8.count >= 3 else {
                fields.refuse(node, "\"\(text)\" would block almost everybody; an agent is a part of User-Agent with three letters or more")
                return nil
            }
            return text
        }
        file.block = BlockList(addresses: addresses, agents: agents)
    }

    private mutating func maintenance(_ node: Node) {
        let values = fields.fields(node, "maintenance", ["all", "services", "retryAfter", "message", "allow"])
        var maintenance = Maintenance()
        if let node = values["all"] { maintenance.isWhole = fields.flag(node, "all") ?? false }
        if let node = values["services"] { maintenance.services = services(node) }
        if let node = values["retryAfter"] {
            maintenance.retryAfter = fields.seconds(node, "retryAfter", in: 1...86_400) ?? maintenance.retryAfter
        }
        if let node = values["message"], let text = fields.text(node, "message") {
            if text.utf8.count > 500 { fields.refuse(node, "the message has more than 500 bytes; say it shorter") }
            maintenance.message = text
        }
        if let node = values["allow"] { maintenance.allowed = NetworkSet(fields.networks(node, "allow")) }
        file.maintenance = maintenance
    }

    private mutating func services(_ node: Node) -> Set<ServiceName> {
        var services: Set<ServiceName> = []
        for (name, node) in fields.texts(node, "services") {
            if defaults.services.contains(where: { $0.rawValue == name }) || file.upstreams[name] != nil {
                services.insert(ServiceName(rawValue: name))
            } else {
                let known = defaults.services.map(\.rawValue).joined(separator: ", ")
                fields.refuse(node, "there is no service \"\(name)\"; it is one of \(known)")
            }
        }
        return services
    }
}
