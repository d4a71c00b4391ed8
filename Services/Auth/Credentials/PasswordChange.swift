import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit

/// A new password, by whoever knows the old one or has the mailbox: everything that was begun with the old one ends.
struct PasswordChange: Sendable {
    let database: Database
    let passwords: PasswordHashing
    let policy: PasswordPolicy
    let proofs: EmailProofs
    let sessions: Sessions
    let logger: Logger

    /// The other sessions end, this one goes on.
    func change(
        _ account: Account, to password: Password, keeping session: SessionID, pointer: String, _ request: PublicRequest
    ) async throws {
        try policy.check(password, about: [account.email.rawValue], pointer: pointer)
        if let current = account.passwordHash, try await passwords.verify(password.bytes, against: current) {
            throw ValidationFailure(pointer, "password-unchanged", "must be another than the current one")
        }
        let hash = try await passwords.hash(password.bytes)
        let sealing = proofs.sealing
        try await database.transaction(as: AccountStore.caller(account.id)) { tx in
            // The hash may have been renewed since it was read, but only by whoever knows the password, as this person does.
            guard try AccountStore(tx: tx).setPassword(account.id, to: hash, keeping: session) else { throw ResourceFailure.notFound }
            try EmailProofStore(tx: tx).replaceEarlier(.resetPassword, account.email)
            try Self.announce(account.id, account.email, "change", Letters(tx, sealing), tx, request)
        }
        await endSessions(of: account.id, except: session, .passwordChanged, request)
    }

    /// Every session ends. The place of the reset is known from then on, so that its owner can sign in there whatever others try.
    func reset(
        _ shown: EmailVerification.Shown, to password: Password, pointer: String, _ request: PublicRequest
    ) async throws {
        let proof: EmailProof
        switch shown {
        case .link(let token): proof = try await proofs.find(link: token, [.resetPassword], at: request.now)
        case .code(let code, let email):
            proof = try await proofs.find(code: code, of: email, [.resetPassword], at: request.now)
        }
        guard let account = proof.account else { throw shown.failure }
        try policy.check(password, about: [proof.email.rawValue], pointer: pointer)
        let hash = try await passwords.hash(password.bytes)
        let (sealing, place) = (proofs.sealing, SignInPlace(proof.email, request))
        try await database.transaction(as: AccountStore.caller(account)) { tx in
            let accounts = AccountStore(tx: tx), places = SignInPlaceStore(tx: tx)
            guard try EmailProofStore(tx: tx).spend(proof.id), try accounts.setPassword(account, to: hash, keeping: nil) else {
                throw shown.failure
            }
            if try accounts.verifyEmail(account, proof.email) {
                try Outbox(tx).append(EmailVerified(userID: account, email: proof.email.rawValue))
            }
            try tx.execute(SignInFailureStore.forget([.place(proof.email, place.network), .address(proof.email)]))
            try places.note(account, place.device, place.network, nil)
            try Self.announce(account, proof.email, "reset", Letters(tx, sealing), tx, request)
        }
        await endSessions(of: account, except: nil, .passwordReset, request)
    }

    private static func announce(
        _ account: UserID, _ email: EmailAddress, _ reason: String, _ letters: Letters, _ tx: Transaction, _ request: PublicRequest
    ) throws {
        try Outbox(tx).append(PasswordChanged(userID: account, reason: reason))
        try Audit(tx, request).record(
            "auth.password.change", "account", account.description, risk: "medium", changed: ["reason": .string(reason)])
        try letters.send(
            Letter(
                channel: .email, to: email.rawValue, template: "password-changed", tenant: nil,
                data: ["when": Timestamp.text(tx.now), "address": request.clientAddress ?? "an unknown address"]))
    }

    /// The password is changed already: what cannot be ended now is ended by `SessionHousekeeping` in a moment.
    private func endSessions(of account: UserID, except kept: SessionID?, _ reason: Session.EndReason, _ request: PublicRequest) async {
        do {
            try await sessions.endAll(of: account, except: kept, begunUntil: request.now, reason, at: request.now, request)
        } catch {
            logger.warning("sessions are ended later", metadata: ["userId": "person:\(account)", "reason": "\(error)"])
        }
    }
}
