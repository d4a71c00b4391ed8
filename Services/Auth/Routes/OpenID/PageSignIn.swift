import Contracts
import Foundation
import Postgres
import ServiceKit

/// How our pages sign somebody in: through the same doors as everybody, with the same locks.
struct PageSignIn: Sendable {
    /// What a second step's page shows.
    struct Step: Sendable {
        let token: String
        /// Those that a form can take: codes, and recovery codes.
        let methods: [String]
        /// For a security key, where the account has one: JSON for the browser.
        let keyOptions: String?
    }

    enum Answer: Sendable {
        case signedIn(SignedIn)
        case secondFactor(Step)
    }

    let database: Database
    let passwords: PasswordSignIn
    let people: PeopleClient
    let gate: SignInGate
    let factors: SecondFactors
    let passkeys: PasskeyRoutes

    static let keyMethod = SecondFactorMethod.webauthn.rawValue

    func password(
        _ request: PublicRequest, _ email: EmailAddress, _ password: PresentedSecret, in organization: TenantID
    ) async throws -> Answer {
        let account = try await passwords.verify(email, password, request)
        let claims = try await people.claims(of: account.id, in: organization.description)
        return try await answer(try await gate.admit(account, claims, methods: ["pwd"], request), request)
    }

    /// JSON for the browser: the same for everybody.
    func passkeyOptions(_ request: PublicRequest) async throws -> String {
        try Self.json(try await passkeys.options(request).answer.publicKey)
    }

    func passkey(_ request: PublicRequest, _ credential: String, in organization: TenantID) async throws -> Answer {
        let shown = PasskeyRoutes.PasskeySignIn(
            credential: try Self.decoded(credential), organization: Label(checked: organization.description))
        return try await answer(try await passkeys.login(request, shown).answer, request)
    }

    private func answer(_ answer: SignInAnswer, _ request: PublicRequest) async throws -> Answer {
        switch answer {
        case .signedIn(let signedIn): return .signedIn(signedIn)
        case .secondFactor(let challenge):
            guard !challenge.mustEnrol else { throw AccessFailure.secondFactorRequired }
            return .secondFactor(
                Step(
                    token: challenge.mfaToken, methods: challenge.methods.filter { $0 != Self.keyMethod },
                    keyOptions: challenge.methods.contains(Self.keyMethod) ? try await keyOptions(challenge.mfaToken, request) : nil))
        }
    }

    func keyOptions(_ token: String, _ request: PublicRequest) async throws -> String? {
        let (pending, _) = try await pending(token, request)
        let prepared = try await factors.prepare(
            .webauthn, factor: nil, of: try await account(pending.account), occasion: .signIn(pending),
            organization: pending.organization, request)
        return try prepared.publicKey.map(Self.json)
    }

    func sendCode(_ request: PublicRequest, _ token: String, _ method: String) async throws {
        guard let method = SecondFactorMethod(rawValue: method) else { throw SecondFactorFailure.notSetUp }
        let (pending, _) = try await pending(token, request)
        _ = try await factors.prepare(
            method, factor: nil, of: try await account(pending.account), occasion: .signIn(pending), organization: pending.organization,
            mayMail: pending.demand == .mail, request)
    }

    /// - Parameter shown: a code, or what a security key answered.
    func secondFactor(_ request: PublicRequest, _ token: String, _ method: String, shown: String) async throws -> SignedIn {
        let (pending, held) = try await pending(token, request)
        let account = try await account(pending.account)
        let claims = try await people.claims(of: pending.account, in: pending.organization.description)
        let methods = try await factors.finish(pending, held, claims, with: try Self.proof(method, shown), request)
        return try await gate.finish(account, claims, pending.origin, methods: methods, request)
    }

    private static func proof(_ method: String, _ shown: String) throws -> SecondFactorProof {
        if method == keyMethod { return .key(try (decoded(shown) as WebAuthnResponse).assertion()) }
        guard let code: PresentedCode = try? decoded(shown, isText: true) else { throw SecondFactorFailure.wrongCode }
        if method == SecondFactorChallenge.recoveryMethod { return .recovery(code) }
        guard let known = SecondFactorMethod(rawValue: method) else { throw SecondFactorFailure.wrongCode }
        return .code(known, code)
    }

    private func pending(_ token: String, _ request: PublicRequest) async throws -> (PendingSignIn, MFAToken) {
        guard let secret = PresentedSecret(token) else { throw SecondFactorFailure.badToken }
        return try await factors.pending(secret, now: request.now)
    }

    private func account(_ id: UserID) async throws -> Account {
        guard let account = try await database.first(AccountStore.find(id), as: AccountStore.caller), account.status == .active else {
            throw AccountFailure.wrongCredentials
        }
        return account
    }

    private static func json(_ value: some Encodable) throws -> String { String(decoding: try JSON.encode(value), as: UTF8.self) }

    /// A field read as the same field of a JSON body is.
    private static func decoded<Value: Decodable>(_ text: String, isText: Bool = false) throws -> Value {
        do {
            return try JSON.decode(Value.self, from: isText ? try JSON.encode(text) : Data(text.utf8))
        } catch {
            throw SecondFactorFailure.wrongCode
        }
    }
}
