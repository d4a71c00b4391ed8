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

/// Reads every service's OpenAPI document in the background: which operations are public, and the document of the whole.
///
/// Until a service's document is known its operations are not, and the service alone decides; it checks again in any case.
final class ServiceDocuments: Service {
    static let maximumBytes = 8_388_608
    static let timeout: TimeAmount = .seconds(3)
    /// While some document is missing.
    static let eagerInterval: Duration = .seconds(1)

    private struct State {
        var indexes: [ServiceName: OperationIndex] = [:]
        var documents: [ServiceName: JSONValue] = [:]
        var answering: Set<ServiceName> = []
        var merged = Data()
    }

    private let client: HTTPClient
    private let addresses: [ServiceName: [String]]
    private let routing: RoutingTable
    private let interval: Duration
    private let logger: Logger
    private let state: Mutex<State>

    init(client: HTTPClient, addresses: [ServiceName: [String]], routing: RoutingTable, interval: Duration, logger: Logger) {
        self.client = client
        self.addresses = addresses
        self.routing = routing
        self.interval = interval
        self.logger = logger
        state = Mutex(State(merged: Self.encode([], routing)))
    }

    /// Nil while the document is not known, or the operation is not in it.
    func operation(_ service: ServiceName, method: String, path: RequestPath) -> OperationIndex.Operation? {
        state.withLock { $0.indexes[service] }?.operation(method: method, path: path)
    }

    /// The documents of all services as one, as JSON.
    var merged: Data { state.withLock { $0.merged } }

    func answers(_ service: ServiceName) -> Bool { state.withLock { $0.answering.contains(service) } }

    func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            while !Task.isCancelled {
                await refresh(routing.services)
                let next = ContinuousClock.now + interval
                // Those that are not there yet are looked for more often than those that are.
                while ContinuousClock.now < next, !Task.isCancelled {
                    let missing = routing.services.filter { !answers($0) }
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
        let changed = state.withLock { state in
            state.answering = state.answering.subtracting(services).union(found.keys)
            let changed = found.filter { state.documents[$0.key] != $0.value }
            state.documents.merge(changed) { _, new in new }
            for (service, document) in changed { state.indexes[service] = OperationIndex(document: document) }
            return changed.isEmpty ? nil : state.documents
        }
        guard let documents = changed else { return }
        let merged = Self.encode(routing.services.compactMap { service in documents[service].map { (service, $0) } }, routing)
        state.withLock { $0.merged = merged }
        logger.info("operations are known", metadata: ["services": "\(documents.keys.map(\.rawValue).sorted().joined(separator: " "))"])
    }

    /// From the first address that answers.
    private func fetch(_ service: ServiceName) async -> JSONValue? {
        for address in addresses[service] ?? [] {
            do {
                let response = try await client.execute(HTTPClientRequest(url: address + "/openapi.json"), timeout: Self.timeout)
                guard response.status == .ok else { continue }
                let body = try await response.body.collect(upTo: Self.maximumBytes)
                return try JSON.decode(JSONValue.self, from: Data(buffer: body))
            } catch {
                logger.debug("a service's document cannot be read", metadata: ["upstream": "\(service)", "reason": "\(error)"])
            }
        }
        return nil
    }

    private static func encode(_ documents: [(ServiceName, JSONValue)], _ routing: RoutingTable) -> Data {
        let merged = DocumentMerge.merge(documents.map { (service: $0.0, document: $0.1) }, routing: routing, version: OpenAPI.version)
        return (try? JSON.encode(merged)) ?? Data()
    }
}
