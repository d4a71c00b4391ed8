import Contracts

/// Which program answers which paths. What is not in the table does not exist for the outside: internal calls, health, metrics.
struct RoutingTable: Sendable {
    struct Route: Sendable, Equatable {
        let prefix: [String]
        let service: ServiceName
    }

    let routes: [Route]

    init(_ table: [(ServiceName, [String])]) {
        routes = table.flatMap { service, prefixes in
            prefixes.map { Route(prefix: $0.split(separator: "/").map(String.init), service: service) }
        }
    }

    /// The platform's (API.md).
    static let platform = RoutingTable([
        (.auth, ["/api/v1/auth", "/.well-known", "/oauth2"]),
        (
            .users,
            [
                "/api/v1/users", "/api/v1/organizations", "/api/v1/invitations", "/api/v1/platform", "/api/v1/consents", "/api/v1/privacy",
                "/api/v1/audit-logs", "/api/v1/flags", "/api/v1/billing", "/ofrep", "/scim",
            ]
        ),
        (.content, ["/api/v1/content", "/api/v1/products", "/api/v1/solutions", "/api/v1/services"]),
        (.assistant, ["/api/v1/ai"]),
        (.analytics, ["/api/v1/analytics"]),
        (.notifications, ["/api/v1/notifications", "/api/v1/webhooks", "/api/v1/realtime"]),
        (.files, ["/api/v1/files"]),
        (.search, ["/api/v1/search"]),
    ])

    var services: [ServiceName] {
        routes.reduce(into: []) { if !$0.contains($1.service) { $0.append($1.service) } }
    }

    /// Prefixes match whole segments: `/api/v1/authority` is not auth's.
    func service(for segments: [String]) -> ServiceName? {
        routes.first { segments.starts(with: $0.prefix) }?.service
    }
}
