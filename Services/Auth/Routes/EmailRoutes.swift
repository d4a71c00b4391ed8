import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Verifying an address: by the client with a link's token or a code, or on a page that the link opens.
///
/// The page only asks: mail scanners open links, and must not spend them.
struct EmailRoutes {
    let database: Database
    let proofs: EmailProofs
    let verification: EmailVerification

    var endpoints: Endpoints {
        Endpoints("auth/email") {
            Endpoint.post("verify", "Verify an address with a link's token or a code", .public, verify)
            Endpoint.get("verify", "The page that a verification link opens", .public, page)
            Endpoint.form("verify/confirm", "Verify an address from that page", .public, confirm)
            Endpoint.post("resend", "Send the verification letter again", .public, resend)
        }
    }

    struct Verification: Decodable, Sendable {
        let token: PresentedSecret?
        let email: EmailAddress?
        let code: PresentedSecret?
        /// The one that was registered with, where the account has one.
        let password: PresentedSecret?
    }

    struct Link: Decodable, Sendable {
        let token: PresentedSecret?
    }

    struct Confirmation: Decodable, Sendable {
        let token: PresentedSecret
        let password: PresentedSecret?
    }

    struct Address: Decodable, Sendable {
        let email: EmailAddress
    }

    /// 400 for links and codes that are wrong, used, replaced or expired: in the same words.
    func verify(_ request: PublicRequest, _ body: Verification) async throws -> VerifiedView {
        try await verification.verify(
            try MailedProof.check(body.token, body.email, body.code).shown, password: body.password, request)
        return VerifiedView(emailVerified: true)
    }

    func page(_ request: PublicRequest, _ query: Link) async throws -> HTMLPage {
        guard let token = query.token?.text else { return AccountPages.badLink }
        do {
            let proof = try await verification.find(.link(token), at: request.now)
            return AccountPages.verify(token: token, asksPassword: try await verification.asksPassword(proof))
        } catch is EmailProofFailure {
            return AccountPages.badLink
        }
    }

    func confirm(_ request: PublicRequest, _ body: Confirmation) async throws -> HTMLPage {
        do {
            try await verification.verify(.link(body.token.text), password: body.password, request)
            return AccountPages.verified
        } catch EmailProofFailure.wrongPassword {
            return AccountPages.verify(
                token: body.token.text, asksPassword: true, problem: "The password is not the one you registered with.")
        } catch is ValidationFailure {
            return AccountPages.verify(token: body.token.text, asksPassword: true, problem: "Enter the password that you registered with.")
        } catch is EmailProofFailure {
            return AccountPages.badLink
        } catch AccountFailure.emailTaken {
            return AccountPages.taken
        }
    }

    /// 202, whoever has the address, and whether there is anything to verify.
    func resend(_ request: PublicRequest, _ body: Address) async throws -> Accepted<RequestedView> {
        let proofs = proofs
        try await database.transaction(as: AccountStore.caller) { tx in
            let account = try AccountStore(tx: tx).find(body.email)
            let waiting = try EmailProofStore(tx: tx).waitingRegistrations(body.email).first { $0.passwordHash != nil }
            var events: [any Event] = []
            if let waiting, let hash = waiting.passwordHash, let registration = try proofs.registration(of: waiting) {
                _ = try proofs.send(.register, to: body.email, .registration(passwordHash: hash, registration), in: tx)
            } else {
                let open = account.flatMap { $0.status == .active && !$0.isEmailVerified ? $0 : nil }
                let isSent = try proofs.send(.verifyEmail, to: body.email, open.map { .account($0.id) } ?? .nobody, in: tx)
                if let open, isSent { events.append(EmailVerificationRequested(userID: open.id, email: open.email.rawValue)) }
            }
            events.append(
                AuditEntryRecorded(
                    action: "auth.email.resend", resourceType: "account", resourceID: account?.id.description,
                    actor: tx.caller.principalText, outcome: "allowed", riskLevel: "low", address: request.clientAddress,
                    userAgent: request.userAgent, changed: [:], requestID: request.requestID))
            try Outbox(tx).append(events)
        }
        return Accepted(RequestedView())
    }
}

/// Either a link's token, or an address and a code: of a request that verifies an address or resets a password.
struct MailedProof: Sendable {
    let shown: EmailVerification.Shown

    static func check(_ token: PresentedSecret?, _ email: EmailAddress?, _ code: PresentedSecret?) throws(ValidationFailure) -> MailedProof
    {
        switch (token, email, code) {
        case (let token?, nil, nil): return MailedProof(shown: .link(token.text))
        case (nil, let email?, let code?): return MailedProof(shown: .code(code.text, of: email))
        case (nil, nil, nil): throw ValidationFailure("/token", "missing", "is needed, or email and code")
        case (nil, nil, _?): throw ValidationFailure("/email", "missing", "is needed with a code")
        case (nil, _?, nil): throw ValidationFailure("/code", "missing", "is needed with an address")
        case (_?, _, _): throw ValidationFailure("/token", "ambiguous", "is given alone, without email and code")
        }
    }
}

struct VerifiedView: View {
    let emailVerified: Bool
}

/// The same for everybody: a letter is on its way if there is anything to say.
struct RequestedView: View {
    var status = "requested"
}
