import Contracts
package import Foundation
package import HTTPTypes
package import Hummingbird
import NIOCore

/// What a handler may answer with. Values become JSON with 200; the wrappers below say something else.
package protocol EndpointResult: Sendable {
    static var status: HTTPResponse.Status { get }
    /// Nil where there is no body.
    static var bodySchema: NamedSchema? { get }
    static var mediaType: String { get }
    func response(to request: PublicRequest) throws -> Response
}

extension EndpointResult {
    package static var mediaType: String { "application/json" }
}

/// A value that is answered as JSON. Conform views to it; the body's form comes from their Codable conformance.
package protocol View: EndpointResult, Codable {
    /// Set by resources that can be changed: gives `ETag`, `If-None-Match` and `If-Match`.
    var entityTag: EntityTag? { get }
}

extension View {
    package var entityTag: EntityTag? { nil }
    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? { SchemaProbe.named(Self.self) }

    package func response(to request: PublicRequest) throws -> Response {
        try response(to: request, status: Self.status, headers: HTTPFields())
    }

    func response(to request: PublicRequest, status: HTTPResponse.Status, headers: HTTPFields) throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        if let entityTag {
            headers[.eTag] = entityTag.description
            if request.method == .get || request.method == .head, let condition = request.headers[.ifNoneMatch],
                entityTag.matches(condition)
            {
                headers[.contentType] = nil
                return Response(status: .notModified, headers: headers)
            }
        }
        return Response(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: try JSON.encode(self))))
    }
}

/// 201 with the new object and where it is.
package struct Created<Body: View>: EndpointResult {
    package let body: Body
    package let location: String

    package init(_ body: Body, at location: String) {
        self.body = body
        self.location = location
    }

    package static var status: HTTPResponse.Status { .created }
    package static var bodySchema: NamedSchema? { Body.bodySchema }
    package func response(to request: PublicRequest) throws -> Response {
        try body.response(to: request, status: .created, headers: [.location: location])
    }
}

/// 202: taken, durable, and worked on later.
package struct Accepted<Body: View>: EndpointResult {
    package let body: Body
    package init(_ body: Body) { self.body = body }
    package static var status: HTTPResponse.Status { .accepted }
    package static var bodySchema: NamedSchema? { Body.bodySchema }
    package func response(to request: PublicRequest) throws -> Response {
        try body.response(to: request, status: .accepted, headers: [:])
    }
}

/// 204: done, nothing to say.
package struct NoContent: EndpointResult {
    package init() {}
    package static var status: HTTPResponse.Status { .noContent }
    package static var bodySchema: NamedSchema? { nil }
    package func response(to request: PublicRequest) throws -> Response { Response(status: .noContent) }
}

/// Any JSON as it is: documents that are made elsewhere, such as OpenAPI or JWKS.
package struct RawJSON: EndpointResult {
    package let bytes: Data
    package let headers: HTTPFields
    package init(_ bytes: Data, headers: HTTPFields = [:]) {
        self.bytes = bytes
        self.headers = headers
    }
    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? { NamedSchema(name: nil, schema: .any) }
    package func response(to request: PublicRequest) throws -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}

/// A stream of bytes, or server-sent events: the handler makes the whole response.
package struct StreamedResult: EndpointResult {
    package let streamed: Response
    package init(_ response: Response) { streamed = response }
    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? { NamedSchema(name: nil, schema: .binary) }
    package static var mediaType: String { "application/octet-stream" }
    package func response(to request: PublicRequest) throws -> Response { streamed }
}

/// One of two answers: JSON, or the same as a stream when the client asked for one.
package struct Either<Body: View>: EndpointResult {
    private enum Answer: Sendable {
        case view(Body)
        case stream(Response)
    }
    private let answer: Answer
    package init(_ body: Body) { answer = .view(body) }
    package init(stream: Response) { answer = .stream(stream) }
    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? { Body.bodySchema }
    package func response(to request: PublicRequest) throws -> Response {
        switch answer {
        case .view(let body): try body.response(to: request)
        case .stream(let response): response
        }
    }
}
