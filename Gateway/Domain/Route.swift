import Contracts
import Synchronization

/// What goes on when not everything can: overload sheds `bulk` first and `critical` last.
enum Priority: UInt8, Sendable, CaseIterable {
    case critical, normal, bulk

    init?(name: String) {
        guard let found = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = found
    }

    var name: String {
        switch self {
        case .critical: "critical"
        case .normal: "normal"
        case .bulk: "bulk"
        }
    }
}

/// How long each phase of a proxied request may take, in nanoseconds.
struct TimeLimits: Sendable, Equatable {
    /// Until a connection to the upstream stands.
    var connect: UInt64
    /// From the end of the request to the beginning of the answer.
    var firstByte: UInt64
    /// Without a byte in either direction.
    var idle: UInt64
    /// For the whole; nil where streams may go on as long as they like.
    var total: UInt64?

    static let second: UInt64 = 1_000_000_000
    static let standard = TimeLimits(connect: 2 * second, firstByte: 30 * second, idle: 60 * second, total: nil)
}

/// How long answers of a route may be kept and reused. The service's `Cache-Control` decides whether at all; this only caps it.
struct CacheRule: Sendable, Equatable {
    /// The longest that an answer counts as fresh, whatever the service says.
    var maximumSeconds: Int
    /// For how long after that it may still be used while it is fetched anew, or while the service is away.
    var staleSeconds: Int
    /// Whether each principal has copies of their own, beyond the organization's.
    var perPrincipal: Bool

    /// What the service says, up to a day.
    static let standard = CacheRule(maximumSeconds: 86_400, staleSeconds: 60, perPrincipal: false)
}

/// One operation of a service, or all that is below a prefix and not known.
final class Route: Sendable {
    /// Dense and the same in every table for the same label: an index into arrays of metrics. Routes that share a label share it too.
    let id: Int
    /// Where it is in `routes` of its own table.
    let place: Int
    /// `GET /api/v1/content/articles/{id}`; for a catch-all `content *`.
    let label: String
    let service: ServiceName
    /// The upstream group, normally the service's name; a canary's share lives in the group.
    let group: String
    /// Anybody may call (OpenAPI `security: []`).
    let isPublic: Bool
    /// From a document. What is not known is left to its service.
    let isKnown: Bool
    /// Without a token the request is refused here: known and not public, or said so in the gateway file.
    let needsToken: Bool
    /// Which limits count, and for whom.
    let limits: [LimitRule]
    /// Whether one of them counts for the address, whoever calls from it.
    let limitsAddresses: Bool
    let maximumBody: Int
    /// Of the request's head, in bytes.
    let maximumHeader: Int
    let times: TimeLimits
    /// Nil: never kept.
    let cache: CacheRule?
    let priority: Priority
    /// Whether a request may be sent a second time, to another replica, after the first may have seen it.
    let mayRetry: Bool
    /// The gateway file says that it may not: then neither a safe method nor a key of the client's changes that.
    let isSentOnce: Bool
    let allowsUpgrade: Bool
    let compresses: Bool
    /// The body is read for the account that somebody wants to sign in to.
    let isSignIn: Bool
    /// Whether its service has let an answer be shared, on whatever event loop that was seen.
    private let sharing = Atomic(false)

    init(
        id: Int, place: Int = 0, label: String, service: ServiceName, group: String? = nil, isPublic: Bool = false, isKnown: Bool = true,
        needsToken: Bool? = nil, limits: [LimitRule] = [], maximumBody: Int = 10_485_760, maximumHeader: Int = 32_768,
        times: TimeLimits = .standard,
        cache: CacheRule? = nil, priority: Priority = .normal, mayRetry: Bool = false, isSentOnce: Bool = false,
        allowsUpgrade: Bool = false, compresses: Bool = true, isSignIn: Bool = false
    ) {
        self.id = id
        self.place = place
        self.label = label
        self.service = service
        self.group = group ?? service.rawValue
        self.isPublic = isPublic
        self.isKnown = isKnown
        self.needsToken = needsToken ?? (isKnown && !isPublic)
        self.limits = limits
        limitsAddresses = limits.contains { $0.subject == .address }
        self.maximumBody = maximumBody
        self.maximumHeader = maximumHeader
        self.times = times
        self.cache = cache
        self.priority = priority
        self.mayRetry = mayRetry
        self.isSentOnce = isSentOnce
        self.allowsUpgrade = allowsUpgrade
        self.compresses = compresses
        self.isSignIn = isSignIn
    }

    /// Until then its requests pay nothing for the cache.
    @inline(__always)
    var mayBeCached: Bool { sharing.load(ordering: .relaxed) }
    func allowCaching() { sharing.store(true, ordering: .relaxed) }
}

/// What the table says of a request line.
enum RouteMatch: Sendable {
    case route(Route)
    /// `OPTIONS` for a known path: 204 with this `Allow`. A preflight is answered before.
    case options(allow: String)
    /// 405 with this `Allow` (RFC 9110, section 15.5.6).
    case methodNotAllowed(allow: String)
    case notFound
    /// The path could be read in two ways.
    case malformed
}
