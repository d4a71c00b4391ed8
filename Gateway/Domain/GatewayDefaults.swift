import Contracts

/// How routes are treated where the file says nothing: the settings, and what the platform's own paths need.
struct GatewayDefaults: Sendable {
    /// Bodies of sign-ins are held to look for the account; longer ones are refused.
    static let signInBody = 65_536
    /// The limit of wrong API keys, which is counted outside of routes.
    static let badKeys = "bad-keys"

    /// Seconds for which old public keys are given out while auth is away: whoever verifies tokens by them must go on.
    static let keysWithoutAuth = 3_600

    var limits: [String: GatewayFile.NamedLimit]
    var maximumBody: Int
    var maximumFile: Int
    var maximumHeader: Int
    var times: TimeLimits
    var trustedProxies: [Network]
    var origins: [String]
    /// Services whose addresses `TRIONEX_<SERVICE>_URL` gives.
    var services: [ServiceName]

    /// The file that is in force without one.
    var file: GatewayFile {
        var file = GatewayFile()
        file.limits = limits
        file.crossOrigin.origins = origins
        file.trustedProxies = trustedProxies
        return file
    }

    /// In the order of the file: what is more specific counts more, whoever says it; of two alike, the later one.
    var rules: [RouteRule] {
        let general = ["default", "anonymous"]
        func rule(_ text: String, _ limits: [String]? = nil, _ change: (inout RouteRule) -> Void = { _ in }) -> RouteRule {
            // The patterns below are checked by a test.
            var rule = RouteRule((try? RoutePattern(text)) ?? RoutePattern(parts: [], isOpen: true))
            rule.limits = limits?.map { RouteRule.LimitUse(name: $0) }
            change(&rule)
            return rule
        }
        return [
            rule("/**", general),
            rule("/api/v1/auth/**") { $0.priority = .critical },
            rule("/oauth2/**") { $0.priority = .critical },
            rule("/.well-known/**") {
                $0.priority = .critical
                $0.cache = .rule(CacheRule(maximumSeconds: 3_600, staleSeconds: Self.keysWithoutAuth, perPrincipal: false))
            },
            rule("POST /api/v1/auth/**", general + ["credentials"]) { $0.priority = .critical },
            // Going on with a session costs no password hash and no letter.
            rule("POST /api/v1/auth/refresh", general),
            rule("POST /api/v1/auth/login", general + ["credentials", "sign-in"]) { $0.maximumBody = Self.signInBody },
            rule("POST /oauth2/sign-in", general + ["credentials", "sign-in"]) { $0.maximumBody = Self.signInBody },
            rule("/api/v1/files/**") { $0.maximumBody = maximumFile },
            rule("POST /api/v1/files/**", general + ["uploads"]) { $0.maximumBody = maximumFile },
            rule("GET /api/v1/realtime/**") { $0.allowsUpgrade = true },
            rule("POST /api/v1/analytics/events") { $0.priority = .bulk },
            rule("POST /api/v1/analytics/page-views") { $0.priority = .bulk },
            rule("POST /api/v1/search/reindex") { $0.priority = .bulk },
        ]
    }
}

extension GatewayDefaults {
    init(_ settings: GatewaySettings, maximumHeader: Int, services: [ServiceName] = RoutingTable.platform.services) {
        func nanoseconds(_ duration: Duration) -> UInt64 {
            UInt64(duration.components.seconds) * TimeLimits.second + UInt64(duration.components.attoseconds / 1_000_000_000)
        }
        limits = [
            "default": .init(policy: settings.limits.principal, subject: .principal),
            "anonymous": .init(policy: settings.limits.anonymous, subject: .anonymous),
            "uploads": .init(policy: settings.limits.uploads, subject: .caller),
            "sign-in": .init(policy: settings.limits.signIn, subject: .account),
            "credentials": .init(policy: settings.limits.credentials, subject: .address),
            Self.badKeys: .init(policy: settings.limits.badKeys, subject: .address),
        ]
        maximumBody = settings.maxBodyBytes
        maximumFile = settings.maxFileBytes
        self.maximumHeader = maximumHeader
        times = TimeLimits(
            connect: nanoseconds(settings.upstream.connect), firstByte: nanoseconds(settings.upstream.firstByte),
            idle: nanoseconds(settings.upstream.idle), total: nil)
        trustedProxies = settings.trustedProxies
        origins = settings.origins
        self.services = services
    }
}
