/// A refusal that the domain understands and that knows nothing of HTTP.
///
/// One middleware turns it into problem+json: `kind` chooses the status, `code` the type (`/problems/<code>`).
package protocol Failure: Error, Sendable {
    /// Kebab-case and stable: clients branch on it.
    var code: String { get }
    var kind: FailureKind { get }
    /// A sentence for the person who made the call: what is wrong, and what to do next. No secrets, no SQL.
    var detail: String? { get }
    /// Every bad field at once, for `invalid`.
    var fields: [FieldError] { get }
}

extension Failure {
    package var detail: String? { nil }
    package var fields: [FieldError] { [] }
}

extension Failure where Self: RawRepresentable, RawValue == String {
    package var code: String { rawValue }
}

/// What kind of refusal it is; the HTTP status follows from it.
package enum FailureKind: Sendable, Hashable {
    /// 400: malformed or invalid.
    case invalid
    /// 401: no or bad credentials.
    case unauthenticated
    /// 403: known but not allowed.
    case forbidden
    /// 404: not there, also for another tenant's object.
    case notFound
    /// 405: the path exists, not with this method.
    case methodNotAllowed
    /// 409: conflict.
    case conflict
    /// 410: it was there once (an expired link).
    case gone
    /// 412: stale `If-Match`.
    case stale
    /// 413: too large.
    case tooLarge
    /// 415: wrong media type.
    case unsupportedMediaType
    /// 416: a range outside the content.
    case rangeNotSatisfiable
    /// 422: understood, but cannot be done (an idempotency key reused with another payload).
    case unprocessable
    /// 429: limited; seconds until it is worth trying again.
    case limited(retryAfter: Int)
    /// 503: a dependency is down; seconds until it is worth trying again.
    case unavailable(retryAfter: Int)
    /// 507: no room to store it.
    case insufficientStorage
}

/// One bad field: a JSON pointer (RFC 6901) into the body, or `?name` for a query parameter.
package struct FieldError: Sendable, Hashable, Codable {
    package let pointer: String
    /// Kebab-case and stable, such as `invalid-email`, `missing`, `unknown-field`, `too-long`.
    package let code: String
    package let detail: String

    package init(pointer: String, code: String, detail: String) {
        self.pointer = pointer
        self.code = code
        self.detail = detail
    }
}

/// The request does not have the declared form; names every bad field.
package struct ValidationFailure: Failure, Equatable {
    package let fields: [FieldError]
    package var code: String { "validation-failed" }
    package var kind: FailureKind { .invalid }
    package var detail: String? { "Some fields are missing or invalid; errors names each." }

    package init(_ fields: [FieldError]) { self.fields = fields }
    package init(_ pointer: String, _ code: String, _ detail: String) {
        self.init([FieldError(pointer: pointer, code: code, detail: detail)])
    }
}

/// Another part of the platform does not answer. Metadata goes to the log, never to the client.
package struct DependencyFailure: Failure, Equatable {
    package let dependency: String
    package let reason: String
    package var code: String { "dependency-unavailable" }
    package var kind: FailureKind { .unavailable(retryAfter: 2) }
    package var detail: String? { "A part of the platform (\(dependency)) does not answer just now. Try again shortly." }

    package init(_ dependency: String, reason: String) {
        self.dependency = dependency
        self.reason = reason
    }
}

/// Refusals that any resource may make.
package enum ResourceFailure: String, Failure {
    case notFound = "not-found"
    case stale = "stale-etag"

    package var kind: FailureKind {
        switch self {
        case .notFound: .notFound
        case .stale: .stale
        }
    }

    package var detail: String? {
        switch self {
        case .notFound: "There is no such object."
        case .stale: "The object has changed since you read it: read it again and send its ETag in If-Match."
        }
    }
}
