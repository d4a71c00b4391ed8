import Contracts
import Foundation
import Hummingbird
import NIOCore
import ServiceKit
import Synchronization

/// A program made for these tests: every kind of endpoint, on the schema of content.
enum Workshop: Program {
    static let name = ServiceName.content
    static let port = 0
    static let summary = "Endpoints of every kind."

    static let calls = Mutex<[String: Int]>([:])
    /// What the fifth kind of handler throws: an error nobody expected.
    struct Surprise: Error {
        let secret = "do not show"
    }

    enum Colour: String, Codable, Sendable, CaseIterable { case red, green }

    struct Part: Codable, Sendable {
        let name: Name
        let amount: Int
    }

    struct Order: Codable, Sendable {
        let email: EmailAddress
        let title: Title
        let colour: Colour
        let count: Int
        let parts: [Part]
        let due: Date?
        let note: ShortText?
    }

    struct OrderView: View, Equatable {
        let id: String
        let email: String
        let calls: Int
        let version: Int
        var entityTag: EntityTag? { EntityTag(version: version) }
    }

    struct Filter: Codable, Sendable {
        let limit: PageLimit?
        let colour: Colour?
        let tags: [String]?
        let open: Bool?
    }

    struct FilterView: View {
        let limit: Int
        let colour: String?
        let tags: [String]
        let open: Bool?
    }

    struct Patch: Codable, Sendable {
        let title: Change<Title>
        let note: Change<ShortText>
        let colour: Change<Colour>
        let due: Change<Date>
        let part: Change<Part>
    }

    struct PatchView: View {
        let title: String
        let note: String
        let colour: String
        let due: String
    }

    struct Number: Codable, Sendable, Equatable {
        let number: Int
    }

    struct Cut: Codable, Sendable {
        let cursor: Cursor?
        let limit: PageLimit?
    }

    static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        Assembly(endpoints: [
            Endpoints("workshop") {
                Endpoint.post("orders", "Place an order", may: "orders:write", place)
                Endpoint.get("orders/:id", "Read an order", may: "orders:read", read)
                Endpoint.get("filter", "Filter", may: "orders:read", filter)
                Endpoint.patch("orders/:id", "Change an order", may: "orders:write", patch)
                Endpoint.get("open", "For anybody", .public, open)
                Endpoint.get("surprise", "Fails unexpectedly", may: .signedIn, surprise)
                Endpoint.get("numbers", "A long list", may: .signedIn, numbers)
                Endpoint.upload(.post, "things", "Take any bytes", may: .signedIn, maxBodyBytes: 1_000_000, upload)
                Endpoint.delete("everything", "What cannot be undone", may: .recently("orders:delete"), undo)
                Endpoint.get("platform", "For the platform's administrators", may: .superadmin, platform)
                Endpoint.get("own", "For whoever holds the permission, person or not", may: "orders:read", own)
                Endpoint.form("form", "A form", .public, form)
                Endpoint.form("open-form", "A form that may have more in it", .public, openForm)
                Endpoint.get("page", "A page", .public, page)
                Endpoint.post("fail", "Refuses after counting", may: .signedIn, fail)
            },
            Endpoints("/internal/v1/workshop") {
                Endpoint.get("secret", "For the platform's programs", may: .service, internalOnly)
            },
        ])
    }

    static func place(_ request: CallerRequest, _ order: Order) async throws -> Created<OrderView> {
        let count = calls.withLock { calls in
            calls[order.email.rawValue, default: 0] += 1
            return calls[order.email.rawValue] ?? 0
        }
        request.note("colour", order.colour.rawValue)
        return Created(OrderView(id: "1", email: order.email.rawValue, calls: count, version: 1), at: "/api/v1/workshop/orders/1")
    }

    static func read(_ request: CallerRequest) async throws -> OrderView {
        let id: ArticleID = try request.path("id")
        return OrderView(id: id.description, email: "a@example.org", calls: 0, version: 7)
    }

    static func filter(_ request: CallerRequest, _ filter: Filter) async throws -> FilterView {
        FilterView(limit: (filter.limit ?? .standard).value, colour: filter.colour?.rawValue, tags: filter.tags ?? [], open: filter.open)
    }

    static func patch(_ request: CallerRequest, _ patch: Patch) async throws -> PatchView {
        try request.requireMatch(EntityTag(version: 7))
        func describe<T>(_ change: Change<T>) -> String {
            switch change {
            case .keep: "keep"
            case .clear: "clear"
            case .set(let value): "set \(value)"
            }
        }
        return PatchView(
            title: describe(patch.title), note: describe(patch.note), colour: describe(patch.colour),
            due: patch.due.applied(to: nil).map(Timestamp.text) ?? "none")
    }

    static func open(_ request: PublicRequest) async throws -> OrderView {
        OrderView(id: "open", email: "", calls: 0, version: 1)
    }

    static func surprise(_ request: CallerRequest) async throws -> NoContent { throw Surprise() }
    static func internalOnly(_ request: CallerRequest) async throws -> NoContent { NoContent() }

    static func numbers(_ request: CallerRequest, _ cut: Cut) async throws -> Page<Number> {
        let limit = cut.limit ?? .standard
        let after = cut.cursor.flatMap { $0.keys.first.flatMap { Int($0) } } ?? 0
        let rows = (after + 1...after + limit.value + 1).filter { $0 <= 25 }.map { Number(number: $0) }
        return Page(rows, limit: limit) { Cursor([String($0.number)]) }
    }

    static func upload(_ request: CallerRequest) async throws -> Created<OrderView> {
        var count = 0
        for try await chunk in request.body { count += chunk.readableBytes }
        return Created(OrderView(id: "thing", email: "", calls: count, version: 1), at: "/api/v1/workshop/things/thing")
    }

    static func undo(_ request: CallerRequest) async throws -> NoContent { NoContent() }
    static func platform(_ request: CallerRequest) async throws -> NoContent { NoContent() }

    static func own(_ request: CallerRequest) async throws -> OrderView {
        OrderView(id: request.caller.principalText, email: request.caller.impersonator?.description ?? "", calls: 0, version: 1)
    }

    struct Form: Codable, Sendable {
        let name: String
        let age: Int?
    }

    struct OpenForm: Codable, Sendable, OpenFields {
        let name: String
    }

    struct FormView: View {
        let name: String
    }

    static func form(_ request: PublicRequest, _ form: Form) async throws -> FormView { FormView(name: "\(form.name) \(form.age ?? 0)") }
    static func openForm(_ request: PublicRequest, _ form: OpenForm) async throws -> FormView { FormView(name: form.name) }

    static func page(_ request: PublicRequest) async throws -> HTMLPage {
        HTMLPage("<p>\(HTMLPage.escape("<script>'\"&"))</p>")
    }

    static func fail(_ request: CallerRequest) async throws -> NoContent {
        let user = try request.user().description
        calls.withLock { $0[user, default: 0] += 1 }
        throw ResourceFailure.notFound
    }
}
