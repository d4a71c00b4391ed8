import Contracts

/// What the gateway itself refuses.
enum GatewayFailure: Failure, Equatable {
    case notRouted
    case malformedPath
    case unreadable(HeadRefusal)
    case malformedBody
    case requestTimeout
    case methodNotAllowed(allow: String)
    case blocked
    case maintenance(retryAfter: Int, message: String)
    case crossSite
    case tenantMismatch
    case organizationSuspended
    case twoCredentials
    case bodyTooLarge(limit: Int)
    case limited(policy: String, retryAfter: Int)
    case overloaded(retryAfter: Int)
    case away(ServiceName, retryAfter: Int = usualWait)
    /// A service, or whoever the gateway itself has asked.
    case slow(ServiceName)
    case onlyIfCached
    /// A WebSocket, where there is none.
    case noUpgrade
    /// Something that nobody foresaw; the log says what.
    case unexpected

    /// Seconds after which to come again, where nothing says more.
    static let usualWait = 2

    init(_ refusal: HeadRefusal) { self = refusal == .repeatedCredential ? .twoCredentials : .unreadable(refusal) }

    var code: String {
        switch self {
        case .notRouted: "route-not-found"
        case .malformedPath: "malformed-path"
        case .unreadable(let refusal): refusal.code
        case .malformedBody: "malformed-body"
        case .requestTimeout: "request-timeout"
        case .methodNotAllowed: "method-not-allowed"
        case .blocked: "blocked"
        case .maintenance: "maintenance"
        case .crossSite: "cross-site-request"
        case .tenantMismatch: "tenant-mismatch"
        case .organizationSuspended: "organization-suspended"
        case .twoCredentials: "two-credentials"
        case .bodyTooLarge: "body-too-large"
        case .limited: "rate-limited"
        case .overloaded: "overloaded"
        case .away, .slow: "dependency-unavailable"
        case .onlyIfCached: "not-cached"
        case .noUpgrade: "no-upgrade"
        case .unexpected: "gateway-error"
        }
    }

    var kind: FailureKind {
        switch self {
        case .notRouted: .notFound
        case .malformedPath, .unreadable, .malformedBody, .twoCredentials, .noUpgrade: .invalid
        case .requestTimeout: .invalid
        case .methodNotAllowed: .methodNotAllowed
        case .blocked, .crossSite, .tenantMismatch, .organizationSuspended: .forbidden
        case .bodyTooLarge: .tooLarge
        case .limited(_, let seconds): .limited(retryAfter: seconds)
        case .maintenance(let seconds, _), .overloaded(let seconds): .unavailable(retryAfter: seconds)
        case .away(_, let seconds): .unavailable(retryAfter: seconds)
        case .slow, .unexpected, .onlyIfCached: .unavailable(retryAfter: Self.usualWait)
        }
    }

    /// The status where the kind is not all there is to say: what only the reader of a request can refuse. Nil: the kind's.
    var ownStatus: Int? {
        switch self {
        case .unreadable(let refusal): refusal.status
        case .requestTimeout: 408
        case .onlyIfCached: 504
        default: nil
        }
    }

    var detail: String? {
        switch self {
        case .notRouted: "There is no such path. /api/v1/openapi.json lists what there is."
        case .malformedPath: "The path has empty or dot segments, or characters that must not be there, plain or encoded."
        case .unreadable(let refusal): refusal.detail
        case .malformedBody: "The body does not have the form that Transfer-Encoding announces."
        case .requestTimeout: "The request did not arrive in time."
        case .methodNotAllowed(let allow): "This path takes \(allow)."
        case .blocked: "Requests from here are not taken. Ask the operators if you think that is a mistake."
        case .maintenance(_, let message): message
        case .crossSite: "A request with a session cookie must carry its CSRF token in X-CSRF-Token, and come from an allowed origin."
        case .tenantMismatch: "The organization that the address or X-Tenant-Slug names is not the one of the access token."
        case .organizationSuspended: "This organization is suspended, or has been deleted."
        case .twoCredentials: "Send one credential, once: an access token, or an API key, not both."
        case .bodyTooLarge(let limit): "The body is larger than the \(limit) bytes that this path takes."
        case .limited(let policy, let seconds): "The limit \"\(policy)\" is used up. Try again in \(seconds) s."
        case .overloaded(let seconds): "There is more to do than can be done just now. Try again in \(seconds) s."
        case .away(let service, _): "A part of the platform (\(service)) does not answer just now. Try again shortly."
        case .slow(let service): "A part of the platform (\(service)) did not answer in time."
        case .noUpgrade: "There is no WebSocket here. Ask without Upgrade, or at a path that speaks WebSocket."
        case .onlyIfCached: "Nothing is kept of this, and only-if-cached forbids to ask for it."
        case .unexpected: "The request could not be passed on. Quote the requestId when you report it."
        }
    }
}

extension HeadRefusal {
    var code: String {
        switch self {
        case .malformedLine, .malformedField, .tooManyOptions: "malformed-request"
        case .malformedTarget: "malformed-path"
        case .targetTooLong: "path-too-long"
        case .headTooLarge, .tooManyFields: "headers-too-large"
        case .unsupportedVersion: "unsupported-version"
        case .malformedHost: "malformed-host"
        case .ambiguousLength: "ambiguous-length"
        case .unsupportedTransferCoding: "unsupported-transfer-coding"
        case .repeatedField, .repeatedCredential: "repeated-field"
        case .unsupportedExpectation: "unsupported-expectation"
        }
    }

    var status: Int {
        switch self {
        case .targetTooLong: 414
        case .headTooLarge, .tooManyFields: 431
        case .unsupportedVersion: 505
        case .unsupportedTransferCoding: 501
        case .unsupportedExpectation: 417
        default: 400
        }
    }

    var detail: String {
        switch self {
        case .malformedLine: "The first line or the end of a line does not have the form of HTTP/1.1."
        case .malformedField: "A header field does not have the form \"Name: value\", or has characters that must not be there."
        case .malformedTarget: "The request target is neither a path nor an http address, or has characters that must not be there."
        case .targetTooLong: "Path and query are longer than this server reads."
        case .headTooLarge: "The header fields together are larger than this server reads."
        case .tooManyFields: "There are more header fields than this server reads."
        case .tooManyOptions: "Connection names more than this server reads."
        case .unsupportedVersion: "This server speaks HTTP/1.1 and, over TLS, HTTP/2."
        case .malformedHost: "There must be one Host, of a name or address and perhaps a port, that agrees with the request target."
        case .ambiguousLength: "The length of the body must be said once, by one Content-Length of digits or by Transfer-Encoding: chunked."
        case .unsupportedTransferCoding: "The only transfer coding that this server reads is chunked."
        case .repeatedField, .repeatedCredential: "A header field that may be there once is there twice."
        case .unsupportedExpectation: "The only expectation that this server knows is 100-continue."
        }
    }
}
