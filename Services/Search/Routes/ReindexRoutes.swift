import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Deriving the index anew, while searches go on.
struct ReindexRoutes: Sendable {
    let database: Database
    let worker: ReindexWorker

    var endpoints: Endpoints {
        Endpoints("search/reindex") {
            Endpoint.post("", "Derive the index anew", may: "search:admin", start)
            Endpoint.get("", "See how far the last reindexing is", may: "search:admin", read)
        }
    }

    /// While a run is under way, asking again answers with that one.
    func start(_ request: CallerRequest) async throws -> Accepted<ReindexView> {
        let run = try await database.transaction(as: request.caller) { tx in
            let run = ReindexRun.start(.make(at: tx.now), total: try DocumentStore(tx).count(), at: tx.now)
            guard try ReindexStore(tx).insert(run) else { return try tx.first(ReindexStore.latest) ?? run }
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record("search.index.reindex", "index", run.id.description)
            return run
        }
        worker.wake()
        return Accepted(ReindexView(run))
    }

    func read(_ request: CallerRequest) async throws -> ReindexView {
        guard let run = try await database.first(ReindexStore.latest, as: request.caller) else { throw ResourceFailure.notFound }
        return ReindexView(run)
    }
}
