import AsyncHTTPClient
package import Contracts
package import Foundation
import NIOCore
import NIOFoundationCompat
package import NIOHTTP1

/// One question to the platform and its answer, as a person with curl would see them.
package struct Exchange: Sendable {
    package let method: String
    package let path: String
    package let asked: String?
    package let status: Int
    package let headers: HTTPHeaders
    package let body: Data

    package var json: JSONValue { (try? JSON.decode(JSONValue.self, from: body)) ?? .null }
    package subscript(key: String) -> JSONValue { json[key] }
}

/// Talks to the gateway over HTTP, as any client would, and reports each exchange.
package struct GatewayClient: Sendable {
    package let base: String
    package var token: String?
    let report: @Sendable (Exchange) -> Void

    package init(base: String, token: String? = nil, report: @escaping @Sendable (Exchange) -> Void = { _ in }) {
        self.base = base
        self.token = token
        self.report = report
    }

    package func signedIn(_ token: String) -> GatewayClient {
        var copy = self
        copy.token = token
        return copy
    }

    package func get(_ path: String, headers: [(String, String)] = [], quiet: Bool = false) async throws -> Exchange {
        try await send(.GET, path, body: nil, shown: nil, headers: headers, quiet: quiet)
    }

    package func delete(_ path: String) async throws -> Exchange { try await send(.DELETE, path, body: nil, shown: nil) }

    /// `key` is sent as the Idempotency-Key.
    package func post(_ path: String, _ body: JSONValue? = nil, key: String? = nil, quiet: Bool = false) async throws -> Exchange {
        try await json(.POST, path, body, key: key, quiet: quiet)
    }

    package func put(_ path: String, _ body: JSONValue) async throws -> Exchange {
        try await json(.PUT, path, body, key: nil, quiet: false)
    }

    private func json(_ method: HTTPMethod, _ path: String, _ body: JSONValue?, key: String?, quiet: Bool) async throws -> Exchange {
        let keyed = key.map { [("idempotency-key", $0)] } ?? []
        guard let body else { return try await send(method, path, body: nil, shown: nil, headers: keyed, quiet: quiet) }
        let data = try JSON.encode(body)
        return try await send(
            method, path, body: .bytes(ByteBuffer(bytes: data)), shown: String(decoding: data, as: UTF8.self),
            headers: [("content-type", "application/json")] + keyed, quiet: quiet)
    }

    /// Sends bytes in pieces, so that a large file is never whole in memory.
    package func upload(_ path: String, name: String, pieces: [Data]) async throws -> Exchange {
        let length = pieces.reduce(0) { $0 + $1.count }
        let stream = AsyncStream<ByteBuffer> { continuation in
            for piece in pieces { continuation.yield(ByteBuffer(bytes: piece)) }
            continuation.finish()
        }
        return try await send(
            .POST, path, body: .stream(stream, length: .known(Int64(length))), shown: "\(length) bytes as \(name)",
            headers: [("content-type", "application/octet-stream"), ("content-disposition", "attachment; filename=\"\(name)\"")])
    }

    private func send(
        _ method: HTTPMethod, _ path: String, body: HTTPClientRequest.Body?, shown: String?, headers: [(String, String)] = [],
        quiet: Bool = false
    ) async throws -> Exchange {
        var request = HTTPClientRequest(url: base + path)
        request.method = method
        request.body = body
        if let token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        for (name, value) in headers { request.headers.add(name: name, value: value) }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        var buffer = try await response.body.collect(upTo: 64_000_000)
        let exchange = Exchange(
            method: method.rawValue, path: path, asked: shown, status: Int(response.status.code), headers: response.headers,
            body: buffer.readData(length: buffer.readableBytes) ?? Data())
        if !quiet { report(exchange) }
        return exchange
    }
}
