import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit

/// From what an issuer says to the account that it opens: gathers the facts, asks `SSOLinking`, and does what it decides.
///
/// Auth and users both write. Each step may be done again: somebody cut short between two comes back, signs in, and goes on there.
struct SSOAdmission: Sendable {
    let database: Database
    let people: PeopleClient
    let organizations: SSOOrganizations
    let sessions: Sessions

    func admit(_ assertion: SSOAssertion, _ connection: SSOConnection, in tenant: TenantID, _ request: PublicRequest) async throws -> UserID
    {
        if let email = assertion.email, !connection.admits(email) { throw SSOFailure.otherDomain }
        async let identity = database.first(SSOIdentityStore.find(assertion), as: AccountStore.caller)
        let named = try await holder(of: assertion.email, in: tenant)
        let known = try await known(try await identity, in: tenant)
        let asked = [assertion.email?.domain, known?.holder.email.domain].compactMap { $0 }
        let outcome = try SSOLinking.decide(
            SSOLinking.Facts(
                assertion: assertion, trust: connection.settings.preset.trust(connection.settings.issuer),
                ownedDomains: try await owned(asked, by: tenant), known: known, holderOfEmail: named?.holder,
                takesIn: assertion.email.map { connection.takesIn($0) } ?? false))
        switch outcome.decision {
        case .signIn(let account), .link(let account):
            if outcome.mustJoin { try await join(account, assertion, connection, tenant) }
            return try await link(assertion, to: account, by: known?.origin ?? .email)
        case .takeOver(let account, let email):
            try await takeOver(account, email, assertion, in: tenant, request)
            if outcome.mustJoin { try await join(account, assertion, connection, tenant) }
            return try await link(assertion, to: account, by: .email)
        case .create(let email):
            return try await create(email, as: named?.reserved ?? .ofAccount(), assertion, connection, tenant, request)
        }
    }

    /// A signed-in person's own wish: whatever address the issuer knows them by. They are asked again who they are before it begins.
    func link(_ assertion: SSOAssertion, to account: UserID, by origin: SSOIdentity.Origin) async throws -> UserID {
        let owner = try await database.transaction(as: AccountStore.caller(account)) { tx in
            try SSOIdentityStore(tx: tx).link(assertion, to: account, by: origin)
        }
        guard owner == account else { throw SSOFailure.linkedElsewhere }
        return owner
    }

    // MARK: - Facts

    /// The account that has the address. One that is only reserved for it, by an invitation, is nobody's yet.
    private func holder(of email: EmailAddress?, in tenant: TenantID) async throws -> (holder: SSOLinking.Holder?, reserved: UserID?)? {
        guard let email, let account = try await database.first(AccountStore.find(email), as: AccountStore.caller) else {
            return nil
        }
        switch account.status {
        case .reserved: return (nil, account.id)
        case .pending: throw AccountFailure.registrationPending
        case .active: return (try await holder(account, in: tenant), nil)
        }
    }

    private func known(
        _ identity: SSOIdentity?, in tenant: TenantID
    ) async throws -> (holder: SSOLinking.Holder, origin: SSOIdentity.Origin)? {
        guard let identity, let account = try await database.first(AccountStore.find(identity.account), as: AccountStore.caller)
        else { return nil }
        return (try await holder(account, in: tenant), identity.origin)
    }

    /// Somebody who is suspended is refused as everywhere, and does not become a member anew.
    private func holder(_ account: Account, in tenant: TenantID) async throws -> SSOLinking.Holder {
        var isMember = true
        do {
            _ = try await people.claims(of: account.id, in: tenant.description)
        } catch AccountFailure.notAMember {
            isMember = false
        }
        return SSOLinking.Holder(account: account.id, email: account.email, isVerified: account.isEmailVerified, isMember: isMember)
    }

    private func owned(_ domains: [DomainName], by tenant: TenantID) async throws -> Set<DomainName> {
        var owned: Set<DomainName> = []
        for domain in Set(domains) where try await organizations.owns(domain, tenant) { owned.insert(domain) }
        return owned
    }

    // MARK: - Deeds

    /// From whoever registered with the address: the organization that owns its domain says whose it is.
    private func takeOver(
        _ account: UserID, _ email: EmailAddress, _ assertion: SSOAssertion, in tenant: TenantID, _ request: PublicRequest
    ) async throws {
        let takenAt = try await database.transaction(as: AccountStore.caller(account)) { tx in
            guard try AccountReclaimStore(tx: tx).takeOver(account, email) else { throw SSOFailure.accountUnverified }
            try Outbox(tx).append(EmailVerified(userID: account, email: email.rawValue))
            try Audit(tx, request).record(
                "auth.account.take-over", "account", account.description, risk: "high",
                changed: ["issuer": .string(assertion.issuer), "organization": .string(tenant.description)])
            return tx.now
        }
        do {
            try await sessions.endAll(of: account, begunUntil: takenAt, .passwordChanged, at: request.now, request)
        } catch {
            // `AccountHousekeeping` ends them, and the API keys, in a moment.
            sessions.logger.warning("sessions are ended later", metadata: ["userId": "person:\(account)", "reason": "\(error)"])
        }
    }

    @discardableResult
    private func join(
        _ account: UserID, _ assertion: SSOAssertion, _ connection: SSOConnection, _ tenant: TenantID
    ) async throws -> PersonClaims {
        guard let email = assertion.email else { throw SSOFailure.noEmail }
        let request = MembershipRequest(
            email: email, firstName: assertion.firstName, lastName: assertion.lastName, role: connection.settings.defaultRole.rawValue)
        return try await organizations.join(account, tenant, request)
    }

    /// Account and identity in one transaction, then the membership. When users refuses it for good, nothing is left of either; when it
    /// does not answer, the person is known next time and joins then.
    private func create(
        _ email: EmailAddress, as wanted: UserID, _ assertion: SSOAssertion, _ connection: SSOConnection, _ tenant: TenantID,
        _ request: PublicRequest
    ) async throws -> UserID {
        let account = try await database.transaction(as: AccountStore.caller) { tx in
            let identities = SSOIdentityStore(tx: tx)
            guard let account = try identities.makeAccount(wanted, email) else { throw AccountFailure.registrationPending }
            guard try identities.link(assertion, to: account, by: .email) == account else { throw SSOFailure.linkedElsewhere }
            return account
        }
        do {
            let claims = try await join(account, assertion, connection, tenant)
            // The person is new on the platform, as after a registration with a password.
            try await database.transaction(as: Caller(.person(account), tenant: tenant)) { tx in
                try Sessions.announce(claims, in: tx, request)
            }
            return account
        } catch let refusal as any Failure {
            switch refusal.kind {
            case .unavailable, .limited: break
            default:
                try await database.transaction(as: AccountStore.caller) { tx in try SSOIdentityStore(tx: tx).unmakeAccount(account) }
            }
            throw refusal
        }
    }
}
