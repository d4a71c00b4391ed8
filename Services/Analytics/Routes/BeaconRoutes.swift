import Contracts
import Foundation
import ServiceKit

/// Takes what pages report by themselves, also while they are being left: `navigator.sendBeacon(url, JSON.stringify(…))`.
///
/// A beacon is a POST of `text/plain` that a browser sends without asking first (Fetch standard, "CORS-safelisted request-header") and
/// without headers of the page's, so its key is in the body. Whoever reads the page reads the key: therefore it must be good for
/// nothing but reporting.
struct BeaconRoutes {
    let collector: Collector
    let senders: SenderReader
    let keys: APIKeys
    let verifier: TokenVerifier

    /// Browsers queue 64 KiB of beacons for a page (Fetch standard, "keepalive").
    static let maxBodyBytes = 65_536
    private static let permission: Permission = "analytics:write"

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.beacon(
                "beacon", "Report from a web page, with a key that may do nothing else", .public, maxBodyBytes: Self.maxBodyBytes, take)
        }
    }

    func take(_ request: PublicRequest, _ body: Beacon) async throws -> Accepted<Receipt> {
        let caller = try await keys.exchange(body.writeKey.rawValue, with: verifier).caller
        guard caller.permissions.permissions == [Self.permission] else { throw BeaconFailure.powerfulKey }
        try ValidationFailure.check(
            times: body.events.badTimes(receivedAt: request.now, isList: true)
                + body.pageViews.badTimes(receivedAt: request.now, isList: true))
        let count = body.events.items.count + body.pageViews.items.count
        guard count > 0 else { throw ValidationFailure("/events", "missing", "there must be events or pageViews") }
        switch try await senders.read(request, caller: caller, isPage: true) {
        case .ignored(let reason): return Accepted(Collector.ignored(count, reason, request))
        case .sender(let sender):
            return Accepted(
                try await collector.store(
                    events: body.events.taken(from: sender), views: body.pageViews.taken(from: sender), from: sender, as: caller, request))
        }
    }
}

/// `{"writeKey": "trx_…", "sentAt": …, "events": […], "pageViews": […]}`.
struct Beacon: Decodable, Sendable {
    let writeKey: WriteKey
    let sentAt: Date?
    private let eventList: Batch<EventDraft>?
    private let viewList: Batch<PageViewDraft>?

    private enum CodingKeys: String, CodingKey {
        case writeKey, sentAt
        case eventList = "events"
        case viewList = "pageViews"
    }

    var events: Sent<EventDraft> { Sent(items: eventList?.items ?? [], sentAt: sentAt) }
    var pageViews: Sent<PageViewDraft> { Sent(items: viewList?.items ?? [], sentAt: sentAt) }
}

/// An API key that stands in a page.
struct WriteKey: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: 512) }

    static func check(_ text: String) throws(TextProblem) -> String {
        guard APIKeys.isKey(text) else { throw TextProblem("invalid-key", "must be an API key: trx_…") }
        return text
    }
}

enum BeaconFailure: String, Failure {
    case powerfulKey = "key-not-publishable"

    var kind: FailureKind { .forbidden }
    var detail: String? {
        "Everybody can read a key that stands in a page: make one with the permission analytics:write and no other, and revoke this one."
    }
}
