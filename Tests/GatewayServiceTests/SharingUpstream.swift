import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit
import ServiceLifecycle
import Synchronization
import TestKit

/// A service that lets its answers be shared: the request's query says how, and each answer says the how-manieth it is.
final class SharingUpstream: Sendable {
    let url: String
    let seen: Seen
    private let task: Task<Void, any Error>

    final class Seen: Sendable {
        private let targets = Mutex<[String]>([])
        private let failing = Mutex(false)
        private let version = Mutex(1)

        /// How often this path was asked for, whatever the query.
        func count(_ path: String) -> Int { targets.withLock { $0.count { $0 == path } } }
        fileprivate func note(_ path: String) -> Int {
            targets.withLock {
                $0.append(path)
                return $0.count { $0 == path }
            }
        }
        /// Answers 503 from now on, or no more.
        func fail(_ fails: Bool) { failing.withLock { $0 = fails } }
        fileprivate var fails: Bool { failing.withLock { $0 } }
        /// Of what is told: entity tags are of it.
        func change() { version.withLock { $0 += 1 } }
        fileprivate var current: Int { version.withLock { $0 } }
    }

    static func start() async throws -> SharingUpstream {
        let seen = Seen()
        let bound = AsyncStream.makeStream(of: Int.self)
        let app = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in try await answer(request, seen) },
            configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { bound.continuation.yield($0.localAddress?.port ?? 0) }, logger: quiet)
        let group = ServiceGroup(configuration: .init(services: [app], logger: quiet))
        let task = Task { try await group.run() }
        var ports = bound.stream.makeAsyncIterator()
        return SharingUpstream(url: "http://127.0.0.1:\(await ports.next() ?? 0)", seen: seen, task: task)
    }

    private init(url: String, seen: Seen, task: Task<Void, any Error>) {
        self.url = url
        self.seen = seen
        self.task = task
    }

    func kill() async {
        task.cancel()
        _ = try? await task.value
    }

    /// A gateway before it.
    static func with<T>(
        _ settings: [String: String] = [:], _ body: (Town, SharingUpstream) async throws -> T
    ) async throws -> T {
        let upstream = try await start()
        do {
            let environment = ["TRIONEX_CONTENT_URL": upstream.url, "TRIONEX_AUTH_URL": upstream.url].merging(settings) { _, own in own }
            let result = try await Town.with(environment) { try await body($0, upstream) }
            await upstream.kill()
            return result
        } catch {
            await upstream.kill()
            throw error
        }
    }

    /// Where an article is whose answer says so in `Cache-Control`, and more.
    static func path(_ id: String, _ caching: String, _ more: [String: String] = [:]) -> String {
        var query = URLComponents()
        query.queryItems = [URLQueryItem(name: "caching", value: caching)] + more.sorted { $0.key < $1.key }.map(URLQueryItem.init)
        return "/api/v1/content/articles/\(id)?\(query.percentEncodedQuery ?? "")"
    }

    private static func answer(_ request: Request, _ seen: Seen) async throws -> Response {
        if request.uri.path == "/openapi.json" { return json(document, [:]) }
        let path = request.uri.path, number = seen.note(path)
        if seen.fails { return json(["failed": .integer(number)], [:], status: .serviceUnavailable) }
        let query = request.uri.queryParameters
        if let wait = query.get("wait", as: Int.self) { try await Task.sleep(for: .milliseconds(wait)) }
        var headers = HTTPFields()
        headers[.cacheControl] = query.get("caching")
        headers[.vary] = query.get("vary")
        if query.get("cookie") != nil { headers[.setCookie] = "a=b" }
        if query.get("tag") != nil {
            let tag = "\"\(seen.current)\""
            headers[.eTag] = tag
            if request.headers[.ifNoneMatch] == tag { return Response(status: .notModified, headers: headers) }
        }
        let size = query.get("size", as: Int.self) ?? 0
        return json(
            [
                "number": .integer(number), "version": .integer(seen.current),
                "authorization": request.headers[.authorization].map { .string($0) } ?? .null,
                "key": request.headers[HTTPField.Name("X-API-Key")!].map { .string($0) } ?? .null,
                "language": request.headers[.acceptLanguage].map { .string($0) } ?? .null,
                "padding": .string(String(repeating: "x", count: size)),
            ], headers)
    }

    private static let document: JSONValue = [
        "openapi": "3.1.0",
        "paths": [
            "/api/v1/auth/login": ["post": ["summary": "Sign in", "security": [], "responses": [:]]],
            "/api/v1/content/open": ["get": ["summary": "Open", "security": [], "responses": [:]]],
            "/api/v1/content/articles/{id}": [
                "get": ["summary": "Closed", "security": [["bearer": []]]], "put": ["summary": "Change", "security": [["bearer": []]]],
            ],
        ],
        "components": ["schemas": ["Problem": ["type": "object"]]],
    ]

    private static func json(_ value: JSONValue, _ headers: HTTPFields, status: HTTPResponse.Status = .ok) -> Response {
        var headers = headers
        headers[.contentType] = "application/json"
        return Response(status: status, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: (try? JSON.encode(value)) ?? Data())))
    }
}
