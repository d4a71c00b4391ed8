import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

/// Forgotten and changed passwords.
struct PasswordRoutes {
    let database: Database
    let passwords: PasswordHashing
    let policy: PasswordPolicy
    let proofs: EmailProofs
    let change: PasswordChange
    let signIn: PasswordSignIn

    var endpoints: [Endpoints] {
        [
            Endpoints("auth/password") {
                Endpoint.post("forgot", "Send a letter that resets a forgotten password", .public, forgot)
                Endpoint.post("reset", "Set a new password with a link's token or a code", .public, reset)
                Endpoint.get("reset", "The page that a reset link opens", .public, page)
                Endpoint.form("reset/confirm", "Set a new password from that page", .public, confirm)
                Endpoint.post("change", "Change the password, and end all other sessions", may: .signedIn, changeOwn)
            },
            Endpoints("/internal/v1/accounts") {
                Endpoint.post(":id/password-reset", "Send a reset letter on behalf of an administrator", may: .service, resetForAdmin)
            },
        ]
    }

    struct Address: Decodable, Sendable {
        let email: EmailAddress
    }

    struct Reset: Decodable, Sendable {
        let token: PresentedSecret?
        let email: EmailAddress?
        let code: PresentedSecret?
        let password: Password
    }

    struct Link: Decodable, Sendable {
        let token: PresentedSecret?
    }

    struct ResetForm: Decodable, Sendable {
        let token: PresentedSecret
        let password: PresentedSecret
    }

    struct Change: Decodable, Sendable {
        let currentPassword: PresentedSecret
        let newPassword: Password
    }

    /// 202, whoever has the address. A letter leaves where an account has it; an id that is only reserved has nothing to reset.
    func forgot(_ request: PublicRequest, _ body: Address) async throws -> Accepted<RequestedView> {
        let proofs = proofs
        let isSent = try await database.transaction(as: AccountStore.caller) { tx in
            let account = try AccountStore(tx: tx).find(body.email)
            let open = account.flatMap { $0.status == .active ? $0 : nil }
            let isSent = try proofs.send(.resetPassword, to: body.email, open.map { .account($0.id) } ?? .nobody, in: tx)
            try Self.announce(open, isSent, by: "person", tx, request)
            return isSent && open != nil
        }
        if isSent { Self.count("requested") }
        return Accepted(RequestedView())
    }

    /// What users asks when an administrator resets somebody's password: 202, and 404 for an account that is not there. Somebody whose
    /// id is reserved may set the first password by this.
    func resetForAdmin(_ request: CallerRequest) async throws -> Accepted<RequestedView> {
        let id = try request.path("id", as: UserID.self)
        let (proofs, http) = (proofs, request.http)
        try await database.transaction(as: AccountStore.caller) { tx in
            guard let account = try tx.first(AccountStore.find(id)), account.status != .pending else { throw ResourceFailure.notFound }
            let isSent = try proofs.send(.resetPassword, to: account.email, .account(account.id), in: tx)
            try Self.announce(account, isSent, by: "admin", tx, http)
        }
        Self.count("requested")
        return Accepted(RequestedView())
    }

    private static func announce(
        _ account: Account?, _ isSent: Bool, by requester: String, _ tx: Transaction, _ request: PublicRequest
    ) throws {
        var events: [any Event] = [
            AuditEntryRecorded(
                action: "auth.password.request-reset", resourceType: "account", resourceID: account?.id.description,
                actor: tx.caller.principalText, outcome: "allowed", riskLevel: "medium", address: request.clientAddress,
                userAgent: request.userAgent, changed: ["requestedBy": .string(requester)], requestID: request.requestID)
        ]
        if let account, isSent { events.append(PasswordResetRequested(userID: account.id, requestedBy: requester)) }
        try Outbox(tx).append(events)
    }

    /// Ends every session of the account. 400 for links and codes that are wrong, used, replaced or expired: in the same words.
    func reset(_ request: PublicRequest, _ body: Reset) async throws -> NoContent {
        let shown = try MailedProof.check(body.token, body.email, body.code).shown
        try await change.reset(shown, to: body.password, pointer: "/password", request)
        Self.count("done")
        return NoContent()
    }

    func page(_ request: PublicRequest, _ query: Link) async throws -> HTMLPage {
        guard let token = query.token?.text else { return AccountPages.badLink }
        do {
            _ = try await proofs.find(link: token, [.resetPassword], at: request.now)
            return AccountPages.reset(token: token)
        } catch is EmailProofFailure {
            return AccountPages.badLink
        }
    }

    func confirm(_ request: PublicRequest, _ body: ResetForm) async throws -> HTMLPage {
        do {
            let password = try Password(body.password.text)
            try await change.reset(.link(body.token.text), to: password, pointer: "/password", request)
            Self.count("done")
            return AccountPages.passwordSet
        } catch let problem as TextProblem {
            return AccountPages.reset(token: body.token.text, problem: "The password \(problem.detail).")
        } catch let failure as ValidationFailure {
            return AccountPages.reset(token: body.token.text, problem: "The password \(failure.fields.first?.detail ?? "cannot be taken").")
        } catch is EmailProofFailure {
            return AccountPages.badLink
        }
    }

    /// 401 for a wrong current password, which counts as a failed sign-in does. Keys, clients and impersonators may not.
    func changeOwn(_ request: CallerRequest, _ body: Change) async throws -> NoContent {
        guard case .person(let id) = request.caller.principal, request.caller.impersonator == nil, let session = request.caller.session
        else { throw AccessFailure.personOnly }
        guard let account = try await database.first(AccountStore.find(id), as: AccountStore.caller(id)) else {
            throw ResourceFailure.notFound
        }
        guard account.passwordHash != nil else { throw AccountFailure.noPassword }
        do {
            _ = try await signIn.verify(account.email, body.currentPassword, request.http)
        } catch AccountFailure.wrongCredentials {
            throw AccountFailure.wrongPassword
        }
        try await change.change(account, to: body.newPassword, keeping: session, pointer: "/newPassword", request.http)
        return NoContent()
    }

    private static func count(_ step: String) {
        Counter(label: "trionex_auth_password_resets_total", dimensions: [("step", step)]).increment()
    }
}
