import Contracts
import HTTPTypes
import Hummingbird
import Logging
import Metrics
import ServiceKit

/// The organization that `X-Tenant-Slug` or the subdomain names must be the one of the token, and open.
struct TenantAgreement: Sendable {
    /// Subdomains that name no organization.
    static let ownSubdomains: Set<String> = ["www", "api", "app", "console", "docs"]
    static let maximumUserAgentLength = 512

    /// Nil where this program cannot ask users, having no service secret; then the token alone decides, as it does in the services.
    let directory: TenantDirectory?
    let reports: SecurityReports
    let logger: Logger
    private let attempts = Counter(label: "trionex_cross_tenant_attempts_total")

    init(directory: TenantDirectory?, reports: SecurityReports, logger: Logger) {
        self.directory = directory
        self.reports = reports
        self.logger = logger
    }

    /// Whoever is not signed in may name any organization, but none that is suspended or deleted. With users away, the services decide.
    func check(_ request: Request, _ domain: String?) async throws {
        guard let directory else { return }
        for slug in Self.named(header: request.headers[.tenantSlug], host: request.head.authority, domain: domain) {
            let organization: OrganizationReference?
            do { organization = try await directory.organization(slug: slug) } catch is DependencyFailure { continue }
            if let organization, !organization.isActive { throw GatewayFailure.organizationSuspended }
        }
    }

    func check(_ passage: Passage, _ caller: Caller, domain: String?, _ context: EndpointContext) async throws {
        guard let directory else { return }
        let request = passage.request
        for slug in Self.named(header: request.headers[.tenantSlug], host: request.head.authority, domain: domain) {
            let organization = try await directory.organization(slug: slug)
            guard organization?.id == caller.tenant else {
                alarm(slug, passage, caller)
                throw GatewayFailure.tenantMismatch
            }
            if organization?.isActive == false { throw GatewayFailure.organizationSuspended }
        }
    }

    /// Counted, logged, and told to the organization of whoever tried.
    private func alarm(_ slug: String, _ passage: Passage, _ caller: Caller) {
        attempts.increment()
        let named = String(slug.prefix(Slug.maximumLength))
        logger.warning(
            "an organization was named that is not the caller's",
            metadata: [
                "securityEvent": "cross-tenant-attempt", "requestId": "\(passage.requestID)", "userId": "\(caller.principalText)",
                "tenantId": "\(caller.tenant)", "namedOrganization": "\(named)",
            ])
        reports.report(
            SecurityEventReport(
                tenant: caller.tenant, actor: caller.principalText, action: SecurityEventReport.crossTenantAttempt,
                resourceType: "organization", resourceID: nil, address: passage.client.text,
                userAgent: passage.request.headers[.userAgent].map { String($0.prefix(Self.maximumUserAgentLength)) },
                requestID: passage.requestID,
                details: [
                    "named": .string(named), "method": .string(passage.request.method.rawValue),
                    "path": .string(String(passage.request.uri.path.prefix(Slug.maximumLength))),
                ]))
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
