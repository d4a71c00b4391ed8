/// Whom a limit counts for.
enum SubjectKind: String, Sendable, Hashable, CaseIterable {
    /// The caller; the rule says nothing of whoever has no token.
    case principal
    /// The address of whoever has no token; the rule says nothing of callers.
    case anonymous
    /// The caller, or the address of whoever has no token.
    case caller
    /// The address, whoever calls from it.
    case address
    /// The caller's organization, all its members together.
    case tenant
    /// The account that somebody wants to sign in to, together with the address.
    case account
    /// Everybody together.
    case everybody

    /// Names the subject in keys. Nil where the rule does not apply to this request.
    func subject(principal: String?, tenant: String?, address: String, account: String?) -> String? {
        switch self {
        case .principal: principal
        case .anonymous: principal == nil ? "address:\(address)" : nil
        case .caller: principal ?? "address:\(address)"
        case .address: "address:\(address)"
        case .tenant: tenant.map { "tenant:\($0)" }
        case .account: account
        case .everybody: "all"
        }
    }
}

/// One limit that a route counts against.
struct LimitRule: Sendable, Hashable {
    /// Which numbers hold where the plan has none of its own.
    let policy: LimitPolicy
    let subject: SubjectKind
    /// With this label each such route has buckets of its own; without one, all routes of the policy share them.
    let routeLabel: String?

    /// Those of accounts are asked for each time, however large the quota: a sign-in that succeeded may be given back.
    init(policy: LimitPolicy, subject: SubjectKind, routeLabel: String? = nil) {
        var policy = policy
        if subject == .account { policy.returnsUnits = true }
        self.policy = policy
        self.subject = subject
        self.routeLabel = routeLabel
    }

    /// The subject as it stands in keys: `label|subject` where the rule is of one route alone.
    func subjectText(_ subject: String) -> String { routeLabel.map { "\($0)|\(subject)" } ?? subject }
}

/// Other numbers for the organizations of a plan: plan name → policy name → policy.
struct PlanLimits: Sendable, Equatable {
    /// A plan that names this policy limits each of its organizations as a whole.
    static let tenantPolicy = "tenant"
    static let none = PlanLimits(plans: [:])

    var plans: [String: [String: LimitPolicy]]

    /// The rules of a route for a caller of this plan: the plan's numbers in place of the route's, and the organization's own limit.
    func resolve(_ rules: [LimitRule], plan: String?) -> [LimitRule] {
        guard let plan, let own = plans[plan] else { return rules }
        var resolved = rules.map { rule in
            own[rule.policy.name].map { LimitRule(policy: $0, subject: rule.subject, routeLabel: rule.routeLabel) } ?? rule
        }
        if let tenant = own[Self.tenantPolicy], !resolved.contains(where: { $0.policy.name == Self.tenantPolicy }) {
            resolved.append(LimitRule(policy: tenant, subject: .tenant))
        }
        return resolved
    }
}
