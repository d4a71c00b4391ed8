import Contracts
import Foundation
import Postgres
import ServiceKit

/// `POST /api/v1/auth/register`.
///
/// Two services take part, so a registration has steps, each of which can be done again: the address is kept here (pending),
/// users makes the organization and the person, the registration is announced and a session opened, the account becomes active.
/// A registration cut short is finished or removed by `PendingRegistrations`, or by the same person trying again.
struct RegistrationRoutes {
    let database: Database
    let passwords: PasswordHashing
    let completion: RegistrationCompletion
    let sessions: Sessions

    var endpoints: Endpoints {
        Endpoints("auth") {
            Endpoint.post("register", "Register a person and an organization", .public, register)
        }
    }

    struct Organization: Decodable, Sendable {
        let name: Name
        let slug: Slug?
    }

    struct Consents: Decodable, Sendable {
        let gdpr: Bool?
        let marketing: Bool?
    }

    struct Registration: Decodable, Sendable {
        let email: EmailAddress
        let password: Password
        let firstName: Name?
        let lastName: Name?
        let organization: Organization?
        let invitationToken: PresentedSecret?
        let consents: Consents?
    }

    /// 409 when the address has an account, or the slug an organization; then nothing is left of it.
    func register(_ request: PublicRequest, _ body: Registration) async throws -> Uncached<Created<SignedIn>> {
        guard body.invitationToken == nil else {
            throw ValidationFailure("/invitationToken", "not-supported", "invitations are not taken yet: leave it out")
        }
        try body.password.refuseIfPersonal([
            body.email.rawValue, String(body.email.rawValue.prefix { $0 != "@" }), body.organization?.name.rawValue,
            [body.firstName, body.lastName].compactMap { $0?.rawValue }.joined(separator: " "),
        ])
        let account = try await begin(body, now: request.now)
        let claims = try await completion.askUsers(account)
        let signedIn = try await sessions.open(for: claims, from: request, announcingRegistration: true)
        try await completion.activate(account.id, at: request.now)
        return Uncached(Created(signedIn, at: "/api/v1/users/\(account.id)"))
    }

    /// Keeps the address. Somebody who began before and shows the same password goes on where it was cut short.
    private func begin(_ body: Registration, now: Date) async throws -> Account {
        let hash = try await passwords.hash(body.password.bytes)
        let fresh = Account(
            id: .make(at: now), email: body.email, passwordHash: hash, status: .pending,
            registration: request(body, organizationID: .make(at: now)))
        let known = try await database.transaction(as: AccountStore.caller) { tx -> Account? in
            let accounts = AccountStore(tx: tx)
            if try accounts.insertPending(fresh) { return nil }
            return try accounts.find(body.email)
        }
        guard let known else { return fresh }
        guard known.status == .pending, let earlier = known.registration,
            try await passwords.verify(body.password.bytes, against: known.passwordHash)
        else { throw AccountFailure.emailTaken }
        let again = request(body, organizationID: earlier.organizationID)
        // The worker may have finished, or removed, the earlier one by now: then there is nothing to go on with.
        let replaced = try await database.execute(AccountStore.replaceRegistration(known.id, with: again), as: AccountStore.caller)
        guard replaced == 1 else { throw AccountFailure.registrationPending }
        return Account(
            id: known.id, email: known.email, passwordHash: known.passwordHash, status: .pending, registration: again)
    }

    private func request(_ body: Registration, organizationID: TenantID) -> RegistrationRequest {
        RegistrationRequest(
            email: body.email, firstName: body.firstName, lastName: body.lastName, organizationID: organizationID,
            organizationName: body.organization?.name
                ?? Account.personalOrganizationName(firstName: body.firstName, lastName: body.lastName, email: body.email),
            organizationSlug: body.organization?.slug, gdprConsent: body.consents?.gdpr ?? false,
            marketingConsent: body.consents?.marketing ?? false)
    }
}
