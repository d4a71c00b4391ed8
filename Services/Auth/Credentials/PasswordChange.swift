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
    let keys: APIKeyEnding
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
        let changedAt = try await database.transaction(as: AccountStore.caller(account.id)) { tx in
            // The hash may have been renewed since it was read, but only by whoever knows the password, as this person does.
            guard try AccountStore(tx: tx).setPassword(account.id, to: hash, keeping: session) else { throw ResourceFailure.notFound }
            try Self.forgetUnfinished(account.id, tx)
            try EmailProofStore(tx: tx).replaceEarlier(.resetPassword, account.email)
            try Self.announce(account.id, account.email, "change", Letters(tx, sealing), tx, request)
            return tx.now
        }
        _ = await endSessions(of: account.id, except: session, begunUntil: changedAt, .passwordChanged, request)
    }

    /// Every session ends, and every API key of the person, in all organizations: whoever forgot the password may not be who made them.
    /// The place of the reset is known from then on, so that its owner can sign in there whatever others try.
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
        let changedAt = try await database.transaction(as: AccountStore.caller(account)) { tx in
            let accounts = AccountStore(tx: tx), places = SignInPlaceStore(tx: tx)
            guard try EmailProofStore(tx: tx).spend(proof.id),
                try accounts.setPassword(account, to: hash, keeping: nil, endingKeys: true)
            else { throw shown.failure }
            try Self.forgetUnfinished(account, tx)
            if try accounts.verifyEmail(account, proof.email) {
                // Until now the mailbox was nobody's: what is in the account may be of a stranger who registered with its address.
                try AccountReclaimStore(tx: tx).strip(account)
                try Outbox(tx).append(EmailVerified(userID: account, email: proof.email.rawValue))
            }
            try tx.execute(SignInFailureStore.forget([.place(proof.email, place.network), .address(proof.email)]))
            try places.note(account, place.device, place.network, nil)
            try Self.announce(account, proof.email, "reset", Letters(tx, sealing), tx, request)
            return tx.now
        }
        // Sessions first: one that is still there could make another key.
        guard await endSessions(of: account, except: nil, begunUntil: changedAt, .passwordReset, request) else { return }
        await endKeys(of: account, markedAt: changedAt, request)
    }

    /// What was begun with the old password and is not finished: sign-ins that wait for a second factor, and factors that wait to be
    /// confirmed.
    private static func forgetUnfinished(_ account: UserID, _ tx: Transaction) throws {
        try PendingSignInStore(tx: tx).spendAll(of: account)
        try SecondFactorStore(tx: tx).removeUnconfirmed(of: account)
        try SentCodeStore(tx: tx).removeAll(of: account)
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

    /// The password is changed already: what cannot be ended now is ended by `AccountHousekeeping` in a moment. False then.
    private func endSessions(
        of account: UserID, except kept: SessionID?, begunUntil changedAt: Date, _ reason: Session.EndReason, _ request: PublicRequest
    ) async -> Bool {
        do {
            try await sessions.endAll(of: account, except: kept, begunUntil: changedAt, reason, at: request.now, request)
            return true
        } catch {
            logger.warning("sessions are ended later", metadata: ["userId": "person:\(account)", "reason": "\(error)"])
            return false
        }
    }

    private func endKeys(of account: UserID, markedAt: Date, _ request: PublicRequest) async {
        do {
            try await keys.endAll(of: account, .passwordReset, at: request.now, request)
            try await database.execute(
                AccountStore.keysEnded(.init(account: account, markedAt: markedAt)), as: AccountStore.caller(account))
        } catch {
            logger.warning("API keys are revoked later", metadata: ["userId": "person:\(account)", "reason": "\(error)"])
        }
    }
}
