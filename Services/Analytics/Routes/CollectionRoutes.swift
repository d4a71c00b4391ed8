import Contracts
import Foundation
import Metrics
import Postgres
import ServiceKit

/// Takes events and page views.
struct CollectionRoutes {
    let database: Database
    let keepsNetworks: Bool

    /// Bytes of a batch: a thousand events with a few kilobytes each.
    static let maxBodyBytes = 5_000_000
    /// Longer batches do not share a pipeline with other callers' short statements.
    static let shortBatch = 20

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.post("events", "Report events", may: "analytics:write", maxBodyBytes: Self.maxBodyBytes, collectEvents)
            Endpoint.post("page-views", "Report page views", may: "analytics:write", maxBodyBytes: Self.maxBodyBytes, collectPageViews)
        }
    }

    /// Answers 202 once the rows are committed. All of a batch is taken or none of it; ids seen before are left as they were.
    func collectEvents(_ request: CallerRequest, _ body: OneOrMany<EventDraft>) async throws -> Accepted<Receipt> {
        try body.checkTimes(receivedAt: request.now)
        let insert = EventStore.insert(body.items, from: sender(of: request), for: request.caller.tenant)
        return try await collect(insert, count: body.items.count, kind: "event", request)
    }

    func collectPageViews(_ request: CallerRequest, _ body: OneOrMany<PageViewDraft>) async throws -> Accepted<Receipt> {
        try body.checkTimes(receivedAt: request.now)
        let insert = PageViewStore.insert(body.items, from: sender(of: request), for: request.caller.tenant)
        return try await collect(insert, count: body.items.count, kind: "page view", request)
    }

    private func collect(_ insert: SQL, count: Int, kind: String, _ request: CallerRequest) async throws -> Accepted<Receipt> {
        let stored = try await database.execute(insert, as: request.caller, slow: count > Self.shortBatch)
        let receipt = Receipt(accepted: stored, duplicates: count - stored)
        Counter(label: "trionex_analytics_collected_total", dimensions: [("kind", kind), ("outcome", "stored")]).increment(by: stored)
        Counter(label: "trionex_analytics_collected_total", dimensions: [("kind", kind), ("outcome", "duplicate")])
            .increment(by: receipt.duplicates)
        request.note("collected", String(stored))
        return Accepted(receipt)
    }

    private func sender(of request: CallerRequest) -> Sender {
        let person: UserID? = if case .person(let id) = request.caller.principal { id } else { nil }
        return Sender(
            person: person, userAgent: request.userAgent, network: keepsNetworks ? ClientNetwork(request.clientAddress) : nil,
            receivedAt: request.now)
    }
}

/// What became of a batch.
struct Receipt: View {
    /// Stored by this call.
    let accepted: Int
    /// Had been stored before under the same eventId; nothing was changed.
    let duplicates: Int
}
