import Contracts
import FilesService
import Foundation
import Hummingbird
import Logging
import NIOCore
import SearchService
import ServiceKit
import ServiceLifecycle
import Synchronization
import TestKit

/// Search with files beside it, both real, and between them a door that can be closed for an organization: to it, files is away then.
///
/// The door stands in for auth as well, of which search needs a service token.
final class Neighbourhood: Sendable {
    let search: TestHost
    let files: TestHost
    private let door: Door

    static let shared = Task { try await start() }

    private static func start() async throws -> Neighbourhood {
        let directory = NSTemporaryDirectory() + "trionex-search-tests-\(UUID().uuidString)"
        AtEnd.remove(directory)
        let files = try await TestHost.start(Files.self, environment: ["TRIONEX_FILES_DIRECTORY": directory])
        let door = Door(files: files)
        let url = try await door.open()
        let search = try await TestHost.start(
            Search.self, environment: ["TRIONEX_FILES_URL": url, "TRIONEX_AUTH_URL": url, "TRIONEX_SERVICE_SECRET": "shown to the door"])
        return Neighbourhood(search: search, files: files, door: door)
    }

    private init(search: TestHost, files: TestHost, door: Door) {
        self.search = search
        self.files = files
        self.door = door
    }

    /// Files does not answer search for this organization, until it does again.
    func close(for tenant: TenantID) { door.state.withLock { _ = $0.closed.insert(tenant) } }
    func reopen(for tenant: TenantID) { door.state.withLock { _ = $0.closed.remove(tenant) } }

    /// How often search asked for an organization's texts, in vain or not.
    func asked(for tenant: TenantID) -> Int { door.state.withLock { $0.asked[tenant] ?? 0 } }
}

private final class Door: Sendable {
    let state = Mutex((closed: Set<TenantID>(), asked: [TenantID: Int]()))
    private let files: TestHost

    init(files: TestHost) { self.files = files }

    func open() async throws -> String {
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let router = Router()
        router.post("internal/v1/service-token") { _, _ in
            let token = ServiceToken(token: try await TestKeys.serviceToken(.search), expiresAt: Date().addingTimeInterval(600))
            return Self.response(.ok, try JSON.encode(token))
        }
        router.get("internal/v1/files/:id/text") { request, _ in
            guard let tenant = request.uri.queryParameters["organization"].flatMap({ TenantID(String($0)) }) else {
                return Response(status: .badRequest)
            }
            let isClosed = self.state.withLock { state in
                state.asked[tenant, default: 0] += 1
                return state.closed.contains(tenant)
            }
            guard !isClosed else { return Response(status: .serviceUnavailable) }
            let answer = try await self.files.client(service: .search).get(request.uri.string)
            return Self.response(.init(code: answer.status), answer.body)
        }
        let app = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in found.yield(channel.localAddress?.port ?? 0) },
            logger: Logger(label: "door") { _ in SwiftLogNoOpLogHandler() })
        let group = ServiceGroup(
            configuration: .init(services: [app], logger: Logger(label: "door") { _ in SwiftLogNoOpLogHandler() }))
        Task { try await group.run() }
        var all = ports.makeAsyncIterator()
        return "http://127.0.0.1:\(await all.next() ?? 0)"
    }

    private static func response(_ status: HTTPResponse.Status, _ body: Data) -> Response {
        Response(status: status, headers: [.contentType: "application/json"], body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }
}

/// What is removed when the test process ends.
private enum AtEnd {
    private static let paths = Mutex<[String]>([])
    private static let registered: Void = {
        atexit { for path in AtEnd.paths.withLock({ $0 }) { try? FileManager.default.removeItem(atPath: path) } }
    }()

    static func remove(_ path: String) {
        _ = registered
        paths.withLock { $0 += [path, path + ".key"] }
    }
}
