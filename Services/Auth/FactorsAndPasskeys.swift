import Foundation
import Postgres
import ServiceKit
import ServiceLifecycle

/// The part of auth that asks for more than a password, or for something better.
struct FactorsAndPasskeys {
    let endpoints: [Endpoints]
    let workers: [any Service]

    init(_ settings: AuthSettings, _ house: Foundations, keys: KeyRing, accounts: AccountsAndSessions) throws {
        let database = house.database, factors = accounts.factors
        let enrolment = FactorEnrolment(
            database: database, sealing: try house.sealing(), relyingParty: factors.relyingParty, codes: factors.codes)
        endpoints =
            SecondFactorRoutes(
                database: database, people: accounts.people, verifier: house.verifier, factors: factors, enrolment: enrolment,
                gate: accounts.gate, isSecure: house.settings.publicURL.hasPrefix("https:")
            ).endpoints + [
                StepUpRoutes(
                    database: database, people: accounts.people, passwords: accounts.passwords, keys: keys, revocations: house.revocations,
                    factors: factors, accessLifetime: settings.accessLifetime
                ).endpoints,
                PasskeyRoutes(accounts, database).endpoints,
            ]
        workers = [SecondFactorHousekeeping(database: database, now: house.now, logger: house.logger)]
    }
}

extension PasskeyRoutes {
    init(_ accounts: AccountsAndSessions, _ database: Database) {
        self.init(
            database: database, people: accounts.people, factors: accounts.factors, routing: accounts.routing, gate: accounts.gate)
    }
}

extension SecondFactors {
    init(_ settings: AuthSettings, _ house: Foundations) throws {
        let publicURL = house.settings.publicURL, sealing = try house.sealing()
        let origins = settings.relyingPartyOrigins.isEmpty ? WebAuthnRelyingParty.usualOrigins(of: publicURL) : settings.relyingPartyOrigins
        self.init(
            database: house.database, sealing: sealing,
            relyingParty: WebAuthnRelyingParty(
                id: settings.relyingPartyID ?? WebAuthnRelyingParty.usualID(of: publicURL), name: settings.relyingPartyName,
                origins: Set(origins), attestation: settings.attestation, sealing: sealing),
            textsPerDay: settings.textsPerDay)
    }
}
