import Contracts

/// What the gateway itself refuses.
enum GatewayFailure: Failure, Equatable {
    case notRouted
    case malformedPath
    case tenantMismatch
    case organizationSuspended
    case twoCredentials
    case bodyTooLarge(limit: Int)
    case limited(policy: String, retryAfter: Int)
    case away(ServiceName)
    case slow(ServiceName)
    /// Something that nobody foresaw; the log says what.
    case unexpected

    var code: String {
        switch self {
        case .notRouted: "route-not-found"
        case .malformedPath: "malformed-path"
        case .tenantMismatch: "tenant-mismatch"
        case .organizationSuspended: "organization-suspended"
        case .twoCredentials: "two-credentials"
        case .bodyTooLarge: "body-too-large"
        case .limited: "rate-limited"
        case .away, .slow: "dependency-unavailable"
        case .unexpected: "gateway-error"
        }
    }

    var kind: FailureKind {
        switch self {
        case .notRouted: .notFound
        case .malformedPath, .twoCredentials: .invalid
        case .tenantMismatch, .organizationSuspended: .forbidden
        case .bodyTooLarge: .tooLarge
        case .limited(_, let seconds): .limited(retryAfter: seconds)
        case .away, .slow, .unexpected: .unavailable(retryAfter: 2)
        }
    }

    var detail: String? {
        switch self {
        case .notRouted: "There is no such path. /api/v1/openapi.json lists what there is."
        case .malformedPath: "The path has empty or dot segments, or characters that must not be there, plain or encoded."
        case .tenantMismatch: "The organization that the address or X-Tenant-Slug names is not the one of the access token."
        case .organizationSuspended: "This organization is suspended, or has been deleted."
        case .twoCredentials: "Send one credential: an access token, or an API key, not both."
        case .bodyTooLarge(let limit): "The body is larger than the \(limit) bytes that this path takes."
        case .limited(let policy, let seconds): "The limit \"\(policy)\" is used up. Try again in \(seconds) s."
        case .away(let service): "A part of the platform (\(service)) does not answer just now. Try again shortly."
        case .slow(let service): "A part of the platform (\(service)) did not answer in time."
        case .unexpected: "The request could not be passed on. Quote the requestId when you report it."
        }
    }
}
