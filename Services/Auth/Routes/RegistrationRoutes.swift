import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Messaging
import NIOCore
import Postgres
import ServiceKit

/// Whether a registration is answered at once, or only by mail.
enum RegistrationMode: String, Sendable, CaseIterable {
    /// 201 with tokens, or 409 where the address has an account.
    case open
    /// 202 for known and unknown addresses alike; the account is made when the mailbox is proven.
    case confirmed
}

/// `POST /api/v1/auth/register`.
///
/// Two services take part, so a registration has steps, each of which can be done again: the address is kept here (pending),
/// users makes the organization and the person, the registration is announced and a session opened, the account becomes active.
/// A registration cut short is finished or removed by `PendingRegistrations`, or by the same person trying again.
struct RegistrationRoutes {
    let database: Database
    let passwords: PasswordHashing
    let policy: PasswordPolicy
    let completion: RegistrationCompletion
    let gate: SignInGate
    let proofs: EmailProofs
    let routing: SSORouting
    let mode: RegistrationMode
    let publicURL: String

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

    /// 403 `sso-required` where the address' domain, known or unknown, signs in with its organization.
    /// 409 when the address has an account, or the slug an organization; then nothing is left of it. 202 when the mailbox is to be
    /// proven first: always in the confirmed mode, else for an address that somebody keeps an invitation for.
    func register(_ request: PublicRequest, _ body: Registration) async throws -> Uncached<RegistrationAnswer> {
        guard let account = try await keep(body, request) else { return Uncached(.verificationRequired) }
        let claims = try await completion.askUsers(account)
        let answer = try await gate.finishRegistration(account, claims, request)
        try await completion.activate(account, claims, request)
        return Uncached(.registered(answer, at: "/api/v1/users/\(account.id)"))
    }

    /// The same on a page, where nobody would take the tokens: no session is opened. False where the mailbox is to be proven first.
    func registerWithoutSession(_ request: PublicRequest, _ body: Registration) async throws -> Bool {
        guard let account = try await keep(body, request) else { return false }
        let claims = try await completion.askUsers(account)
        try await database.transaction(as: Caller(.person(account.id), tenant: claims.organization.id)) { tx in
            try Sessions.announce(claims, in: tx, request)
        }
        try await completion.activate(account, claims, request)
        return true
    }

    /// Checks everything and keeps the address; nil when a letter was sent instead.
    private func keep(_ body: Registration, _ request: PublicRequest) async throws -> Account? {
        try await routing.refuseOwnWays(for: body.email)
        try policy.check(
            body.password,
            about: [
                body.email.rawValue, body.organization?.name.rawValue, body.firstName?.rawValue, body.lastName?.rawValue,
                [body.firstName, body.lastName].compactMap { $0?.rawValue }.joined(separator: " "),
            ])
        let hash = try await passwords.hash(body.password.bytes)
        if mode == .open, let account = try await begin(body, hash, now: request.now) { return account }
        try await sendProof(body, hash, request)
        return nil
    }

    /// Keeps the address. Somebody who began before and shows the same password goes on where it was cut short. Nil for an address
    /// that is reserved, and that no invitation comes with: users may know more of its id than whoever registers should inherit.
    private func begin(_ body: Registration, _ hash: String, now: Date) async throws -> Account? {
        let registration = try proofs.sealed(request(body, organizationID: .make(at: now)))
        let fresh = Account(id: .ofAccount(), email: body.email, passwordHash: hash, status: .pending, registration: registration)
        let (id, known) = try await database.transaction(as: AccountStore.caller) { tx -> (UserID?, Account?) in
            let accounts = AccountStore(tx: tx)
            if let id = try accounts.insertPending(fresh, isProven: registration.invitationToken != nil) { return (id, nil) }
            return (nil, try accounts.find(body.email))
        }
        if let id {
            return Account(id: id, email: body.email, passwordHash: hash, status: .pending, registration: registration)
        }
        if known?.status == .reserved { return nil }
        guard let known, known.status == .pending, let earlier = known.registration,
            try await passwords.verify(body.password.bytes, against: known.passwordHash)
        else { throw AccountFailure.emailTaken }
        let again = try proofs.sealed(request(body, organizationID: earlier.organizationID))
        // The worker may have finished, or removed, the earlier one by now: then there is nothing to go on with.
        let replaced = try await database.execute(AccountStore.replaceRegistration(known.id, with: again), as: AccountStore.caller)
        guard replaced == 1 else { throw AccountFailure.registrationPending }
        return Account(
            id: known.id, email: known.email, passwordHash: known.passwordHash, status: .pending, registration: again)
    }

    /// A letter, to whoever has the mailbox: with a link that finishes the registration, or with the news that there is an account.
    /// The answer, the statements and so the time are the same.
    private func sendProof(_ body: Registration, _ hash: String, _ request: PublicRequest) async throws {
        let registration = self.request(body, organizationID: .make(at: request.now))
        let (proofs, publicURL) = (proofs, publicURL)
        try await database.transaction(as: AccountStore.caller) { tx in
            let known = try AccountStore(tx: tx).find(body.email)
            let isFree = known == nil || known?.status == .reserved
            if isFree {
                _ = try proofs.send(.register, to: body.email, .registration(passwordHash: hash, registration), in: tx)
            } else {
                try proofs.sendNotice(
                    .register, to: body.email, "account-exists", ["link": publicURL], standingInFor: registration, in: tx)
            }
            try Audit(tx, request).record("auth.account.register", "account", nil, changed: ["outcome": "verification-required"])
        }
    }

    private func request(_ body: Registration, organizationID: TenantID) -> RegistrationRequest {
        RegistrationRequest(
            email: body.email, firstName: body.firstName, lastName: body.lastName, organizationID: organizationID,
            organizationName: body.organization?.name
                ?? Account.personalOrganizationName(firstName: body.firstName, lastName: body.lastName, email: body.email),
            organizationSlug: body.organization?.slug, gdprConsent: body.consents?.gdpr ?? false,
            marketingConsent: body.consents?.marketing ?? false, invitationToken: body.invitationToken?.text)
    }
}

/// What registering answers: 201 with tokens, or 202 and a letter.
enum RegistrationAnswer: EndpointResult {
    /// Tokens, or what the organization that invited still demands.
    case registered(SignInAnswer, at: String)
    case verificationRequired

    private struct Waiting: Encodable {
        let status = "verification-required"
    }

    static var status: HTTPResponse.Status { .created }
    static var bodySchema: NamedSchema? { SignInAnswer.bodySchema }

    func response(to request: PublicRequest) throws -> Response {
        switch self {
        case .registered(let answer, let location):
            var response = try answer.response(to: request)
            response.status = .created
            response.headers[.location] = location
            return response
        case .verificationRequired:
            let body = ByteBuffer(bytes: try JSON.encode(Waiting()))
            return Response(status: .accepted, headers: [.contentType: "application/json"], body: .init(byteBuffer: body))
        }
    }
}
