import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Renewing the index, while searches go on: from the texts that are kept, or from the events published again.
struct ReindexRoutes: Sendable {
    let database: Database
    let worker: ReindexWorker
    /// The consumer group that indexes.
    let group: String

    var endpoints: Endpoints {
        Endpoints("search/reindex") {
            Endpoint.post("", "Derive the index anew", may: "search:admin", start)
            Endpoint.post("from-events", "Begin to build the index anew from events published again", may: "search:admin", startFromEvents)
            Endpoint.post("finish", "Hide what no event has told of, and end the rebuild", may: "search:admin", finish)
            Endpoint.post("cancel", "End the rebuild and leave everything as it is", may: "search:admin", cancel)
            Endpoint.get("", "See how far the last reindexing is", may: "search:admin", read)
        }
    }

    /// While a run is under way, asking again answers with that one.
    func start(_ request: CallerRequest) async throws -> Accepted<ReindexView> {
        let run = try await begin(.texts, "search.index.reindex", request)
        worker.wake()
        return Accepted(ReindexView(run))
    }

    /// From here on this organization's events count again, though they were handled before. While a run is under way, asking again answers
    /// with that one.
    ///
    /// What was handled is forgotten before the run begins, in transactions that are each short: when that fails, nothing is under way, and
    /// whoever asks again goes on with it. Events that come meanwhile count as told of since the run began.
    func startFromEvents(_ request: CallerRequest) async throws -> Accepted<ReindexView> {
        let (last, now) = try await database.transaction(as: request.caller) { tx in (try tx.first(ReindexStore.latest), tx.now) }
        if let last, last.finishedAt == nil { return Accepted(ReindexView(last)) }
        _ = try await StartingOver.forget(consumer: group, of: request.caller.tenant, in: database)
        return Accepted(ReindexView(try await begin(.events, "search.index.rebuild", request, since: now)))
    }

    /// Refused while it would hide another number of documents than the body says.
    func finish(_ request: CallerRequest, _ body: FinishBody) async throws -> ReindexView {
        try await end(request, "search.index.rebuild-finish") { run, confirmed, untold, tx in
            try run.finish(confirmed: confirmed, hides: untold, agreed: body.hides, at: tx.now)
            try DocumentStore(tx).hideUntold(since: run.startedAt)
        }
    }

    func cancel(_ request: CallerRequest) async throws -> ReindexView {
        try await end(request, "search.index.rebuild-cancel") { run, confirmed, _, tx in try run.cancel(confirmed: confirmed, at: tx.now) }
    }

    func read(_ request: CallerRequest) async throws -> ReindexView {
        guard let run = try await database.first(ReindexStore.latest, as: request.caller) else { throw ResourceFailure.notFound }
        guard run.source == .events, run.finishedAt == nil else { return ReindexView(run) }
        let progress = try await database.first(DocumentStore.progress(since: run.startedAt), as: request.caller, slow: true)
        return ReindexView(run, done: progress?.confirmed, hides: progress?.untold)
    }

    private func begin(
        _ source: ReindexRun.Source, _ action: String, _ request: CallerRequest, since start: Date? = nil
    ) async throws -> ReindexRun {
        try await database.transaction(as: request.caller) { tx in
            let run = ReindexRun.start(.make(at: tx.now), from: source, total: try DocumentStore(tx).count(), at: start ?? tx.now)
            guard try ReindexStore(tx).insert(run) else { return try tx.first(ReindexStore.latest) ?? run }
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record(action, "index", run.id.description)
            return run
        }
    }

    private func end(
        _ request: CallerRequest, _ action: String, _ body: @escaping @Sendable (inout ReindexRun, Int, Int, Transaction) throws -> Void
    ) async throws -> ReindexView {
        try await database.transaction(as: request.caller) { tx in
            let runs = ReindexStore(tx)
            guard var run = try runs.lock(.events) else { throw ReindexFailure.notWaiting }
            let (confirmed, untold) = try tx.first(DocumentStore.progress(since: run.startedAt)) ?? (0, 0)
            try body(&run, confirmed, untold, tx)
            try runs.save(run)
            try Audit(tx, address: request.clientAddress, userAgent: request.userAgent, requestID: request.requestID)
                .record(action, "index", run.id.description)
            return ReindexView(run)
        }
    }
}

struct FinishBody: Decodable, Sendable {
    /// How many documents will be hidden, as `GET search/reindex` says; left out: none.
    let hides: Int?
}
