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
/// stays known while a service is away, and a service without a document, such as any HTTP server, is left to itself.
final class ServiceDocuments: Service {
    static let maximumBytes = 8_388_608
    static let timeout: TimeAmount = .seconds(3)

    /// What asking for a document comes to.
    private enum Answer: Sendable {
        case document(JSONValue)
        /// The server is there, and has none.
        case none
        case away
    }

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
            var schedule = DocumentSchedule(prefixes.services, interval: interval, now: .now)
            while !Task.isCancelled {
                let due = schedule.due(.now)
                let there = await refresh(due)
                schedule.asked(due, there: there, now: .now)
                try? await Task.sleep(until: schedule.next)
            }
        }
    }

    /// The services that have answered, with a document or without.
    private func refresh(_ services: [ServiceName]) async -> Set<ServiceName> {
        let answers = await withTaskGroup(of: (ServiceName, Answer).self) { group in
            for service in services { group.addTask { [self] in (service, await fetch(service)) } }
            return await group.reduce(into: [ServiceName: Answer]()) { $0[$1.0] = $1.1 }
        }
        var found: [ServiceName: JSONValue] = [:], there: Set<ServiceName> = []
        for (service, answer) in answers {
            switch answer {
            case .document(let document):
                found[service] = document
                there.insert(service)
            case .none: there.insert(service)
            case .away: break
            }
        }
        use(found, of: services)
        return there
    }

    private func use(_ found: [ServiceName: JSONValue], of services: [ServiceName]) {
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
    private func fetch(_ service: ServiceName) async -> Answer {
        let own = routing.current.file.upstreams[service.rawValue]?.addresses.filter { !$0.isCanary }.map { "http://\($0.authority)" } ?? []
        var answer = Answer.away
        for address in own.isEmpty ? addresses[service] ?? [] : own {
            do {
                let response = try await client.execute(HTTPClientRequest(url: address + "/openapi.json"), timeout: Self.timeout)
                guard response.status == .ok else {
                    // A proxy says 502 or 503 for a server that is away.
                    if response.status.code < 500 { answer = .none }
                    continue
                }
                let body = try await response.body.collect(upTo: Self.maximumBytes)
                answer = .none
                let document = try JSON.decode(JSONValue.self, from: Data(buffer: body))
                // Some servers answer everything with something.
                if case .object = document.member("paths") { return .document(document) }
            } catch {
                logger.debug("a service's document cannot be read", metadata: ["upstream": "\(service)", "reason": "\(error)"])
            }
        }
        return answer
    }

    private static func page(_ documents: [ServiceName: JSONValue], _ prefixes: RoutingTable) -> OwnPage {
        let ordered = prefixes.services.compactMap { service in documents[service].map { (service: service, document: $0) } }
        return .document((try? JSON.encode(DocumentMerge.merge(ordered, routing: prefixes, version: OpenAPI.version))) ?? Data())
    }
}
