import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import NIOCore
import ServiceKit
import Tracing

/// The way of every request through the gateway: path, route, CORS, token, limits, organization, size, and on to the service.
///
/// Each step either lets the request on or throws a `Failure`; every answer, whoever made it, leaves with the same headers.
struct Door: Sendable {
    let settings: GatewaySettings
    let routing: RoutingTable
    let identification: Identification
    let allowance: Allowance
    let agreement: TenantAgreement
    let documents: ServiceDocuments
    let forwarder: Forwarder
    let pages: OwnPages
    let logger: Logger

    func respond(to request: Request, _ context: EndpointContext) async -> Response {
        var passage = Passage(request: request, requestID: context.requestID, settings: settings, peer: context.remoteAddress?.ipAddress)
        context.note("ip", passage.client.text)
        var response: Response
        do {
            response = try await pass(&passage, context)
        } catch {
            response = problem(for: error, passage, context)
        }
        AnswerHeaders.finish(&response, passage, settings)
        return response
    }

    private func pass(_ passage: inout Passage, _ context: EndpointContext) async throws -> Response {
        let request = passage.request
        let path = try RequestPath(request.uri.path)
        if let answer = preflight(request) {
            context.name(action: "preflight")
            return answer
        }
        if let page = pages.page(for: path, request.method) {
            context.name(action: "\(request.method.rawValue) /\(path.segments.joined(separator: "/"))")
            let charges = allowance.charges(for: nil, client: passage.client, isUpload: false)
            try await take(charges, &passage)
            return page
        }
        guard let service = routing.service(for: path) else { throw GatewayFailure.notRouted }
        let operation = documents.operation(service, method: request.method.rawValue, path: path)
        context.name(action: operation?.label ?? "\(request.method.rawValue) (\(service))")

        let identity = try await identify(&passage, service, isPublic: operation?.isPublic == true, context)
        let caller = identity?.caller
        let isUpload = service == .files && request.method == .post
        let credentials = caller == nil ? allowance.credentials(path.segments, request.method, client: passage.client) : []
        try await take(allowance.charges(for: caller, client: passage.client, isUpload: isUpload) + credentials, &passage)
        if let operation, !operation.isPublic, caller == nil, !hasOtherCredentials(request) {
            throw AccessFailure.notSignedIn
        }
        if let caller, operation?.isPublic != true {
            try await agreement.check(passage, caller, domain: settings.publicDomain, context)
        } else {
            try await agreement.check(request, settings.publicDomain)
        }
        passage.exchanged = identity?.exchanged

        var body = try await takeBody(request, limit: service == .files ? settings.maxFileBytes : settings.maxBodyBytes)
        guard Allowance.signInPaths.contains(path.segments), request.method == .post else {
            return try await forward(passage, body, to: service)
        }
        let charge: LimitCharge
        (charge, body) = try await allowance.signIn(body, client: passage.client)
        try await take([charge], &passage)
        let response = try await forward(passage, body, to: service)
        if response.status == .ok, !settings.limits.countsSuccessfulSignIns { await allowance.limiter.giveBack(charge) }
        return response
    }

    /// A token or key that is none of ours is counted against its address, so that guessing is limited too. Where anybody may call, a
    /// credential names whose allowance is used, and a bad one is taken no notice of: an expired token must not keep somebody from signing in.
    private func identify(
        _ passage: inout Passage, _ service: ServiceName, isPublic: Bool, _ context: EndpointContext
    ) async throws -> Identification.Identity? {
        do {
            let credential = try Identification.credential(of: passage.request, for: service)
            // Auth is not asked about a key where nobody needs one.
            if isPublic, case .apiKey = credential { return nil }
            let identity = try await identification.identity(credential, passage.client)
            if let identity { context.identify(identity.caller) }
            return identity
        } catch {
            if isPublic { return nil }
            try await take(allowance.charges(for: nil, client: passage.client, isUpload: false), &passage)
            throw error
        }
    }

    /// Credentials that only the service itself can judge: an OAuth client's, or a key that the gateway cannot exchange.
    private func hasOtherCredentials(_ request: Request) -> Bool {
        request.headers[.authorization] != nil || (request.headers[.apiKey] != nil && identification.apiKeys == nil)
    }

    private func take(_ charges: [LimitCharge], _ passage: inout Passage) async throws {
        let outcome = await allowance.limiter.take(charges)
        passage.limits += outcome.states
        if let refusal = outcome.refusal { throw GatewayFailure.limited(policy: refusal.policy.name, retryAfter: refusal.retryAfter) }
    }

    /// A browser asks before it sends what a form could not; nothing but the gateway answers that.
    private func preflight(_ request: Request) -> Response? {
        guard request.method == .options, let origin = request.headers[.origin], request.headers[.accessControlRequestMethod] != nil else {
            return nil
        }
        var headers = HTTPFields()
        for (name, value) in settings.crossOrigin.preflightHeaders(origin: origin) {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        return Response(status: .noContent, headers: headers)
    }

    /// Small bodies of known length are read here and can be sent again; all others are streamed.
    private func takeBody(_ request: Request, limit: Int) async throws -> Forwarder.Body {
        let isChunked = request.headers[.transferEncoding] != nil
        guard let length = request.headers[.contentLength].flatMap(Int.init) else {
            return isChunked ? .stream(request.body, length: nil, limit: limit) : .none
        }
        guard length <= limit else { throw GatewayFailure.bodyTooLarge(limit: limit) }
        if length == 0 { return .bytes(ByteBuffer()) }
        if length <= Allowance.peekLimit { return .bytes(try await request.body.collect(upTo: length)) }
        return .stream(request.body, length: length, limit: limit)
    }

    private func forward(_ passage: Passage, _ body: Forwarder.Body, to service: ServiceName) async throws -> Response {
        let headers = ForwardedHeaders.request(
            passage.request.headers,
            origin: .init(
                client: passage.client, requestID: passage.requestID, traceParent: ServiceContext.current?.traceParent?.text,
                host: passage.request.head.authority, token: passage.exchanged, keepsKeys: identification.apiKeys == nil))
        let outgoing = Forwarder.Outgoing(
            method: passage.request.method, target: passage.request.uri.string, headers: headers, body: body)
        return try await forwarder.forward(outgoing, to: service)
    }

    private func problem(for error: any Error, _ passage: Passage, _ context: EndpointContext) -> Response {
        let failure: any Failure
        if let known = error as? any Failure {
            failure = known
        } else {
            // A client that broke off its upload hears nothing of this; anything else is worth looking into.
            logger.warning(
                "a request could not be passed on", metadata: ["requestId": "\(passage.requestID)", "error": "\(type(of: error))"])
            failure = GatewayFailure.unexpected
        }
        context.refused(failure.code)
        if let dependency = failure as? DependencyFailure { context.note("dependencyReason", dependency.reason) }
        var headers = HTTPFields()
        switch failure.kind {
        case .unauthenticated:
            let isMissing = failure as? AccessFailure == .notSignedIn
            headers[.wwwAuthenticate] = "Bearer realm=\"trionex\"" + (isMissing ? "" : ", error=\"invalid_token\"")
        case .limited(let seconds), .unavailable(let seconds): headers[.retryAfter] = String(seconds)
        case .tooLarge: headers[.connection] = "close"
        default: break
        }
        return Problem(failure, instance: passage.request.uri.path, requestID: passage.requestID).response(headers: headers)
    }
}

/// One request on its way, and what its answer must say.
struct Passage: Sendable {
    let request: Request
    let requestID: String
    let client: ClientAddress
    var limits: [LimitState] = []
    /// The token that goes on in place of an API key.
    var exchanged: String?

    init(request: Request, requestID: String, settings: GatewaySettings, peer: String?) {
        self.request = request
        self.requestID = requestID
        client = ClientAddress(
            peer: peer, forwardedFor: request.headers[values: .forwardedFor].joined(separator: ","),
            forwardedProto: request.headers[.forwardedProto], trusted: settings.trustedProxies)
    }
}

extension HTTPField.Name {
    static let forwardedProto = HTTPField.Name("X-Forwarded-Proto")!
    static let tenantSlug = HTTPField.Name("X-Tenant-Slug")!
    static let rateLimit = HTTPField.Name("RateLimit")!
    static let rateLimitPolicy = HTTPField.Name("RateLimit-Policy")!
    static let frameOptions = HTTPField.Name("X-Frame-Options")!
}
