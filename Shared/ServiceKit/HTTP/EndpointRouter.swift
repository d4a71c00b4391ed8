package import Contracts
import Foundation
package import HTTPTypes
package import Hummingbird
import Logging
import Metrics
import NIOCore
import Tracing

/// What Hummingbird carries along with a request, and the record of its one log event.
package struct EndpointContext: RequestContext, RemoteAddressRequestContext {
    package var coreContext: CoreRequestContextStorage
    package let remoteAddress: SocketAddress?
    let record = RequestRecord()
    /// What `X-Request-Id` of the answer says.
    package internal(set) var requestID = ""

    package init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        remoteAddress = source.channel.remoteAddress
    }

    // For a fallback, which no declared endpoint speaks for: what the request's one log event and its metrics say.

    /// The route, such as `GET /api/v1/content/articles/{id}`: one of few, since it labels metrics.
    package func name(action: String) { record.set(action: action) }
    package func identify(_ caller: Caller) { record.set(caller: caller) }
    package func refused(_ code: String) { record.set(problem: code) }
    package func note(_ key: String, _ value: String) { record.note(key, value) }
}

/// Puts declared endpoints on Hummingbird's router: identity, permission, body, idempotency, handler.
struct EndpointRouter: Sendable {
    let service: ServiceName
    let endpoints: [Endpoint]
    let verifier: TokenVerifier?
    let idempotency: Idempotency?
    let maxBodyBytes: Int
    let now: @Sendable () -> Date
    let logger: Logger

    func router() -> Router<EndpointContext> {
        let router = Router(context: EndpointContext.self)
        router.add(middleware: RequestTelemetry(service: service, logger: logger))
        for endpoint in endpoints {
            router.on(RouterPath(endpoint.path), method: endpoint.method) { request, context in
                try await respond(to: request, context, endpoint)
            }
            if endpoint.method == .get {
                router.on(RouterPath(endpoint.path), method: .head) { request, context in
                    var response = try await respond(to: request, context, endpoint)
                    let length = response.body.contentLength
                    // Taking the body away sets the length to that of none, so what it was is said afterwards.
                    response.body = .init()
                    response.headers[.contentLength] = length.map(String.init)
                    return response
                }
            }
        }
        refuseOtherMethods(on: router)
        return router
    }

    /// A known path with another method answers 405 and names the methods it takes.
    private func refuseOtherMethods(on router: Router<EndpointContext>) {
        let methods: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete]
        for (path, declared) in Dictionary(grouping: endpoints, by: \.path) {
            var taken = declared.map(\.method)
            if taken.contains(.get) { taken.append(.head) }
            let allow = taken.map(\.rawValue).sorted().joined(separator: ", ")
            for method in methods where !taken.contains(method) {
                router.on(RouterPath(path), method: method) { request, context in
                    context.record.set(problem: TransportFailure.methodNotAllowed.code)
                    return Problem(TransportFailure.methodNotAllowed, instance: request.uri.path, requestID: context.requestID)
                        .response(headers: [.allow: allow])
                }
            }
        }
    }

    private func respond(to request: Request, _ context: EndpointContext, _ endpoint: Endpoint) async throws -> Response {
        context.record.set(action: endpoint.label)
        let caller = try await authenticate(request, context, endpoint)
        guard let query = FormText.pairs(request.uri.query ?? "") else { throw MalformedBody.badQuery }
        let (data, body) = try await read(request, endpoint)
        let digest = endpoint.streamsBody && request.headers[.idempotencyKey] != nil ? BodyDigest() : nil
        let parameters = context.parameters.reduce(into: [String: String]()) { result, pair in
            result[String(pair.key)] = pair.value.removingPercentEncoding ?? String(pair.value)
        }
        let publicRequest = PublicRequest(
            method: request.method, path: request.uri.path, headers: request.headers, clientAddress: clientAddress(request, context),
            requestID: context.requestID, body: digest?.reading(body) ?? body, now: now(), parameters: parameters, query: query,
            record: context.record)
        guard endpoint.method == .post, let idempotency, let key = request.headers[.idempotencyKey] else {
            return try await endpoint.handle(publicRequest, caller, data)
        }
        return try await idempotency.once(key, publicRequest, caller: caller ?? .anonymous(), body: data, streamed: digest) {
            try await endpoint.handle(publicRequest, caller, data)
        }
    }

    /// Verifies the token again: being inside the network gives no rights.
    private func authenticate(_ request: Request, _ context: EndpointContext, _ endpoint: Endpoint) async throws -> Caller? {
        guard let verifier, let header = request.headers[.authorization] else {
            if endpoint.access == .public { return nil }
            throw AccessFailure.notSignedIn
        }
        guard header.utf8.count > 7, header.prefix(7).lowercased() == "bearer " else { throw AccessFailure.badToken }
        let caller = try await verifier.verify(String(header.dropFirst(7)))
        context.record.set(caller: caller)
        try endpoint.access.check(caller)
        return caller
    }

    private func read(_ request: Request, _ endpoint: Endpoint) async throws -> (Data, RequestBody) {
        if endpoint.streamsBody { return (Data(), request.body) }
        let limit = endpoint.maxBodyBytes ?? maxBodyBytes
        if let length = request.headers[.contentLength].flatMap(Int.init), length > limit { throw MalformedBody.tooLarge }
        var collected = try await request.body.collect(upTo: limit)
        return (collected.readData(length: collected.readableBytes) ?? Data(), request.body)
    }

    /// The gateway replaces `X-Forwarded-For`; services listen inside the network only.
    private func clientAddress(_ request: Request, _ context: EndpointContext) -> String? {
        if let forwarded = request.headers[.forwardedFor]?.split(separator: ",").first {
            return forwarded.trimmingCharacters(in: .whitespaces)
        }
        return context.remoteAddress?.ipAddress
    }
}

extension ByteBuffer {
    fileprivate mutating func readData(length: Int) -> Data? { readBytes(length: length).map { Data($0) } }
}

extension HTTPField.Name {
    package static let idempotencyKey = HTTPField.Name("Idempotency-Key")!
    package static let idempotencyReplayed = HTTPField.Name("Idempotency-Replayed")!
    package static let requestID = HTTPField.Name("X-Request-Id")!
    package static let forwardedFor = HTTPField.Name("X-Forwarded-For")!
    package static let traceparent = HTTPField.Name("traceparent")!
}
