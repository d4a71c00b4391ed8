package import Contracts
import Foundation
package import HTTPTypes
package import Hummingbird
import Logging
import Messaging
import NIOCore
import Postgres

/// A refusal as RFC 9457 has it (`application/problem+json`).
package struct Problem: Codable, Sendable, Equatable {
    package let type: String
    package let title: String
    package let status: Int
    package let detail: String?
    package let instance: String?
    package let requestId: String?
    package let errors: [FieldError]?

    package static let mediaType = "application/problem+json"

    package static let schema = NamedSchema(
        name: "Problem",
        schema: .object([
            .init("type", .string(format: "uri-reference"), required: true), .init("title", .string(), required: true),
            .init("status", .integer(minimum: 400, maximum: 599), required: true), .init("detail", .string(), required: false),
            .init("instance", .string(), required: false), .init("requestId", .string(), required: false),
            .init(
                "errors",
                .array(
                    .object([
                        .init("pointer", .string(), required: true), .init("code", .string(), required: true),
                        .init("detail", .string(), required: true),
                    ])), required: false),
        ]))

    package init(
        code: String, status: HTTPResponse.Status, detail: String?, instance: String? = nil, requestID: String? = nil,
        fields: [FieldError] = []
    ) {
        type = "/problems/\(code)"
        title = code.split(separator: "-").joined(separator: " ").capitalizedFirst
        self.status = status.code
        self.detail = detail
        self.instance = instance
        requestId = requestID
        errors = fields.isEmpty ? nil : fields
    }

    package init(_ failure: any Failure, instance: String? = nil, requestID: String? = nil) {
        self.init(
            code: failure.code, status: failure.kind.status, detail: failure.detail, instance: instance, requestID: requestID,
            fields: failure.fields)
    }

    package func response(headers: HTTPFields = [:]) -> Response {
        var headers = headers
        headers[.contentType] = Self.mediaType
        headers[.cacheControl] = "no-store"
        let body = (try? JSON.encode(self)) ?? Data()
        return Response(status: .init(code: status), headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }
}

extension FailureKind {
    /// The status of API.md's table.
    package var status: HTTPResponse.Status {
        switch self {
        case .invalid: .badRequest
        case .unauthenticated: .unauthorized
        case .forbidden: .forbidden
        case .notFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .conflict: .conflict
        case .gone: .gone
        case .stale: .preconditionFailed
        case .tooLarge: .contentTooLarge
        case .unsupportedMediaType: .unsupportedMediaType
        case .rangeNotSatisfiable: .rangeNotSatisfiable
        case .unprocessable: .unprocessableContent
        case .limited: .tooManyRequests
        case .unavailable: .serviceUnavailable
        case .insufficientStorage: .init(code: 507, reasonPhrase: "Insufficient Storage")
        }
    }

    /// The headers that the status calls for.
    var headers: HTTPFields {
        switch self {
        case .unauthenticated: [.wwwAuthenticate: "Bearer realm=\"trionex\""]
        case .limited(let seconds), .unavailable(let seconds): [.retryAfter: String(seconds)]
        default: [:]
        }
    }
}

/// A refusal with a form of its own, where a standard demands another than problem+json (OAuth's errors, a page for people).
package protocol AnsweringFailure: Failure {
    func response(instance: String, requestID: String) -> Response
}

/// Failures that have no type of their own because nobody is expected to make them.
enum TransportFailure: Failure {
    case routeNotFound
    case methodNotAllowed
    case internalError

    var code: String {
        switch self {
        case .routeNotFound: "route-not-found"
        case .methodNotAllowed: "method-not-allowed"
        case .internalError: "internal-error"
        }
    }

    var kind: FailureKind {
        switch self {
        case .routeNotFound: .notFound
        case .methodNotAllowed: .methodNotAllowed
        case .internalError: .invalid
        }
    }

    var detail: String? {
        switch self {
        case .routeNotFound: "There is no such path. /api/v1/openapi.json lists what there is."
        case .methodNotAllowed: "This path does not take this method."
        case .internalError: nil
        }
    }
}

/// Turns whatever a handler threw into the answer for the client. Nothing of an unexpected error is shown, only logged.
enum ProblemTranslation {
    /// What the status calls for; a token's refusal says what is wrong with it (RFC 6750, section 3; RFC 9470, section 3).
    static func headers(for failure: any Failure) -> HTTPFields {
        var headers = failure.kind.headers
        switch failure as? AccessFailure {
        case .authenticationTooOld(let maxAge):
            headers[.wwwAuthenticate] = "Bearer realm=\"trionex\", error=\"insufficient_user_authentication\", max_age=\"\(maxAge)\""
        case .badToken, .expiredToken, .revokedSession, .badAPIKey:
            headers[.wwwAuthenticate] = "Bearer realm=\"trionex\", error=\"invalid_token\""
        default: break
        }
        return headers
    }

    static func response(for error: any Error, request: Request, record: RequestRecord, requestID: String, logger: Logger) -> Response {
        let path = request.uri.path
        if let failure = error as? any Failure {
            if let answering = failure as? any AnsweringFailure {
                record.set(problem: failure.code)
                return answering.response(instance: path, requestID: requestID)
            }
            if let dependency = failure as? DependencyFailure {
                record.note("dependency", dependency.dependency)
                record.note("dependencyReason", dependency.reason)
            }
            record.set(problem: failure.code)
            return Problem(failure, instance: path, requestID: requestID).response(headers: headers(for: failure))
        }
        if let http = error as? any HTTPResponseError {
            let failure: (any Failure)? =
                switch http.status {
                case .contentTooLarge: MalformedBody.tooLarge
                case .notFound: TransportFailure.routeNotFound
                case .methodNotAllowed: TransportFailure.methodNotAllowed
                default: nil
                }
            let code = failure?.code ?? (http.status.kind == .clientError ? "malformed-request" : "internal-error")
            record.set(problem: code)
            return Problem(
                code: code, status: failure?.kind.status ?? http.status, detail: failure?.detail, instance: path, requestID: requestID
            )
            .response()
        }
        record.set(problem: "internal-error")
        // The error's own text may hold values of the request; its type and, for the database, its state say enough.
        var metadata: Logger.Metadata = ["requestId": "\(requestID)", "error": "\(Swift.type(of: error))"]
        if let postgres = error as? PostgresFailure {
            metadata["sqlState"] = "\(postgres.sqlState)"
            metadata["constraint"] = "\(postgres.constraint ?? "")"
        }
        metadata["reason"] = "\(FailureReason.text(error))"
        logger.error("unexpected error", metadata: metadata)
        return Problem(
            code: "internal-error", status: .internalServerError,
            detail: "Something went wrong on our side. Quote the requestId when you report it.", instance: path, requestID: requestID
        ).response()
    }
}

extension String {
    fileprivate var capitalizedFirst: String { prefix(1).uppercased() + dropFirst() }
}
