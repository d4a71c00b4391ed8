import AsyncHTTPClient
import Contracts
import Foundation
import Logging
import NIOCore
import NIOFoundationCompat
import NIOHTTP1
import ServiceKit
import ServiceLifecycle
import Synchronization

/// Reads every service's OpenAPI document in the background: the operations for the table of routes, and the document of the whole.
///
/// Until a service's document is known its operations are not, and the service alone decides; it checks again in any case. What was known
/// stays known while a service is away, and a service without a document, such as any HTTP server, is left to itself for good.
final class ServiceDocuments: Service {
    static let maximumBytes = 8_388_608
    static let timeout: TimeAmount = .seconds(3)
    /// While some document is missing.
    static let eagerInterval: Duration = .seconds(1)

    private struct State {
        var documents: [ServiceName: JSONValue] = [:]
        var answering: Set<ServiceName> = []
        var page: OwnPage
    }

    private let client: HTTPClient
    private let addresses: [ServiceName: [String]]
    private let prefixes: RoutingTable
    private let routing: RoutingState
    private let interval: Duration
    private let logger: Logger
    private let state: Mutex<State>

    /// `addresses`: those of `TRIONEX_<SERVICE>_URL`; the gateway file's own go before them. `routing` is told of all operations.
    init(
        client: HTTPClient = .shared, addresses: [ServiceName: [String]], prefixes: RoutingTable = .platform, routing: RoutingState,
        interval: Duration,
        logger: Logger
    ) {
        self.client = client
        self.addresses = addresses
        self.prefixes = prefixes
        self.routing = routing
        self.interval = interval
        self.logger = logger
        state = Mutex(State(page: Self.page([:], prefixes)))
    }

    /// The documents of all services as one, as JSON.
    var page: OwnPage { state.withLock { $0.page } }

    func answers(_ service: ServiceName) -> Bool { state.withLock { $0.answering.contains(service) } }

    func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                await refresh(prefixes.services)
                let next = ContinuousClock.now + interval
                // Those that are not there yet are looked for more often than those that are.
                while ContinuousClock.now < next, !Task.isCancelled {
                    let missing = prefixes.services.filter { !answers($0) }
                    try? await Task.sleep(for: missing.isEmpty ? interval : min(interval, Self.eagerInterval))
                    if !missing.isEmpty, ContinuousClock.now < next { await refresh(missing) }
                }
            }
        }
    }

    private func refresh(_ services: [ServiceName]) async {
        let found = await withTaskGroup(of: (ServiceName, JSONValue?).self) { group in
            for service in services { group.addTask { [self] in (service, await fetch(service)) } }
            return await group.reduce(into: [ServiceName: JSONValue]()) { $0[$1.0] = $1.1 }
        }
        let changed = state.withLock { state -> [ServiceName: JSONValue]? in
            state.answering = state.answering.subtracting(services).union(found.keys)
            let changed = found.filter { state.documents[$0.key] != $0.value }
            state.documents.merge(changed) { _, new in new }
            return changed.isEmpty ? nil : state.documents
        }
        guard let documents = changed else { return }
        // Whoever reads of an operation finds it routed.
        routing.use(documents.mapValues(OperationIndex.operations))
        let page = Self.page(documents, prefixes)
        state.withLock { $0.page = page }
        logger.info(
            "operations are known",
            metadata: [
                "services": "\(documents.keys.map(\.rawValue).sorted().joined(separator: " "))",
                "routes": "\(routing.current.table.routes.count)",
            ])
        for warning in routing.warnings {
            logger.warning("a rule of the gateway file may have no effect", metadata: ["rule": "\(warning)"])
        }
    }

    /// From the first replica that answers with one.
    private func fetch(_ service: ServiceName) async -> JSONValue? {
        let own = routing.current.file.upstreams[service.rawValue]?.addresses.filter { !$0.isCanary }.map { "http://\($0.authority)" } ?? []
        for address in own.isEmpty ? addresses[service] ?? [] : own {
            do {
                let response = try await client.execute(HTTPClientRequest(url: address + "/openapi.json"), timeout: Self.timeout)
                guard response.status == .ok else { continue }
                let body = try await response.body.collect(upTo: Self.maximumBytes)
                let document = try JSON.decode(JSONValue.self, from: Data(buffer: body))
                // Some servers answer everything with something.
                if case .object = document.member("paths") { return document }
            } catch {
                logger.debug("a service's document cannot be read", metadata: ["upstream": "\(service)", "reason": "\(error)"])
            }
        }
        return nil
    }

    private static func page(_ documents: [ServiceName: JSONValue], _ prefixes: RoutingTable) -> OwnPage {
        let ordered = prefixes.services.compactMap { service in documents[service].map { (service: service, document: $0) } }
        return .document((try? JSON.encode(DocumentMerge.merge(ordered, routing: prefixes, version: OpenAPI.version))) ?? Data())
    }
}
