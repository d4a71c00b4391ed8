import Contracts
import Crypto
import Foundation
import Postgres
import ServiceKit

/// Links and codes by mail: made, sent, shown again, spent.
struct EmailProofs: Sendable {
    let database: Database
    let sealing: Sealing
    /// Where the links lead: the gateway.
    let publicURL: String
    let verificationLifetime: TimeInterval
    let resetLifetime: TimeInterval

    /// Logs mask whatever begins so.
    static let tokenPrefix = "trx_ml_"
    static let window: TimeInterval = 3_600

    /// Whom a letter is for. Nobody's is written down all the same, and a letter that says nothing with it: the statements, and so
    /// the time, are the same whether an account has the address or not.
    enum Recipient: Sendable {
        case account(UserID)
        /// A registration that waits: the hash of its password, and the rest of it.
        case registration(passwordHash: String, RegistrationRequest)
        case nobody
    }

    /// Sends a letter that proves the mailbox, in the caller's transaction; the earlier ones for the same purpose are worth nothing
    /// any more. False when this address was sent too many: then nothing changes, and the last letter stays good.
    func send(_ purpose: EmailProof.Purpose, to email: EmailAddress, _ recipient: Recipient, in tx: Transaction) throws -> Bool {
        let proofs = EmailProofStore(tx: tx)
        let lately = try proofs.count(purpose, email, since: tx.now.addingTimeInterval(-Self.window))
        guard lately < EmailProof.maximumPerHour else { return false }
        // Several registrations with one address may wait: each has its own password, and only whoever knows it finishes it.
        if purpose != .register { try proofs.replaceEarlier(purpose, email) }
        let id = UUID.version7(at: tx.now), token = Self.makeToken(), code = Self.makeCode()
        let lifetime = purpose == .resetPassword ? resetLifetime : verificationLifetime
        let expiresAt = tx.now.addingTimeInterval(lifetime)
        var account: UserID?, passwordHash: String?, registration: Data?
        switch recipient {
        case .account(let id): account = id
        case .registration(let hash, let request):
            passwordHash = hash
            registration = try seal(request)
        case .nobody: break
        }
        try proofs.insert(
            EmailProof(
                id: id, purpose: purpose, email: email, account: account, codeDigest: digest(code, id), wrongPasswords: 0,
                expiresAt: expiresAt, passwordHash: passwordHash, registration: registration), tokenDigest: Self.digest(token))
        let letters = Letters(tx, sealing)
        guard case .nobody = recipient else {
            let data = ["link": link(purpose, token), "code": code, "minutes": String(Int(lifetime / 60))]
            try letters.send(
                Letter(
                    channel: .email, to: email.rawValue, template: purpose.template, tenant: nil, data: data, expiresAt: expiresAt))
            return true
        }
        try letters.sendNothing()
        return true
    }

    /// News for whoever has the mailbox, where a proof would have been sent had things been otherwise: the same statements, and the
    /// same number of letters at most.
    func sendNotice(
        _ purpose: EmailProof.Purpose, to email: EmailAddress, _ template: String, _ data: [String: String],
        standingInFor registration: RegistrationRequest, in tx: Transaction
    ) throws {
        let proofs = EmailProofStore(tx: tx)
        let lately = try proofs.count(purpose, email, since: tx.now.addingTimeInterval(-Self.window))
        guard lately < EmailProof.maximumPerHour else { return }
        let id = UUID.version7(at: tx.now)
        // Without a hash it is nobody's, whatever is in it: no link leads to it, no code is told.
        try proofs.insert(
            EmailProof(
                id: id, purpose: purpose, email: email, account: nil, codeDigest: digest(Self.makeCode(), id), wrongPasswords: 0,
                expiresAt: tx.now.addingTimeInterval(verificationLifetime), passwordHash: nil, registration: try seal(registration)),
            tokenDigest: Self.digest(Self.makeToken()))
        try Letters(tx, sealing).send(
            Letter(channel: .email, to: email.rawValue, template: template, tenant: nil, data: data))
    }

    /// What a link or a code stands for. Nothing is spent by this, but a wrong code counts.
    func find(link token: String, _ purposes: [EmailProof.Purpose], at now: Date) async throws -> EmailProof {
        let found = try await database.first(
            EmailProofStore.find(tokenDigest: Self.digest(token), at: now), as: AccountStore.caller)
        guard let found, purposes.contains(found.purpose) else { throw EmailProofFailure.badLink }
        return found
    }

    func find(code: String, of email: EmailAddress, _ purposes: [EmailProof.Purpose], at now: Date) async throws -> EmailProof {
        let tried = try await database.query(EmailProofStore.tryCode(purposes, email, at: now), as: AccountStore.caller)
        let digits = code.filter { !$0.isWhitespace && $0 != "-" }
        // All are compared, each in the same time wherever it differs.
        let right = tried.filter { proof in
            zip(proof.codeDigest, digest(digits, proof.id)).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
        }
        guard let proof = right.first else { throw EmailProofFailure.badCode }
        return proof
    }

    func registration(of proof: EmailProof) throws -> RegistrationRequest? {
        guard let sealed = proof.registration else { return nil }
        return try JSON.decode(RegistrationRequest.self, from: sealing.open(sealed, context: Self.registrationContext))
    }

    // MARK: - Invitations that wait

    private static let invitationContext = "invitation of a registration"

    /// As it is kept: its invitation opens an organization, so it is not there to read.
    func sealed(_ registration: RegistrationRequest) throws -> RegistrationRequest {
        guard let token = registration.invitationToken else { return registration }
        let sealed = try sealing.seal(Data(token.utf8), context: Self.invitationContext)
        return registration.with(invitationToken: sealed.base64EncodedString(), slug: registration.organizationSlug)
    }

    /// As users is told.
    func unsealed(_ registration: RegistrationRequest) throws -> RegistrationRequest {
        guard let sealed = registration.invitationToken.flatMap({ Data(base64Encoded: $0) }) else { return registration }
        let token = String(decoding: try sealing.open(sealed, context: Self.invitationContext), as: UTF8.self)
        return registration.with(invitationToken: token, slug: registration.organizationSlug)
    }

    // MARK: - Secrets

    private static let registrationContext = "registration by mail"

    private func seal(_ request: RegistrationRequest) throws -> Data {
        try sealing.seal(try JSON.encode(request), context: Self.registrationContext)
    }

    private func digest(_ code: String, _ id: UUID) -> Data { sealing.digest(code, context: "email proof \(id.uuidString.lowercased())") }

    private static func digest(_ token: String) -> Data { Data(SHA256.hash(data: Data(token.utf8))) }

    private static func makeToken() -> String {
        SymmetricKey(size: .bits256).withUnsafeBytes { tokenPrefix + Base64URL.encode(Data($0)) }
    }

    private static func makeCode() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<EmailProof.codeDigits).map { _ in String(Int.random(in: 0...9, using: &generator)) }.joined()
    }

    private func link(_ purpose: EmailProof.Purpose, _ token: String) -> String {
        "\(publicURL)/api/v1/auth/\(purpose.page)?token=\(token)"
    }
}

extension EmailProof.Purpose {
    /// Notifications' name of the letter.
    fileprivate var template: String {
        switch self {
        case .verifyEmail, .register: "verify-email"
        case .resetPassword: "reset-password"
        }
    }

    /// Below `/api/v1/auth/`.
    fileprivate var page: String {
        switch self {
        case .verifyEmail, .register: "email/verify"
        case .resetPassword: "password/reset"
        }
    }
}
