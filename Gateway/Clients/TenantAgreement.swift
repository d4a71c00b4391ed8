import Contracts
import Logging
import Metrics
import ServiceKit

/// The organization that `X-Tenant-Slug` or the subdomain names must be the one of the token, and open.
struct TenantAgreement: Sendable {
    /// Subdomains that name no organization.
    static let ownSubdomains: Set<String> = ["www", "api", "app", "console", "docs"]
    static let maximumUserAgentLength = 512

    /// What is told of an attempt to name another organization.
    struct Attempt: Sendable {
        let address: String
        let userAgent: String?
        let requestID: String
        let method: String
        let path: String
    }

    /// What naming an organization comes to.
    enum Outcome: Sendable, Equatable {
        case agreed
        case suspended
        case mismatch(named: String)
        /// Users cannot be asked.
        case unknown
    }

    let directory: TenantDirectory
    let reports: SecurityReports
    let logger: Logger
    private let attempts = Counter(label: "trionex_cross_tenant_attempts_total")

    init(directory: TenantDirectory, reports: SecurityReports, logger: Logger) {
        self.directory = directory
        self.reports = reports
        self.logger = logger
    }

    /// What is known already of all that is named; nil where users must be asked.
    func known(_ named: [String], _ caller: Caller?) -> Outcome? {
        for slug in named {
            guard let organization = directory.known(slug: slug) else { return nil }
            let outcome = Self.outcome(organization, slug, caller)
            if outcome != .agreed { return outcome }
        }
        return .agreed
    }

    func outcome(_ named: [String], _ caller: Caller?) async -> Outcome {
        for slug in named {
            do {
                let outcome = Self.outcome(try await directory.organization(slug: slug), slug, caller)
                if outcome != .agreed { return outcome }
            } catch {
                // With users away, whoever is not signed in is left to the services.
                if caller != nil { return .unknown }
            }
        }
        return .agreed
    }

    /// Whoever is not signed in may name any organization, but none that is suspended or deleted.
    private static func outcome(_ organization: OrganizationReference?, _ slug: String, _ caller: Caller?) -> Outcome {
        if let caller, organization?.id != caller.tenant { return .mismatch(named: String(slug.prefix(Slug.maximumLength))) }
        return organization?.isActive == false ? .suspended : .agreed
    }

    /// The refusal that an outcome calls for; a mismatch is counted, logged, and told to the organization of whoever tried.
    func refusal(_ outcome: Outcome, _ attempt: Attempt, _ caller: Caller?) -> (any Failure)? {
        switch outcome {
        case .agreed: return nil
        case .suspended: return GatewayFailure.organizationSuspended
        case .unknown: return DependencyFailure("users", reason: "organizations cannot be asked for")
        case .mismatch(let named):
            if let caller { alarm(named, attempt, caller) }
            return GatewayFailure.tenantMismatch
        }
    }

    private func alarm(_ named: String, _ attempt: Attempt, _ caller: Caller) {
        attempts.increment()
        logger.warning(
            "an organization was named that is not the caller's",
            metadata: [
                "securityEvent": "cross-tenant-attempt", "requestId": "\(attempt.requestID)", "userId": "\(caller.principalText)",
                "tenantId": "\(caller.tenant)", "namedOrganization": "\(named)",
            ])
        reports.report(
            SecurityEventReport(
                tenant: caller.tenant, actor: caller.principalText, action: SecurityEventReport.crossTenantAttempt,
                resourceType: "organization", resourceID: nil, address: attempt.address,
                userAgent: attempt.userAgent.map { String($0.prefix(Self.maximumUserAgentLength)) }, requestID: attempt.requestID,
                details: [
                    "named": .string(named), "method": .string(attempt.method),
                    "path": .string(String(attempt.path.prefix(Slug.maximumLength))),
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
