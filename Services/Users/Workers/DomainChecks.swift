import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Looks again, once a day, whether those who showed a domain to be theirs still have its record.
struct DomainChecks: Service {
    let database: Database
    let lookup: TXTLookup
    let now: @Sendable () -> Date
    let logger: Logger

    static let pause = Duration.seconds(300)
    static let batch = 20

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                if Task.isCancelled { return }
                do {
                    try await checkSome()
                } catch {
                    logger.warning("verified domains could not be looked at", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    func checkSome() async throws {
        let before = now().addingTimeInterval(-DomainClaim.recheckEvery)
        let due = try await database.platform(PlatformWork("verified domains to look at")) { tx in
            try tx.query(PlatformOrganizationStore.domainsToCheck(before: before, limit: Self.batch))
        }
        for id in due { try await check(id) }
    }

    /// A name server that does not answer says nothing about the record: that is no miss.
    private func check(_ id: TenantID) async throws {
        let caller = Caller.service(.users, for: id)
        guard let claim = try await database.first(OrganizationStore.find(id), as: caller)?.claim else { return }
        let records = try await lookup.records(claim.recordName)
        try await database.transaction(as: caller) { tx in
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            guard organization.claim?.domain == claim.domain else { return }
            let (outcome, updated) = organization.check(records, at: tx.now)
            try organizations.save(organization)
            guard let updated else { return }
            try Outbox(tx).append(updated)
            try Audit(tx).record(
                "users.organization.\(outcome == .lost ? "lose-domain" : "verify-domain")", "organization", id.description, risk: "medium",
                changed: ["domain": .string(claim.domain.rawValue)])
        }
    }
}
