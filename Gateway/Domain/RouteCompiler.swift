import Contracts

/// Makes the table out of the services' documents, the prefixes that they own, and the file.
///
/// Every rule is cut with every operation and prefix that it can meet, so that a rule for `/users/me/*` and an operation
/// `/users/{id}/export` become a route of their own, which has what both say.
struct RouteCompiler: Sendable {
    /// Beyond this the rules multiply, and the file is refused.
    static let maximumRoutes = 10_000

    let prefixes: RoutingTable
    let defaults: GatewayDefaults

    struct Outcome: Sendable {
        let table: RouteTable
        /// Rules that can have no effect, or contradict a service: the file is refused for them while it is new.
        let faults: [GatewayFault]
        /// Rules of which it is not known whether they match anything, since a document is missing.
        let warnings: [GatewayFault]
    }

    /// An operation of one method, or all of one method below a prefix.
    fileprivate struct Draft {
        let method: RouteMethod
        let parts: [RoutePattern.Part]
        let isOpen: Bool
        let service: ServiceName
        let isKnown: Bool
        let isPublic: Bool
        let label: String

        var pattern: RoutePattern { RoutePattern(methods: [method], parts: parts, isOpen: isOpen) }
        var place: Place {
            Place(method: method, names: parts.map { if case .literal(let text) = $0 { text } else { nil } }, isOpen: isOpen)
        }
    }

    /// Where in the table: the names of parameters make no difference.
    fileprivate struct Place: Hashable {
        let method: RouteMethod
        let names: [String?]
        let isOpen: Bool
    }

    /// The drafts so far, each place once.
    private struct Sheet {
        private(set) var drafts: [Draft] = []
        private var places: Set<Place> = []
        var isFull: Bool { drafts.count >= RouteCompiler.maximumRoutes }

        mutating func add(_ draft: Draft) {
            guard !isFull, draft.parts.count <= RoutePattern.maximumDepth else { return }
            if places.insert(draft.place).inserted { drafts.append(draft) }
        }
    }

    func compile(_ documents: [ServiceName: [OperationIndex.Operation]], _ file: GatewayFile, ids: inout RouteIDs) -> Outcome {
        var faults: [GatewayFault] = [], warnings: [GatewayFault] = []
        var sheet = Sheet()
        for (service, operations) in documents.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            for operation in operations { operation.draft(service, prefixes).map { sheet.add($0) } }
        }
        for prefix in prefixes.routes {
            for method in Self.routable {
                sheet.add(
                    Draft(
                        method: method, parts: prefix.prefix.map(RoutePattern.Part.literal), isOpen: true, service: prefix.service,
                        isKnown: false, isPublic: false, label: "\(prefix.service) *"))
            }
        }
        let rules = defaults.rules + file.rules
        for rule in rules where !sheet.isFull {
            guard let finding = cut(rule, &sheet, documents) else { continue }
            if finding.isFault { faults.append(finding.fault) } else { warnings.append(finding.fault) }
        }
        if sheet.isFull {
            faults.append(GatewayFault(line: 0, message: "the rules make more than \(Self.maximumRoutes) routes; use fewer wildcards"))
        }
        let ranked = rules.enumerated().sorted { left, right in
            if right.element.pattern.isMoreSpecific(than: left.element.pattern) { return true }
            if left.element.pattern.isMoreSpecific(than: right.element.pattern) { return false }
            return left.offset < right.offset
        }.map(\.element)
        let entries = sheet.drafts.enumerated().map { place, draft in
            let own = ranked.filter { $0.pattern.meets(draft.method) && $0.pattern.covers(draft.parts, isOpen: draft.isOpen) }
            return RouteTable.Entry(
                method: draft.method, parts: draft.parts, isOpen: draft.isOpen, route: route(draft, at: place, own, file, &ids, &faults))
        }
        return Outcome(
            table: RouteTable(entries), faults: Array(Set(faults)).sorted(), warnings: Array(Set(warnings)).sorted())
    }

    private static let routable = RouteMethod.allCases.filter(\.isRoutable)

    private struct Finding {
        let fault: GatewayFault
        let isFault: Bool
    }

    /// Adds a route for every part of an operation or prefix that the rule is for and that has none of its own yet.
    private func cut(_ rule: RouteRule, _ sheet: inout Sheet, _ documents: [ServiceName: [OperationIndex.Operation]]) -> Finding? {
        let pattern = rule.pattern
        if RouteTable.isForbidden(pattern.parts) {
            let message = "\(pattern.text): \(pattern.parts[0].text) is never routed; serve it on the admin listener alone"
            return Finding(fault: GatewayFault(line: rule.line, message: message), isFault: true)
        }
        var meetsKnown = false, owners: [ServiceName] = [], isInside = false
        let met = sheet.drafts.compactMap { draft in
            pattern.meets(draft.method) ? pattern.cut(with: draft.parts, isOpen: draft.isOpen).map { (draft: draft, common: $0) } : nil
        }
        let ranked = met.sorted { $0.draft.pattern.isMoreSpecific(than: $1.draft.pattern) }
        for (draft, common) in ranked.filter({ !$0.draft.isOpen }) + ranked.filter(\.draft.isOpen) {
            if draft.isKnown { meetsKnown = true }
            if draft.isOpen {
                owners.append(draft.service)
                isInside = isInside || draft.parts.count <= pattern.parts.count
                // A rule for operations that are known is for nothing else.
                if !pattern.isOpen, meetsKnown { continue }
            }
            let piece = draft.piece(common.parts, isOpen: common.isOpen)
            if piece.place != draft.place { sheet.add(piece) }
        }
        if !isInside, !meetsKnown || pattern.isOpen, let upstream = rule.upstream {
            let service = ServiceName(rawValue: upstream)
            for method in Self.routable where pattern.meets(method) {
                let label = pattern.isOpen ? "\(upstream) \(pattern.path)" : "\(method.name) \(pattern.path)"
                sheet.add(
                    Draft(
                        method: method, parts: pattern.parts, isOpen: pattern.isOpen, service: service, isKnown: false, isPublic: false,
                        label: label))
            }
            return nil
        }
        return finding(rule, meetsKnown: meetsKnown, owners: owners, documents)
    }

    private func finding(
        _ rule: RouteRule, meetsKnown: Bool, owners: [ServiceName], _ documents: [ServiceName: [OperationIndex.Operation]]
    ) -> Finding? {
        guard rule.line > 0, !meetsKnown, rule.upstream == nil else { return nil }
        func finding(_ sentence: String, isFault: Bool) -> Finding {
            Finding(fault: GatewayFault(line: rule.line, message: "\(rule.pattern.text): \(sentence)"), isFault: isFault)
        }
        guard let owner = owners.first else {
            return finding("no service answers there; give the rule an upstream, or correct the path", isFault: true)
        }
        // A rule for a whole prefix is for whatever is there.
        let isWhole = prefixes.routes.contains { rule.pattern.covers($0.prefix.map(RoutePattern.Part.literal), isOpen: true) }
        if isWhole { return nil }
        if owners.allSatisfy({ documents[$0] != nil }) {
            return finding("no operation of \(owner) matches; correct it after /api/v1/openapi.json, or remove it", isFault: true)
        }
        return finding("whether it matches is not known until \(owner) has answered with its document", isFault: false)
    }

    /// `rules`: those that cover the draft, the most specific one last.
    private func route(
        _ draft: Draft, at place: Int, _ rules: [RouteRule], _ file: GatewayFile, _ ids: inout RouteIDs, _ faults: inout [GatewayFault]
    ) -> Route {
        func last<Value>(_ path: KeyPath<RouteRule, Value?>) -> Value? { rules.last { $0[keyPath: path] != nil }?[keyPath: path] }
        let limits = (last(\.limits) ?? []).compactMap { use -> LimitRule? in
            guard let limit = file.limits[use.name] else { return nil }
            return LimitRule(policy: limit.policy, subject: use.subject ?? limit.subject, routeLabel: use.isPerRoute ? draft.label : nil)
        }
        var isPublic = draft.isPublic
        switch last(\.access) {
        case .token: isPublic = false
        case .anybody, .service:
            if !draft.isKnown {
                isPublic = last(\.access) == .anybody
            } else if !draft.isPublic, let rule = rules.last(where: { $0.access != nil }), rule.line > 0 {
                let message = "\(draft.label) needs a token, says \(draft.service); remove \"access\", since the service alone can open it"
                faults.append(GatewayFault(line: rule.line, message: message))
            }
        case nil: break
        }
        var times = defaults.times
        times.connect = last(\.connect) ?? times.connect
        times.firstByte = last(\.firstByte) ?? times.firstByte
        times.idle = last(\.idle) ?? times.idle
        times.total = last(\.total) ?? times.total
        let cache: CacheRule? =
            switch last(\.cache) {
            case .off: nil
            case .rule(let rule): draft.method == .get || draft.method == .head ? rule : nil
            case nil: draft.method == .get || draft.method == .head ? .standard : nil
            }
        return Route(
            id: ids.id(draft.label), place: place, label: draft.label, service: draft.service, group: last(\.upstream),
            isPublic: isPublic, isKnown: draft.isKnown, needsToken: last(\.access) == .token || (draft.isKnown && !isPublic),
            limits: limits, maximumBody: last(\.maximumBody) ?? defaults.maximumBody,
            maximumHeader: last(\.maximumHeader) ?? defaults.maximumHeader, times: times, cache: cache,
            priority: last(\.priority) ?? .normal, mayRetry: last(\.mayRetry) ?? draft.method.isSafe,
            isSentOnce: last(\.mayRetry) == false, allowsUpgrade: last(\.allowsUpgrade) ?? false, compresses: last(\.compresses) ?? true,
            isSignIn: limits.contains { $0.subject == .account })
    }
}

extension RouteCompiler.Draft {
    /// The same for a part of its paths.
    fileprivate func piece(_ parts: [RoutePattern.Part], isOpen: Bool) -> Self {
        let path = RoutePattern(parts: parts, isOpen: isOpen).path
        // Many prefixes of a service share a label; a part of one is worth a label of its own.
        let label = isOpen ? "\(service) \(path)" : "\(method.name) \(path)"
        return Self(
            method: method, parts: parts, isOpen: isOpen, service: service, isKnown: isKnown, isPublic: isPublic, label: label)
    }
}

extension OperationIndex.Operation {
    /// Nil where its service is not asked: another's prefix, an internal call, a method that is not routed.
    fileprivate func draft(_ service: ServiceName, _ prefixes: RoutingTable) -> RouteCompiler.Draft? {
        let parts = RoutePattern.template(template)
        guard let method = RouteMethod(name: method), method.isRoutable, prefixes.service(for: parts.map(\.text)) == service else {
            return nil
        }
        return RouteCompiler.Draft(
            method: method, parts: parts, isOpen: false, service: service, isKnown: true, isPublic: isPublic, label: label)
    }
}

extension RoutePattern {
    /// A rule for `GET` is one for `HEAD` too.
    func meets(_ method: RouteMethod) -> Bool {
        methods.isEmpty || methods.contains(method) || (method == .head && methods.contains(.get))
    }

    /// The paths that are both this pattern's and the other's; nil where there are none.
    func cut(with other: [Part], isOpen otherIsOpen: Bool) -> (parts: [Part], isOpen: Bool)? {
        guard isOpen || parts.count >= other.count, otherIsOpen || other.count >= parts.count else { return nil }
        var common: [Part] = []
        for index in 0..<max(parts.count, other.count) {
            guard index < parts.count else {
                common.append(other[index])
                continue
            }
            guard index < other.count else {
                common.append(parts[index])
                continue
            }
            switch (parts[index], other[index]) {
            case (.literal(let own), .literal(let others)):
                guard own == others else { return nil }
                common.append(parts[index])
            case (.literal, .parameter): common.append(parts[index])
            case (.parameter, _): common.append(other[index])
            }
        }
        return (common, isOpen && otherIsOpen)
    }
}

/// Numbers for labels, the same for as long as the process lives, so that metrics go on counting when the table is replaced.
struct RouteIDs: Sendable {
    /// Beyond this all further labels share one number: metrics stay bounded.
    static let maximum = 8_192

    private var ids: [String: Int] = [:]

    var count: Int { ids.count }

    mutating func id(_ label: String) -> Int {
        if let known = ids[label] { return known }
        let id = min(ids.count, Self.maximum - 1)
        if ids.count < Self.maximum { ids[label] = id }
        return id
    }
}
