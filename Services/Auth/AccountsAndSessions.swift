import Foundation
import ServiceKit
import ServiceLifecycle

/// The part of auth that knows people by their passwords and keeps them signed in: what it is built of, and what others build on.
struct AccountsAndSessions {
    let people: PeopleClient
    let passwords: PasswordHashing
    let sessions: Sessions
    let gate: SignInGate
    let factors: SecondFactors
    /// Passwords are checked here alone, also on the pages of the OpenID provider.
    let signIn: PasswordSignIn
    let routing: SSORouting
    /// What is recorded there is dead everywhere.
    let ledger: RevocationLedger
    /// Forgotten passwords are asked about on pages too.
    let password: PasswordRoutes
    let endpoints: [Endpoints]
    let workers: [any Service]

    init(_ settings: AuthSettings, _ house: Foundations, keys: KeyRing) throws {
        let (database, logger) = (house.database, house.logger)
        let sealing = try house.sealing()
        passwords = try PasswordHashing(
            cost: settings.hashing, threads: HashingThreads(threads: settings.hashingThreads, limit: settings.hashingQueue))
        let policy = PasswordPolicy(leaked: try settings.badPasswords.map { try LeakedPasswords(contentsOf: $0) } ?? .none)
        people = PeopleClient(neighbours: house.neighbours)
        sessions = Sessions(
            database: database, keys: keys, revocations: house.revocations, accessLifetime: settings.accessLifetime,
            life: settings.sessionLife, logger: logger)
        factors = try SecondFactors(settings, house)
        gate = SignInGate(
            database: database, sessions: sessions, sealing: sealing, factors: factors, riskThreshold: settings.riskThreshold,
            isSecure: house.settings.publicURL.hasPrefix("https:"), logger: logger)
        routing = SSORouting(database: database, organizations: SSOOrganizations(neighbours: house.neighbours))
        signIn = PasswordSignIn(
            database: database, passwords: passwords, lockOut: settings.lockOut, routing: routing, sealing: sealing, logger: logger)
        let proofs = EmailProofs(
            database: database, sealing: sealing, publicURL: house.settings.publicURL,
            verificationLifetime: settings.verificationLifetime, resetLifetime: settings.resetLifetime)
        let completion = RegistrationCompletion(database: database, people: people, proofs: proofs)
        ledger = RevocationLedger(
            database: database, revocations: house.revocations, longestToken: settings.longestToken, signal: RevocationSignal(),
            logger: logger)
        let apiKeys = APIKeyEnding(database: database, ledger: ledger)
        let change = PasswordChange(
            database: database, passwords: passwords, policy: policy, proofs: proofs, sessions: sessions, keys: apiKeys, logger: logger)
        let registration = RegistrationRoutes(
            database: database, passwords: passwords, policy: policy, completion: completion, gate: gate, proofs: proofs,
            routing: routing, mode: settings.registrationMode, publicURL: house.settings.publicURL)
        let email = EmailRoutes(
            database: database, proofs: proofs,
            verification: EmailVerification(
                database: database, proofs: proofs, passwords: passwords, completion: completion, logger: logger))
        password = PasswordRoutes(
            database: database, passwords: passwords, policy: policy, proofs: proofs, change: change, signIn: signIn)
        endpoints =
            [
                registration.endpoints, InvitationPageRoutes(registration: registration).endpoints,
                SessionRoutes(database: database, signIn: signIn, gate: gate, people: people, sessions: sessions).endpoints,
                SessionListRoutes(database: database, sessions: sessions).endpoints, email.endpoints,
                AccountRoutes(database: database).endpoints,
            ] + password.endpoints
        workers = [
            PendingRegistrations(
                database: database, completion: completion, age: settings.completionAge, now: house.now, logger: logger),
            SessionHousekeeping(
                database: database, revocations: house.revocations, accessLifetime: settings.accessLifetime, now: house.now, logger: logger),
            AccountHousekeeping(
                database: database, sessions: sessions, keys: apiKeys, passwords: passwords, now: house.now, logger: logger),
            LetterDelivery(database: database, neighbours: house.neighbours, sealing: sealing, now: house.now, logger: logger),
        ]
    }
}
