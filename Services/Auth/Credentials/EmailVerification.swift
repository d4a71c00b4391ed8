import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit

/// What happens when somebody shows a link or a code that verifies an address: the address is verified, and a registration that
/// waited for it is finished.
struct EmailVerification: Sendable {
    let database: Database
    let proofs: EmailProofs
    let passwords: PasswordHashing
    let completion: RegistrationCompletion
    let logger: Logger

    static let purposes: [EmailProof.Purpose] = [.verifyEmail, .register]

    enum Shown: Sendable {
        case link(String)
        case code(String, of: EmailAddress)
    }

    /// Whether the letter is good only with the password.
    func asksPassword(_ proof: EmailProof) async throws -> Bool {
        guard proof.purpose == .verifyEmail, let account = proof.account else { return proof.purpose == .register }
        return try await database.first(AccountStore.find(account), as: AccountStore.caller)?.passwordHash != nil
    }

    func find(_ shown: Shown, at now: Date) async throws -> EmailProof {
        switch shown {
        case .link(let token): try await proofs.find(link: token, Self.purposes, at: now)
        case .code(let code, let email): try await proofs.find(code: code, of: email, Self.purposes, at: now)
        }
    }

    /// - Parameter password: the one that was registered with: whoever registered with another's address must not have its owner finish
    ///   the registration, or vouch for the account, with a click. Accounts without a password need none.
    func verify(_ shown: Shown, password: PresentedSecret?, _ request: PublicRequest) async throws {
        let proof = try await find(shown, at: request.now)
        switch proof.purpose {
        case .verifyEmail: try await verifyAddress(proof, shown, password, request)
        case .register: try await finishRegistration(proof, shown, password, request)
        case .resetPassword: throw shown.failure
        }
        Counter(label: "trionex_auth_emails_verified_total", dimensions: [("purpose", proof.purpose.rawValue)]).increment()
    }

    private func verifyAddress(_ proof: EmailProof, _ shown: Shown, _ password: PresentedSecret?, _ request: PublicRequest) async throws {
        guard let account = proof.account,
            let known = try await database.first(AccountStore.find(account), as: AccountStore.caller)
        else { throw shown.failure }
        if let hash = known.passwordHash { try await check(password, against: hash, proof, shown) }
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            guard try EmailProofStore(tx: tx).spend(proof.id) else { throw shown.failure }
            guard try AccountStore(tx: tx).verifyEmail(account, proof.email) else { return }
            try Outbox(tx).append(EmailVerified(userID: account, email: proof.email.rawValue))
            try Audit(tx, request).record("auth.email.verify", "account", account.description)
        }
    }

    /// Wrong ones are counted: after a few the letter is worth nothing.
    private func check(_ password: PresentedSecret?, against hash: String, _ proof: EmailProof, _ shown: Shown) async throws {
        guard proof.wrongPasswords < EmailProof.maximumWrongPasswords else { throw shown.failure }
        guard let password else { throw ValidationFailure("/password", "missing", "is needed: the one you registered with") }
        guard try await passwords.verify(password, against: hash) else {
            try await database.execute(EmailProofStore.countWrongPassword(proof.id), as: AccountStore.caller)
            throw EmailProofFailure.wrongPassword
        }
    }

    private func finishRegistration(
        _ proof: EmailProof, _ shown: Shown, _ password: PresentedSecret?, _ request: PublicRequest
    ) async throws {
        guard let hash = proof.passwordHash, let registration = try proofs.registration(of: proof) else { throw shown.failure }
        try await check(password, against: hash, proof, shown)
        let kept = try proofs.sealed(registration)
        let fresh = Account(
            id: .ofAccount(), email: proof.email, passwordHash: hash, status: .pending, registration: kept,
            emailVerifiedAt: request.now)
        let id = try await database.transaction(as: AccountStore.caller) { tx in
            guard try EmailProofStore(tx: tx).spend(proof.id) else { throw shown.failure }
            guard let id = try AccountStore(tx: tx).insertPending(fresh, isProven: true) else { throw AccountFailure.emailTaken }
            return id
        }
        try await complete(
            Account(
                id: id, email: fresh.email, passwordHash: hash, status: .pending, registration: kept, emailVerifiedAt: request.now),
            request)
    }

    /// With users away the worker completes it: the mailbox is proven, and that is what was asked.
    private func complete(_ account: Account, _ request: PublicRequest) async throws {
        do {
            let claims = try await askUsers(account)
            try await database.transaction(as: Caller(.person(account.id), tenant: claims.organization.id)) { tx in
                try Sessions.announce(claims, in: tx, request)
            }
            try await completion.activate(account, claims, request)
        } catch let failure as any Failure {
            guard case .unavailable = failure.kind else { throw failure }
            logger.notice("a verified registration is completed later", metadata: ["userId": "person:\(account.id)"])
        }
    }

    /// A slug that was free when somebody registered may be taken when they verify: then another is found from the name.
    private func askUsers(_ account: Account) async throws -> PersonClaims {
        guard let registration = account.registration, registration.organizationSlug != nil else {
            return try await completion.askUsers(account)
        }
        do {
            return try await completion.people.register(account.id, try proofs.unsealed(registration))
        } catch let refusal as any Failure where refusal.kind == .conflict || refusal.kind == .invalid {
            let without = registration.with(invitationToken: registration.invitationToken, slug: nil)
            let replaced = try await database.execute(
                AccountStore.replaceRegistration(account.id, with: without), as: AccountStore.caller)
            guard replaced == 1 else { throw AccountFailure.registrationPending }
            return try await completion.askUsers(
                Account(
                    id: account.id, email: account.email, passwordHash: account.passwordHash, status: .pending, registration: without,
                    emailVerifiedAt: account.emailVerifiedAt))
        }
    }
}

extension EmailVerification.Shown {
    var failure: EmailProofFailure {
        switch self {
        case .link: .badLink
        case .code: .badCode
        }
    }
}
