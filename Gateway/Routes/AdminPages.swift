import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOFoundationCompat
import ServiceKit

/// What operators see and do on the admin listener, which is never reached from outside: routes, upstreams, limits, caches, the file.
///
/// What changes something wants `X-Trionex-Admin: 1`, which no page of another origin can send without being asked for it first.
struct AdminPages: Sendable {
    static let maximumBody = 65_536

    let routing: RoutingState
    let watch: GatewayFileWatch
    let sources: AdminSources
    let logger: Logger

    func add(to router: Router<EndpointContext>) {
        router.get("admin") { request, _ in AdminHTML.response(self, refreshes: request.uri.queryParameters["refresh"] != "off") }
        router.get("admin/routes") { _, _ in try Self.json(RouteView.all(routing.current.table)) }
        router.get("admin/upstreams") { _, _ in try Self.json(sources.upstreams()) }
        router.get("admin/limits") { _, _ in
            try Self.json(LimitsView(limits: LimitView.all(routing.current.file), figures: Self.object(sources.limits())))
        }
        router.get("admin/cache") { _, _ in try Self.json(Self.object(sources.cache())) }
        router.get("admin/connections") { _, _ in try Self.json(Self.object(sources.connections())) }
        router.get("admin/config") { _, _ in try Self.json(ConfigView(watch.status, routing.current)) }
        router.post("admin/reload") { request, _ in try await changing(request) { _ in reload() } }
        router.post("admin/cache/purge") { request, _ in try await changing(request, purge) }
        router.post("admin/maintenance") { request, _ in try await changing(request, maintain) }
    }

    private struct LimitsView: Encodable {
        let limits: [LimitView]
        let figures: [String: Int]
    }

    private struct Said: Encodable {
        let error: String
    }

    /// What an order lacks, in a sentence.
    private struct BadOrder: Error {
        let reason: String
    }

    private static func object(_ figures: AdminSources.Figures) -> [String: Int] {
        Dictionary(figures.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    }

    private static func json(_ value: some Encodable, _ status: HTTPResponse.Status = .ok) throws -> Response {
        Response(
            status: status, headers: [.contentType: "application/json", .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: .init(byteBuffer: ByteBuffer(bytes: try JSON.encode(value))))
    }

    private func changing(_ request: Request, _ act: @Sendable (JSONValue) async throws -> Response) async throws -> Response {
        guard request.headers[.trionexAdmin] == "1" else {
            return try Self.json(Said(error: "send X-Trionex-Admin: 1 with what changes something"), .forbidden)
        }
        // No page of ours changes anything: a browser's order is somebody else's, whatever name they gave to this address.
        guard request.headers[.origin] == nil else {
            return try Self.json(Said(error: "orders are not taken from web pages; use curl"), .forbidden)
        }
        do {
            let body = try await request.body.collect(upTo: Self.maximumBody)
            let order = body.readableBytes == 0 ? JSONValue.object([:]) : try? JSON.decode(JSONValue.self, from: Data(buffer: body))
            guard let order, case .object = order else { throw BadOrder(reason: "the body is a JSON object, or nothing") }
            return try await act(order)
        } catch let error as BadOrder {
            return try Self.json(Said(error: error.reason), .badRequest)
        } catch is NIOTooManyBytesError {
            return try Self.json(Said(error: "the body is longer than \(Self.maximumBody) bytes"), .contentTooLarge)
        }
    }

    private func reload() -> Response {
        let status = watch.reload()
        return (try? Self.json(status, status.faults.isEmpty ? .ok : .unprocessableContent)) ?? Response(status: .internalServerError)
    }

    /// `{"tenant": "…", "services": ["content"]}`; without a tenant everything.
    @Sendable private func purge(_ order: JSONValue) async throws -> Response {
        try Self.expect(["tenant", "services"], order)
        let tenant = try Self.text("tenant", order), services = try services(order)
        guard tenant != nil || services.isEmpty else { throw BadOrder(reason: "name the tenant whose answers of these services are to go") }
        await sources.purge(tenant, services)
        logger.notice("the cache was purged by an operator", metadata: ["tenantId": "\(tenant ?? "all")"])
        return try Self.json(Self.object(sources.cache()))
    }

    /// `{"all": true}`, `{"services": ["content"], "retryAfter": 300, "message": "…", "allow": ["10.0.0.0/8"]}`; `{"off": true}` opens
    /// everything, `{"file": true}` leaves it to the file again.
    @Sendable private func maintain(_ order: JSONValue) async throws -> Response {
        try Self.expect(["all", "services", "retryAfter", "message", "allow", "off", "file"], order)
        var maintenance = Maintenance()
        let isOff = try Self.flag("off", order), isFile = try Self.flag("file", order)
        if isOff || isFile {
            guard order.members.count == 1 else { throw BadOrder(reason: "off and file stand alone") }
            routing.use(isFile ? nil : maintenance)
        } else {
            maintenance.isWhole = try Self.flag("all", order)
            maintenance.services = Set(try services(order))
            guard !maintenance.isOff else { throw BadOrder(reason: "say what to close: {\"all\": true}, or {\"services\": [\"content\"]}") }
            switch order.member("retryAfter") {
            case .null: break
            case .integer(let seconds) where (1...86_400).contains(seconds): maintenance.retryAfter = seconds
            default: throw BadOrder(reason: "retryAfter is a number of seconds from 1 to 86400")
            }
            maintenance.message = try Self.text("message", order) ?? maintenance.message
            guard maintenance.message.utf8.count <= 500 else { throw BadOrder(reason: "the message has more than 500 bytes") }
            maintenance.allowed = NetworkSet(
                try Self.texts("allow", order).map { text in
                    guard let network = Network(text) else {
                        throw BadOrder(reason: "\"\(text)\" is no address or network such as 10.0.0.0/8")
                    }
                    return network
                })
            routing.use(maintenance)
        }
        let view = MaintenanceView(routing.current.file.maintenance)
        logger.notice(
            "maintenance was switched by an operator",
            metadata: ["all": "\(view.all)", "services": "\(view.services.joined(separator: " "))"])
        return try Self.json(view)
    }

    private func services(_ order: JSONValue) throws -> [ServiceName] {
        try Self.texts("services", order).map { name in
            guard routing.defaults.services.contains(where: { $0.rawValue == name }) || routing.current.file.upstreams[name] != nil else {
                throw BadOrder(reason: "there is no service \"\(name)\"")
            }
            return ServiceName(rawValue: name)
        }
    }

    private static func expect(_ keys: Set<String>, _ order: JSONValue) throws {
        for key in order.members.keys where !keys.contains(key) {
            throw BadOrder(reason: "there is no \"\(key)\" here; there is \(keys.sorted().joined(separator: ", "))")
        }
    }

    private static func flag(_ name: String, _ order: JSONValue) throws -> Bool {
        switch order.member(name) {
        case .null: return false
        case .bool(let value): return value
        default: throw BadOrder(reason: "\(name) is true or false")
        }
    }

    private static func text(_ name: String, _ order: JSONValue) throws -> String? {
        switch order.member(name) {
        case .null: return nil
        case .string(let text) where !text.isEmpty: return text
        default: throw BadOrder(reason: "\(name) is a text")
        }
    }

    private static func texts(_ name: String, _ order: JSONValue) throws -> [String] {
        guard case .array(let values) = order.member(name) else {
            if order.member(name) == .null { return [] }
            throw BadOrder(reason: "\(name) is a list of texts")
        }
        return try values.map { value in
            guard case .string(let text) = value else { throw BadOrder(reason: "\(name) is a list of texts") }
            return text
        }
    }
}

extension HTTPField.Name {
    static let trionexAdmin = HTTPField.Name("X-Trionex-Admin")!
}
