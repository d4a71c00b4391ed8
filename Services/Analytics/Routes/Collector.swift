import Contracts
import Foundation
import Messaging
import Metrics
import Postgres
import ServiceKit

/// Stores what was reported, and announces it where that is asked for.
struct Collector: Sendable {
    let database: Database
    let announces: Bool

    /// Longer batches do not share a pipeline with other callers' short statements.
    static let shortBatch = 20

    /// Returns once everything is committed, or throws and nothing is.
    func store(
        events: [Taken<EventDraft>], views: [Taken<PageViewDraft>], from sender: Sender, as caller: Caller, _ request: PublicRequest
    ) async throws -> Receipt {
        let (events, duplicateEvents) = events.withoutRepetitions()
        let (views, duplicateViews) = views.withoutRepetitions()
        let stored = try await write(events, views, sender, caller)
        Self.count("event", stored: stored.events, duplicates: duplicateEvents + events.count - stored.events)
        Self.count("page view", stored: stored.views, duplicates: duplicateViews + views.count - stored.views)
        let accepted = stored.events + stored.views
        request.note("collected", String(accepted))
        return Receipt(
            accepted: accepted, duplicates: events.count + views.count + duplicateEvents + duplicateViews - accepted, ignored: 0)
    }

    /// Nothing of it is kept, by a setting; that is no failure of the caller's.
    static func ignored(_ count: Int, _ reason: SenderReader.Ignored, _ request: PublicRequest) -> Receipt {
        Counter(label: "trionex_analytics_collected_total", dimensions: [("kind", "any"), ("outcome", reason.rawValue)]).increment(
            by: count)
        request.note("ignored", reason.rawValue)
        return Receipt(accepted: 0, duplicates: 0, ignored: count)
    }

    private func write(
        _ events: [Taken<EventDraft>], _ views: [Taken<PageViewDraft>], _ sender: Sender, _ caller: Caller
    ) async throws -> (events: Int, views: Int) {
        let tenant = caller.tenant
        if !announces {
            // One kind is one statement, which is its own transaction and shares a round trip with other callers'.
            if views.isEmpty, !events.isEmpty {
                let insert = try EventStore.insert(events, from: sender, for: tenant)
                return (try await database.execute(insert, as: caller, slow: events.count > Self.shortBatch), 0)
            }
            if events.isEmpty, !views.isEmpty {
                let insert = PageViewStore.insert(views, from: sender, for: tenant)
                return (0, try await database.execute(insert, as: caller, slow: views.count > Self.shortBatch))
            }
        }
        let announces = announces && !sender.isBot
        let (storedEvents, storedViews) = try await database.transaction(as: caller) { tx in
            let storedEvents =
                try events.isEmpty ? [] : tx.query(EventStore.stored(try EventStore.insert(events, from: sender, for: tenant)))
            let storedViews =
                try views.isEmpty ? [] : tx.query(PageViewStore.stored(PageViewStore.insert(views, from: sender, for: tenant)))
            if announces {
                try Outbox(tx).append(
                    Announcement.events(events, storedEvents) + Announcement.views(views, storedViews))
            }
            return (storedEvents.count, storedViews.count)
        }
        return (storedEvents, storedViews)
    }

    private static func count(_ kind: String, stored: Int, duplicates: Int) {
        let label = "trionex_analytics_collected_total"
        if stored > 0 { Counter(label: label, dimensions: [("kind", kind), ("outcome", "stored")]).increment(by: stored) }
        if duplicates > 0 { Counter(label: label, dimensions: [("kind", kind), ("outcome", "duplicate")]).increment(by: duplicates) }
    }
}

extension Array {
    /// An id counts once within a call too.
    fileprivate func withoutRepetitions<Draft>() -> (items: Self, repeated: Int) where Element == Taken<Draft> {
        var seen: Set<EventID> = []
        let items = filter { seen.insert($0.occurrence.id).inserted }
        return (items, count - items.count)
    }
}

/// The events of `trionex.analytics.ingest` for rows that were stored: as the rows are, so that what was left out of them is left out here.
enum Announcement {
    static func events(_ taken: [Taken<EventDraft>], _ stored: [EventStore.Stored]) throws -> [any Event] {
        let rows = Dictionary(uniqueKeysWithValues: stored.map { ($0.id, $0) })
        return taken.compactMap { item in
            guard let row = rows[item.occurrence.id] else { return nil }
            let occurrence = item.occurrence
            return EventCollected(
                eventID: occurrence.id, eventName: item.draft.eventName.rawValue, eventCategory: item.draft.eventCategory?.rawValue,
                eventProperties: row.properties, url: row.url, referrer: row.referrer,
                sessionKey: row.sessionKey, userID: row.userID, userAgent: row.userAgent, occurredAt: occurrence.occurredAt)
        }
    }

    static func views(_ taken: [Taken<PageViewDraft>], _ stored: [EventStore.Stored]) -> [any Event] {
        let rows = Dictionary(uniqueKeysWithValues: stored.map { ($0.id, $0) })
        return taken.compactMap { item in
            guard let row = rows[item.occurrence.id] else { return nil }
            let occurrence = item.occurrence
            return PageViewed(
                eventID: occurrence.id, url: row.url ?? "/", referrer: row.referrer, sessionKey: row.sessionKey,
                userID: row.userID, userAgent: row.userAgent, durationSeconds: item.draft.durationSeconds?.value,
                occurredAt: occurrence.occurredAt)
        }
    }
}

/// What became of a batch.
struct Receipt: View {
    /// Stored by this call.
    let accepted: Int
    /// Had been stored before under the same eventId; nothing was changed.
    let duplicates: Int
    /// Not kept, by a setting of the operator: a bot's, or of somebody who does not want to be followed.
    let ignored: Int
}
