import Contracts

/// What operators say in the gateway file (`TRIONEX_GATEWAY_FILE`), read and checked whole; what it leaves out is as the settings have it.
struct GatewayFile: Sendable, Equatable {
    /// A digest of the text it was read from; empty for the built-in one.
    var version = ""
    /// By name: `default`, `anonymous`, `uploads`, `sign-in`, `credentials`, `bad-keys`, and those that the file adds.
    var limits: [String: NamedLimit] = [:]
    var plans = PlanLimits.none
    var rules: [RouteRule] = []
    /// By name of the group; one that is not here has the addresses of `TRIONEX_<SERVICE>_URL`.
    var upstreams: [String: UpstreamSpec] = [:]
    var crossOrigin = CrossOriginRules()
    var block = BlockList()
    var maintenance = Maintenance()
    /// Whose `X-Forwarded-For`, `-Proto` and PROXY header count.
    var trustedProxies: [Network] = []

    /// A policy, and for whom it counts where a route does not say otherwise.
    struct NamedLimit: Sendable, Equatable {
        var policy: LimitPolicy
        var subject: SubjectKind
    }

    /// Which origins' pages may call: everybody's, and those of one organization by its slug or id.
    struct CrossOriginRules: Sendable, Equatable {
        var origins: [String] = []
        var tenants: [String: [String]] = [:]
    }

    /// A limit of this name, or nil; `bad-keys` and its like are counted outside of routes.
    func policy(_ name: String) -> LimitPolicy? { limits[name]?.policy }
}

/// What the file says of the routes that a pattern matches. Nil: as it would be without.
struct RouteRule: Sendable, Equatable {
    /// Who may pass without a token.
    enum Access: String, Sendable, CaseIterable {
        /// Anybody; only where no document says otherwise.
        case anybody = "public"
        case token
        /// The service decides.
        case service
    }

    /// A limit by name; `subject` nil: as the limit itself says.
    struct LimitUse: Sendable, Equatable {
        var name: String
        var subject: SubjectKind?
        /// Each route has a bucket of its own.
        var isPerRoute = false
    }

    enum CacheSetting: Sendable, Equatable {
        case off
        case rule(CacheRule)
    }

    var pattern: RoutePattern
    /// Where it stands in the file, from 1; 0 for a built-in one.
    var line = 0
    var upstream: String?
    var access: Access?
    var limits: [LimitUse]?
    var maximumBody: Int?
    var maximumHeader: Int?
    var connect: UInt64?
    var firstByte: UInt64?
    var idle: UInt64?
    var total: UInt64?
    var cache: CacheSetting?
    var priority: Priority?
    var mayRetry: Bool?
    var allowsUpgrade: Bool?
    var compresses: Bool?

    init(_ pattern: RoutePattern, line: Int = 0) {
        self.pattern = pattern
        self.line = line
    }
}

/// Something wrong with the file, in a sentence that says what to do.
struct GatewayFault: Sendable, Hashable, Comparable, CustomStringConvertible {
    /// From 1; 0 where it is no one line's.
    let line: Int
    let message: String

    var description: String { line > 0 ? "line \(line): \(message)" : message }

    static func < (left: GatewayFault, right: GatewayFault) -> Bool { (left.line, left.message) < (right.line, right.message) }
}

/// All that is wrong with a file at once.
struct GatewayFaults: Error, Sendable, Equatable {
    let faults: [GatewayFault]
}
