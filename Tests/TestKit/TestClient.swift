import AsyncHTTPClient
package import Contracts
package import Foundation
import HTTPTypes
import NIOCore
import NIOFoundationCompat
package import NIOHTTP1
import ServiceKit

/// A caller of the HTTP interface, over a real socket, with or without a token.
package struct TestClient: Sendable {
    package let base: String
    package let token: String?

    /// A client without a tracer: one with it would put a trace of its own in place of what a test sends.
    private static let http: HTTPClient = {
        var configuration = HTTPClient.Configuration()
        configuration.tracing.tracer = nil
        // A room's tests run all at once.
        configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 64
        configuration.timeout.connect = .seconds(20)
        return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
    }()

    package init(base: String, token: String?) {
        self.base = base
        self.token = token
    }

    package func get(_ path: String, headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.GET, path, nil, headers)
    }
    package func delete(_ path: String, headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.DELETE, path, nil, headers)
    }
    package func head(_ path: String, headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.HEAD, path, nil, headers)
    }

    package func post(_ path: String, _ body: JSONValue? = nil, headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.POST, path, body, headers)
    }
    package func put(_ path: String, _ body: JSONValue, headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.PUT, path, body, headers)
    }
    package func patch(_ path: String, _ body: JSONValue, headers: [String: String] = [:]) async throws -> TestResponse {
        try await send(.PATCH, path, body, headers)
    }

    private func send(_ method: HTTPMethod, _ path: String, _ body: JSONValue?, _ headers: [String: String]) async throws -> TestResponse {
        var headers = headers
        guard let body else { return try await send(method, path, bytes: nil, headers: headers) }
        if headers["content-type"] == nil { headers["content-type"] = "application/json" }
        return try await send(method, path, bytes: Data(try JSON.encode(body)), headers: headers)
    }

    /// Sends any bytes as they are.
    package func send(_ method: HTTPMethod, _ path: String, bytes: Data?, headers: [String: String] = [:]) async throws -> TestResponse {
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        for (name, value) in headers { request.headers.replaceOrAdd(name: name, value: value) }
        if let bytes { request.body = .bytes(ByteBuffer(bytes: bytes)) }
        let response = try await Self.http.execute(request, timeout: .seconds(30))
        var buffer = try await response.body.collect(upTo: 64_000_000)
        return TestResponse(
            status: Int(response.status.code), headers: response.headers, body: buffer.readData(length: buffer.readableBytes) ?? Data())
    }
}

package struct TestResponse: Sendable {
    package let status: Int
    package let headers: HTTPHeaders
    package let body: Data

    package init(status: Int, headers: HTTPHeaders, body: Data) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The first value of a header, whatever the case of its name.
    package func header(_ name: String) -> String? { headers.first(name: name) }

    package var text: String { String(decoding: body, as: UTF8.self) }

    /// The body as JSON; `.null` when it is none.
    package var json: JSONValue { (try? JSON.decode(JSONValue.self, from: body)) ?? .null }

    package func decode<T: Decodable>(_ type: T.Type) throws -> T { try JSON.decode(type, from: body) }

    package subscript(key: String) -> JSONValue { json[key] }

    /// The pointers of a problem's `errors`.
    package var badFields: [String] { json["errors"].array.compactMap { $0["pointer"].string } }

    /// The last part of a problem's `type`.
    package var problem: String? { json["type"].string?.split(separator: "/").last.map(String.init) }
}
