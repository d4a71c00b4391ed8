import Contracts
import Foundation
import ServiceKit

/// Takes events and page views from those who have a token or a key of their own.
struct CollectionRoutes {
    let collector: Collector
    let senders: SenderReader

    /// Bytes of a batch: a thousand events with a few kilobytes each.
    static let maxBodyBytes = 5_000_000

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.post("events", "Report events", may: "analytics:write", maxBodyBytes: Self.maxBodyBytes, collectEvents)
            Endpoint.post("page-views", "Report page views", may: "analytics:write", maxBodyBytes: Self.maxBodyBytes, collectPageViews)
        }
    }

    /// Answers 202 once the rows are committed. All of a batch is taken or none of it; ids seen before are left as they were.
    func collectEvents(_ request: CallerRequest, _ body: OneOrMany<EventDraft>) async throws -> Accepted<Receipt> {
        try body.checkTimes(receivedAt: request.now)
        switch try await senders.read(request.http, caller: request.caller, isPage: false) {
        case .ignored(let reason): return Accepted(Collector.ignored(body.sent.items.count, reason, request.http))
        case .sender(let sender):
            return Accepted(
                try await collector.store(events: body.sent.taken(from: sender), views: [], from: sender, as: request.caller, request.http))
        }
    }

    func collectPageViews(_ request: CallerRequest, _ body: OneOrMany<PageViewDraft>) async throws -> Accepted<Receipt> {
        try body.checkTimes(receivedAt: request.now)
        switch try await senders.read(request.http, caller: request.caller, isPage: false) {
        case .ignored(let reason): return Accepted(Collector.ignored(body.sent.items.count, reason, request.http))
        case .sender(let sender):
            return Accepted(
                try await collector.store(events: [], views: body.sent.taken(from: sender), from: sender, as: request.caller, request.http))
        }
    }
}
