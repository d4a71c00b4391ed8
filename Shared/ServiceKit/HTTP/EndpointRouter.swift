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
    let apiKeys: APIKeys
    let idempotency: Idempotency?
    let watch: AccessWatch?
    let maxBodyBytes: Int
    let now: @Sendable () -> Date
    let logger: Logger

    func router() -> Router<EndpointContext> {
        let router = Router(context: EndpointContext.self)
        router.add(middleware: RequestTelemetry(service: service, logger: logger))
        for endpoint in endpoints {
            router.on(RouterPath(endpoint.path), method: endpoint.method) { request, context in
                try await watched(request, context, endpoint)
            }
            if endpoint.method == .get {
                router.on(RouterPath(endpoint.path), method: .head) { request, context in
                    var response = try await watched(request, context, endpoint)
                    let length = response.body.contentLength
                    // Taking the body away sets the length to that of none, so what it was is said afterwards.
                    response.body = .init()
                    response.headers[.contentLength] = length.map(String.init)
                    // An answer of unknown length ends with a last chunk even where it has none: nothing may follow on that connection.
                    if length == nil { response.headers[.connection] = "close" }
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

    /// The answer, seen by the watch when it refuses a known caller.
    private func watched(_ request: Request, _ context: EndpointContext, _ endpoint: Endpoint) async throws -> Response {
        do {
            let response = try await respond(to: request, context, endpoint)
            await see(response.status, context.record.snapshot.problem, request, context, endpoint)
            return response
        } catch {
            let failure = error as? any Failure
            let status = failure?.kind.status ?? (error as? any HTTPResponseError)?.status
            if let status { await see(status, failure?.code, request, context, endpoint) }
            throw error
        }
    }

    private func see(
        _ status: HTTPResponse.Status, _ code: String?, _ request: Request, _ context: EndpointContext, _ endpoint: Endpoint
    ) async {
        guard let watch, status == .forbidden || status == .notFound, let caller = context.record.snapshot.caller else { return }
        let objects = context.parameters.reduce(into: [String: UUID]()) { result, pair in
            // The one form in which our ids are written: what is taken for an id here is what a handler takes for one.
            if pair.value.utf8.count == 36 { result[String(pair.key)] = UUID(uuidString: String(pair.value)) }
        }
        await watch.saw(
            status,
            AccessWatch.Call(
                caller: caller, endpoint: endpoint.label, objects: objects, code: code ?? "refused",
                address: clientAddress(request, context), userAgent: request.headers[.userAgent].map { String($0.prefix(512)) },
                requestID: context.requestID))
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

    /// Verifies the token again: being inside the network gives no rights. What anybody may call takes no notice of credentials:
    /// a token that has expired must not keep somebody from signing in.
    private func authenticate(_ request: Request, _ context: EndpointContext, _ endpoint: Endpoint) async throws -> Caller? {
        guard let verifier, endpoint.access != .public else {
            if endpoint.access == .public { return nil }
            throw AccessFailure.notSignedIn
        }
        let caller = try await caller(of: request, verifier)
        context.record.set(caller: caller)
        try endpoint.access.check(caller, reads: endpoint.method == .get, now: now())
        return caller
    }

    /// Whom the access token speaks for; an API key is exchanged for one. One credential, not two.
    private func caller(of request: Request, _ verifier: TokenVerifier) async throws -> Caller {
        let authorizations = request.headers[values: .authorization], keys = request.headers[values: .apiKey]
        guard let first = authorizations.first ?? keys.first else { throw AccessFailure.notSignedIn }
        guard authorizations.count + keys.count == 1 else { throw AccessFailure.badToken }
        if !keys.isEmpty { return try await apiKeys.exchange(first, with: verifier).caller }
        guard first.utf8.count > 7, first.prefix(7).lowercased() == "bearer " else { throw AccessFailure.badToken }
        let token = String(first.dropFirst(7))
        return try await APIKeys.isKey(token) ? apiKeys.exchange(token, with: verifier).caller : verifier.verify(token)
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
    package static let apiKey = HTTPField.Name("X-API-Key")!
    package static let forwardedFor = HTTPField.Name("X-Forwarded-For")!
    package static let traceparent = HTTPField.Name("traceparent")!
}
