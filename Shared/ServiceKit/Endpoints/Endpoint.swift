import Contracts
import Foundation
package import HTTPTypes
import Hummingbird

/// One declared endpoint. From this one value come the route, the permission check, decoding and validation, the OpenAPI
/// operation, the metric label and a row in the tests that sweep all endpoints.
package struct Endpoint: Sendable {
    package let method: HTTPRequest.Method
    /// The whole path with `:name` parameters, such as `/api/v1/content/articles/:id`.
    package let path: String
    package let summary: String
    package let access: Access
    package let query: NamedSchema?
    package let requestBody: NamedSchema?
    package let requestMediaType: String
    package let responseBody: NamedSchema?
    package let responseMediaType: String
    package let status: HTTPResponse.Status
    /// Larger bodies than usual, in bytes; nil for the program's limit.
    package let maxBodyBytes: Int?
    /// The handler reads the body itself, as it arrives.
    package let streamsBody: Bool
    /// Gives the response; the caller is nil exactly where `access` is public and nobody has signed in.
    let handle: @Sendable (PublicRequest, Caller?, Data) async throws -> Response

    /// `GET /api/v1/content/articles/{id}`: the name in logs, metrics and documents.
    package var label: String { "\(method.rawValue) \(template)" }

    /// The path as OpenAPI writes it.
    package var template: String {
        path.split(separator: "/").map { $0.hasPrefix(":") ? "/{\($0.dropFirst())}" : "/\($0)" }.joined()
    }

    package var pathParameters: [String] {
        path.split(separator: "/").filter { $0.hasPrefix(":") }.map { String($0.dropFirst()) }
    }

    /// The same endpoint under a base path.
    func under(_ base: String) -> Endpoint {
        Endpoint(
            method: method, path: path.isEmpty ? base : "\(base)/\(path)", summary: summary, access: access, query: query,
            requestBody: requestBody, requestMediaType: requestMediaType, responseBody: responseBody, responseMediaType: responseMediaType,
            status: status,
            maxBodyBytes: maxBodyBytes, streamsBody: streamsBody, handle: handle)
    }
}

/// Endpoints under one path: `Endpoints("content/articles") { .get(":id", "Read an article", may: "content:read", read) }`.
///
/// A path is taken to be below `/api/v1/`; one that begins with a slash is taken as it is.
package struct Endpoints: Sendable {
    package let list: [Endpoint]

    package init(_ base: String, @EndpointsBuilder _ endpoints: () -> [Endpoint]) {
        let root = base.hasPrefix("/") ? String(base.dropFirst(base == "/" ? 1 : 0)) : "/api/v1/\(base)"
        list = endpoints().map { $0.under(root) }
    }

    package init(_ parts: [Endpoints]) { list = parts.flatMap(\.list) }
}

@resultBuilder
package enum EndpointsBuilder {
    package static func buildExpression(_ endpoint: Endpoint) -> [Endpoint] { [endpoint] }
    package static func buildBlock(_ endpoints: [Endpoint]...) -> [Endpoint] { endpoints.flatMap { $0 } }
    package static func buildOptional(_ endpoints: [Endpoint]?) -> [Endpoint] { endpoints ?? [] }
}

/// Marks an endpoint that anybody may call; its handler is given no caller, since there may be none.
package enum Anybody: Sendable { case `public` }

/// A request body that is JSON.
package typealias RequestBodyType = Decodable & Sendable

/// A body that comes so often and so large that it has a way of its own of being read, beside its `Decodable`.
///
/// It gives what decoding would give, or nil for whatever is not plain, and for all that is wrong: then the body is decoded, and the
/// answer names what is wrong with it.
package protocol QuicklyRead {
    init?(quickly body: UnsafeRawBufferPointer)
}

// MARK: - Declarations

extension Endpoint {
    package typealias Handler<Input, Result> = @Sendable (CallerRequest, Input) async throws -> Result
    package typealias PublicHandler<Input, Result> = @Sendable (PublicRequest, Input) async throws -> Result

    // Read without parameters in the query.
    package static func get<R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, _ handler: @escaping @Sendable (CallerRequest) async throws -> R
    ) -> Endpoint { plain(.get, path, summary, access, handler) }

    /// Read with typed query parameters.
    package static func get<Q: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, _ handler: @escaping Handler<Q, R>
    ) -> Endpoint {
        let schema = SchemaProbe.named(Q.self)
        return make(.get, path, summary, access, query: schema, result: R.self) { request, caller, _ in
            let query = try FieldDecoder.decode(Q.self, query: request.query, schema: schema.schema)
            return try await handler(try CallerRequest(caller, request), query).response(to: request)
        }
    }

    package static func delete<R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, _ handler: @escaping @Sendable (CallerRequest) async throws -> R
    ) -> Endpoint { plain(.delete, path, summary, access, handler) }

    /// An action without a body.
    package static func post<R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, _ handler: @escaping @Sendable (CallerRequest) async throws -> R
    ) -> Endpoint { plain(.post, path, summary, access, handler) }

    package static func post<B: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, maxBodyBytes: Int? = nil, _ handler: @escaping Handler<B, R>
    ) -> Endpoint { withBody(.post, path, summary, access, maxBodyBytes, handler) }

    package static func put<B: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, maxBodyBytes: Int? = nil, _ handler: @escaping Handler<B, R>
    ) -> Endpoint { withBody(.put, path, summary, access, maxBodyBytes, handler) }

    /// JSON Merge Patch (RFC 7396): declare the fields as `Change<…>`.
    package static func patch<B: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, may access: Access, maxBodyBytes: Int? = nil, _ handler: @escaping Handler<B, R>
    ) -> Endpoint { withBody(.patch, path, summary, access, maxBodyBytes, handler) }

    /// Takes a body of any size as it arrives, up to `maxBodyBytes`.
    package static func upload<R: EndpointResult>(
        _ method: HTTPRequest.Method = .post, _ path: String, _ summary: String, may access: Access, maxBodyBytes: Int,
        _ handler: @escaping @Sendable (CallerRequest) async throws -> R
    ) -> Endpoint {
        make(
            method, path, summary, access, body: NamedSchema(name: nil, schema: .binary), maxBodyBytes: maxBodyBytes, streamsBody: true,
            result: R.self
        ) { request, caller, _ in
            try await handler(try CallerRequest(caller, request)).response(to: request)
        }
    }

    // Public endpoints: no caller.
    package static func get<R: EndpointResult>(
        _ path: String, _ summary: String, _ anybody: Anybody, _ handler: @escaping @Sendable (PublicRequest) async throws -> R
    ) -> Endpoint {
        make(.get, path, summary, .public, result: R.self) { request, _, _ in try await handler(request).response(to: request) }
    }

    package static func get<Q: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, _ anybody: Anybody, _ handler: @escaping PublicHandler<Q, R>
    ) -> Endpoint {
        let schema = SchemaProbe.named(Q.self)
        return make(.get, path, summary, .public, query: schema, result: R.self) { request, _, _ in
            let query = try protocolled(Q.self) { try FieldDecoder.decode(Q.self, query: request.query, schema: schema.schema) }
            return try await handler(request, query).response(to: request)
        }
    }

    package static func post<B: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, _ anybody: Anybody, maxBodyBytes: Int? = nil, _ handler: @escaping PublicHandler<B, R>
    ) -> Endpoint {
        make(.post, path, summary, .public, body: SchemaProbe.named(B.self), maxBodyBytes: maxBodyBytes, result: R.self) {
            request, _, data in
            try await handler(request, try body(B.self, data, request)).response(to: request)
        }
    }

    /// A form of a browser, or of a client that speaks OAuth (`application/x-www-form-urlencoded`). Fields are decoded as query
    /// parameters are; unknown ones are refused, unless the type is one of `OpenFields`.
    package static func form<B: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, _ anybody: Anybody, maxBodyBytes: Int? = nil, _ handler: @escaping PublicHandler<B, R>
    ) -> Endpoint {
        let schema = SchemaProbe.named(B.self)
        return make(.post, path, summary, .public, body: schema, mediaType: formMediaType, maxBodyBytes: maxBodyBytes, result: R.self) {
            request, _, data in
            let form = try protocolled(B.self) {
                let mediaType = request.headers[.contentType]?.split(separator: ";").first?.trimmingCharacters(in: .whitespaces)
                    .lowercased()
                // No body at all is a form without fields.
                guard mediaType == formMediaType || (mediaType == nil && data.isEmpty) else {
                    throw MalformedBody.wrongMediaType
                }
                guard let pairs = FormText.pairs(String(decoding: data, as: UTF8.self)) else { throw MalformedBody.badQuery }
                return try FieldDecoder.decode(B.self, query: pairs, schema: schema.schema)
            }
            return try await handler(request, form).response(to: request)
        }
    }

    private static let formMediaType = "application/x-www-form-urlencoded"

    /// Decodes; a protocol of its own says in its own form what cannot be read.
    private static func protocolled<T>(_ type: T.Type, _ decode: () throws -> T) throws -> T {
        do {
            return try decode()
        } catch let failure as any Failure {
            guard let open = T.self as? any OpenFields.Type else { throw failure }
            throw open.refusal(of: failure)
        }
    }

    /// What a web page reports by itself (`navigator.sendBeacon`): JSON, which browsers send as `text/plain` so that they need not ask
    /// first. It is public because such a request has no headers of the page's: a credential would stand in the body.
    package static func beacon<B: RequestBodyType, R: EndpointResult>(
        _ path: String, _ summary: String, _ anybody: Anybody, maxBodyBytes: Int? = nil, _ handler: @escaping PublicHandler<B, R>
    ) -> Endpoint {
        make(
            .post, path, summary, .public, body: SchemaProbe.named(B.self), mediaType: beaconMediaType, maxBodyBytes: maxBodyBytes,
            result: R.self
        ) { request, _, data in
            let mediaType = request.headers[.contentType]?.split(separator: ";").first?.trimmingCharacters(in: .whitespaces).lowercased()
            guard mediaType == beaconMediaType || mediaType == "application/json" else { throw MalformedBody.wrongMediaType }
            return try await handler(request, try FieldDecoder.decode(B.self, from: data)).response(to: request)
        }
    }

    private static let beaconMediaType = "text/plain"

    /// A public action without a body.
    package static func post<R: EndpointResult>(
        _ path: String, _ summary: String, _ anybody: Anybody, _ handler: @escaping @Sendable (PublicRequest) async throws -> R
    ) -> Endpoint {
        make(.post, path, summary, .public, result: R.self) { request, _, _ in try await handler(request).response(to: request) }
    }

    // MARK: - How they are made

    private static func plain<R: EndpointResult>(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, _ access: Access,
        _ handler: @escaping @Sendable (CallerRequest) async throws -> R
    ) -> Endpoint {
        make(method, path, summary, access, result: R.self) { request, caller, _ in
            try await handler(try CallerRequest(caller, request)).response(to: request)
        }
    }

    private static func withBody<B: RequestBodyType, R: EndpointResult>(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, _ access: Access, _ maxBodyBytes: Int?,
        _ handler: @escaping Handler<B, R>
    ) -> Endpoint {
        make(method, path, summary, access, body: SchemaProbe.named(B.self), maxBodyBytes: maxBodyBytes, result: R.self) {
            request, caller, data in
            try await handler(try CallerRequest(caller, request), try body(B.self, data, request)).response(to: request)
        }
    }

    private static func body<B: RequestBodyType>(_ type: B.Type, _ data: Data, _ request: PublicRequest) throws -> B {
        let mediaType = request.headers[.contentType]?.split(separator: ";").first?.trimmingCharacters(in: .whitespaces).lowercased()
        let patch = request.method == .patch && mediaType == "application/merge-patch+json"
        guard mediaType == "application/json" || patch else { throw MalformedBody.wrongMediaType }
        if let quick = type as? any QuicklyRead.Type, let value = data.withUnsafeBytes({ quick.init(quickly: $0) }) as? B { return value }
        return try FieldDecoder.decode(type, from: data)
    }

    private static func make<R: EndpointResult>(
        _ method: HTTPRequest.Method, _ path: String, _ summary: String, _ access: Access, query: NamedSchema? = nil,
        body: NamedSchema? = nil, mediaType: String? = nil, maxBodyBytes: Int? = nil, streamsBody: Bool = false, result: R.Type,
        _ handle: @escaping @Sendable (PublicRequest, Caller?, Data) async throws -> Response
    ) -> Endpoint {
        Endpoint(
            method: method, path: path, summary: summary, access: access, query: query, requestBody: body,
            requestMediaType: mediaType ?? (streamsBody ? "application/octet-stream" : "application/json"), responseBody: R.bodySchema,
            responseMediaType: R.mediaType, status: R.status, maxBodyBytes: maxBodyBytes, streamsBody: streamsBody, handle: handle)
    }
}

extension CallerRequest {
    fileprivate init(_ caller: Caller?, _ request: PublicRequest) throws(AccessFailure) {
        guard let caller else { throw .notSignedIn }
        self.init(caller: caller, http: request)
    }
}
