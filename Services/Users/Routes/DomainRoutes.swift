import Contracts
import Crypto
import Foundation
import Messaging
import Postgres
import ServiceKit

/// The domain of an organization: named, shown to be theirs by a TXT record, given up.
struct DomainRoutes {
    let database: Database
    let lookup: TXTLookup

    private static let writing: Permission = "organizations:write"

    var endpoints: Endpoints {
        Endpoints("organizations/:id/domain") {
            Endpoint.get("", "Read the domain, and the record that shows it to be yours", may: "organizations:read", read)
            Endpoint.put("", "Name the domain", may: "organizations:write", claim)
            Endpoint.post("verify", "Look for the record", may: "organizations:write", verify)
            Endpoint.delete("", "Give the domain up", may: "organizations:write", drop)
        }
    }

    struct DomainBody: Decodable, Sendable {
        let domain: DomainName
    }

    func read(_ request: CallerRequest) async throws -> DomainView {
        let id = try request.requireOwnOrganization()
        guard let claim = try await database.first(OrganizationStore.find(id), as: request.caller)?.claim else { throw DomainFailure.none }
        return DomainView(claim)
    }

    /// Says nothing of whether another organization has it: that comes out when the record is there.
    func claim(_ request: CallerRequest, _ body: DomainBody) async throws -> DomainView {
        try await change(request, "users.organization.claim-domain") { organization, now in
            let challenge = SymmetricKey(size: .bits192).withUnsafeBytes { Base64URL.encode(Data($0)) }
            return organization.claim(body.domain, challenge: challenge, at: now)
        }
    }

    /// 409 `domain-not-verified` when the record is not there, `domain-taken` when another organization was first.
    func verify(_ request: CallerRequest) async throws -> DomainView {
        let id = try request.requireOwnOrganization()
        guard let claim = try await database.first(OrganizationStore.find(id), as: request.caller)?.claim else { throw DomainFailure.none }
        if let wait = claim.waits(at: request.now) { throw DomainFailure.tooSoon(wait) }
        let records = try await lookup.records(claim.recordName)
        let (view, outcome) = try await database.transaction(as: request.caller) { tx in
            _ = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            guard let current = organization.claim, current.domain == claim.domain, current.challenge == claim.challenge else {
                throw ResourceFailure.stale
            }
            let (outcome, updated) = organization.check(records, at: tx.now)
            try organizations.save(organization)
            if let updated {
                try Outbox(tx).append(updated)
                try Audit(tx, request.http).record(
                    "users.organization.\(outcome == .lost ? "lose-domain" : "verify-domain")", "organization", id.description,
                    risk: "medium", changed: ["domain": .string(claim.domain.rawValue)])
            }
            return (organization.claim.map { DomainView($0) }, outcome)
        }
        guard let view, outcome == .verified || outcome == .stillVerified else { throw DomainFailure.notVerified }
        return view
    }

    func drop(_ request: CallerRequest) async throws -> NoContent {
        let id = try request.requireOwnOrganization()
        return try await database.transaction(as: request.caller) { tx in
            _ = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            guard let updated = organization.dropDomain(at: tx.now) else { throw DomainFailure.none }
            try organizations.save(organization)
            try Outbox(tx).append(updated)
            try Audit(tx, request.http).record("users.organization.drop-domain", "organization", id.description, risk: "medium")
            return NoContent()
        }
    }

    private func change(
        _ request: CallerRequest, _ action: String, _ body: @escaping @Sendable (inout Organization, Date) throws -> OrganizationUpdated?
    ) async throws -> DomainView {
        let id = try request.requireOwnOrganization()
        return try await database.transaction(as: request.caller) { tx in
            _ = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            try organization.requireActive()
            let updated = try body(&organization, tx.now)
            guard let claim = organization.claim else { throw DomainFailure.none }
            guard let updated else { return DomainView(claim) }
            try organizations.save(organization)
            try Outbox(tx).append(updated)
            try Audit(tx, request.http).record(
                action, "organization", id.description, risk: "medium", changed: ["domain": .string(claim.domain.rawValue)])
            return DomainView(claim)
        }
    }
}
