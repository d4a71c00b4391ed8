import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import NIOFoundationCompat
import ServiceKit
import ServiceLifecycle
import Synchronization
import TestKit

/// A small service behind the gateway: it says what reached it, and misbehaves where asked to.
final class Upstream: Sendable {
    static let chunk = ByteBuffer(repeating: UInt8(ascii: "x"), count: 65_536)

    let name: String
    let port: Int
    var url: String { "http://127.0.0.1:\(port)" }
    private let task: Task<Void, any Error>
    private let group: ServiceGroup
    private let accepting: Accepting

    /// What the upstream was asked for, in order.
    let seen: Seen

    final class Seen: Sendable {
        private let requests = Mutex<[String]>([])
        private let bytes = Mutex(0)
        private let gate = Mutex(true)
        private let refusedKeys = Mutex<Set<String>>([])
        private let thought = Mutex<Duration>(.zero)
        var list: [String] { requests.withLock { $0 } }
        var receivedBytes: Int { bytes.withLock { $0 } }
        func note(_ request: String) { requests.withLock { $0.append(request) } }
        func note(bytes count: Int) { bytes.withLock { $0 += count } }
        /// API keys that auth no longer takes.
        func refuse(_ key: String) { refusedKeys.withLock { _ = $0.insert(key) } }
        func refuses(_ key: String) -> Bool { refusedKeys.withLock { $0.contains(key) } }
        var isReading: Bool { gate.withLock { $0 } }
        /// How long it thinks about each question of another program.
        var thinking: Duration { thought.withLock { $0 } }
        func think(_ duration: Duration) { thought.withLock { $0 = duration } }
        func setReading(_ reads: Bool) { gate.withLock { $0 = reads } }
    }

    static func start(_ name: String, port: Int = 0) async throws -> Upstream {
        let seen = Seen(), accepting = Accepting()
        let bound = AsyncStream.makeStream(of: Int.self)
        let app = Application(
            responder: CallbackResponder<BasicRequestContext> { request, _ in try await answer(request, name, seen) },
            configuration: .init(address: .hostname("127.0.0.1", port: port)),
            onServerRunning: { channel in
                accepting.began(channel)
                bound.continuation.yield(channel.localAddress?.port ?? 0)
            }, logger: quiet)
        let group = ServiceGroup(configuration: .init(services: [app, accepting], logger: quiet))
        let task = Task { try await group.run() }
        var ports = bound.stream.makeAsyncIterator()
        return Upstream(name: name, port: await ports.next() ?? 0, task: task, group: group, accepting: accepting, seen: seen)
    }

    private init(
        name: String, port: Int, task: Task<Void, any Error>, group: ServiceGroup, accepting: Accepting, seen: Seen
    ) {
        self.name = name
        self.port = port
        self.task = task
        self.group = group
        self.accepting = accepting
        self.seen = seen
    }

    /// Ends as a service does that is replaced: requests under way are answered first.
    func stop() async {
        await group.triggerGracefulShutdown()
        _ = try? await task.value
    }

    /// Ends at once, with requests under way.
    func kill() async {
        await accepting.end()
        task.cancel()
        _ = try? await task.value
    }

    private static func answer(_ request: Request, _ name: String, _ seen: Seen) async throws -> Response {
        if request.uri.path.hasPrefix("/internal/"), seen.thinking > .zero { try await Task.sleep(for: seen.thinking) }
        switch request.uri.path {
        case "/openapi.json": return json(document(name))
        case "/internal/v1/service-token":
            return json(["token": "of-the-gateway", "expiresAt": .string(Timestamp.text(Date().addingTimeInterval(600)))])
        case let path where path.hasPrefix("/internal/v1/organizations/by-slug/"):
            guard let id = UUID(uuidString: String(path.split(separator: "/").last ?? "")) else { return json([:], status: .notFound) }
            // An organization whose id ends so is suspended.
            let isSuspended = id.uuidString.hasSuffix("0BAD")
            return json([
                "id": .string(id.uuidString.lowercased()), "slug": .string(id.uuidString.lowercased()),
                "status": isSuspended ? "suspended" : "active",
            ])
        case "/internal/v1/api-keys/exchange": return try await exchange(request, seen)
        case "/internal/v1/security-events":
            seen.note("security-event \(String(buffer: try await request.body.collect(upTo: 65_536)))")
            return Response(status: .noContent)
        case "/api/v1/content/slow":
            try await Task.sleep(for: .seconds(20))
            return Response(status: .ok)
        case "/api/v1/content/large":
            let chunks = request.uri.queryParameters.get("chunks", as: Int.self) ?? 1
            return Response(
                status: .ok,
                body: ResponseBody { writer in
                    for _ in 0..<chunks { try await writer.write(chunk) }
                    try await writer.finish(nil)
                })
        case "/api/v1/content/broken":
            return Response(
                status: .ok, headers: [.contentLength: "1000000"],
                body: ResponseBody { writer in
                    try await writer.write(chunk)
                    throw CancellationError()
                })
        case "/api/v1/content/early": return Response(status: .forbidden, body: .init(byteBuffer: ByteBuffer(string: "no")))
        case "/api/v1/content/mirror": return Response(status: .ok, body: ResponseBody(asyncSequence: request.body))
        case "/api/v1/content/headers":
            return Response(
                status: .ok,
                headers: [
                    .server: "secret-sauce/1.0", .accessControlAllowOrigin: "*", .contentSecurityPolicy: "sandbox", .eTag: "\"v1\"",
                    .connection: "X-Internal-Detail", HTTPField.Name("X-Internal-Detail")!: "1",
                ])
        default: return try await describe(request, name, seen)
        }
    }

    /// A key that is `trx_key.<id of the key>.<id of its organization>` is good, for reading.
    private static func exchange(_ request: Request, _ seen: Seen) async throws -> Response {
        seen.note("exchange")
        let body = try JSON.decode(JSONValue.self, from: Data(buffer: try await request.body.collect(upTo: 65_536)))
        let text = body["key"].string ?? "", parts = text.split(separator: ".").map(String.init)
        guard parts.count == 3, let key = APIKeyID(parts[1]), let tenant = TenantID(parts[2]), !seen.refuses(text) else {
            return json(["type": "/problems/bad-api-key", "title": "Bad api key", "status": 401], status: .unauthorized)
        }
        let claims = AccessClaims(
            user: UserID.make(), session: nil, tenant: tenant, roles: [], permissions: ["*:read"], plan: "starter", amr: ["key"],
            issuedAt: Date(), lifetime: 90, apiKey: key)
        return json([
            "token": .string(try await TestKeys.sign(claims)), "expiresAt": .string(Timestamp.text(Date().addingTimeInterval(90))),
        ])
    }

    private static func describe(_ request: Request, _ name: String, _ seen: Seen) async throws -> Response {
        seen.note("\(request.method) \(request.uri.string)")
        var count = 0
        for try await part in request.body {
            while !seen.isReading { try await Task.sleep(for: .milliseconds(5)) }
            count += part.readableBytes
            seen.note(bytes: part.readableBytes)
        }
        let headers = request.headers.reduce(into: [String: JSONValue]()) { result, field in
            result[field.name.canonicalName] = .string(field.value)
        }
        let ok = request.headers[HTTPField.Name("X-Answer")!].flatMap { Int($0) } ?? 200
        return json(
            [
                "upstream": .string(name), "method": .string(request.method.rawValue), "target": .string(request.uri.string),
                "bytes": .integer(count), "headers": .object(headers),
            ], status: .init(code: ok))
    }

    private static func document(_ name: String) -> JSONValue {
        let bearer: JSONValue = [["bearer": []]]
        return [
            "openapi": "3.1.0",
            "paths": [
                "/api/v1/content/open": ["get": ["summary": "Open", "security": [], "responses": [:]]],
                "/api/v1/content/articles/{id}": [
                    "get": ["summary": "Closed", "security": bearer, "responses": ["200": ["$ref": "#/components/schemas/Thing"]]]
                ],
                "/api/v1/files": [
                    "get": ["summary": "Files", "security": bearer], "post": ["summary": "Upload", "security": bearer],
                ],
            ],
            "components": ["schemas": ["Thing": ["type": "object", "title": .string(name)], "Problem": ["type": "object"]]],
        ]
    }

    private static func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(bytes: (try? JSON.encode(value)) ?? Data())))
    }
}
