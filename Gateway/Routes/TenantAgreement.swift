import Contracts
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import ServiceKit

/// The organization that `X-Tenant-Slug` or the subdomain names must be the one of the token.
struct TenantAgreement: Sendable {
    /// Subdomains that name no organization.
    static let ownSubdomains: Set<String> = ["www", "api", "app", "console", "docs"]

    /// Nil where this program cannot ask users, having no service secret; then the token alone decides, as it does in the services.
    let directory: TenantDirectory?
    let logger: Logger
    private let attempts = Counter(label: "trionex_cross_tenant_attempts_total")

    init(directory: TenantDirectory?, logger: Logger) {
        self.directory = directory
        self.logger = logger
    }

    func check(_ request: Request, _ caller: Caller, domain: String?, _ context: EndpointContext) async throws {
        guard let directory else { return }
        for slug in Self.named(header: request.headers[.tenantSlug], host: request.head.authority, domain: domain) {
            guard try await directory.tenant(slug: slug) != caller.tenant else { continue }
            attempts.increment()
            logger.warning(
                "an organization was named that is not the caller's",
                metadata: [
                    "securityEvent": "cross-tenant-attempt", "requestId": "\(context.requestID)", "userId": "\(caller.principalText)",
                    "tenantId": "\(caller.tenant)", "namedOrganization": "\(slug.prefix(Slug.maximumLength))",
                ])
            throw GatewayFailure.tenantMismatch
        }
    }

    /// What names an organization in a request: the header, and the label before the public domain.
    static func named(header: String?, host: String?, domain: String?) -> [String] {
        var slugs = header.map { [$0] } ?? []
        if let domain, let name = host?.split(separator: ":").first?.lowercased(), name.hasSuffix("." + domain) {
            let label = String(name.dropLast(domain.count + 1))
            if !ownSubdomains.contains(label) { slugs.append(label) }
        }
        return slugs
    }
}
