import Contracts
import Foundation
import ServiceKit
import ServiceLifecycle

/// The part of auth's composition that is about keys and about the end of rights.
struct KeysAndRights {
    let endpoints: [Endpoints]
    let consumers: [Consumption]
    let workers: [any Service]
    /// For whoever ends something else: what is recorded there is dead everywhere.
    let ledger: RevocationLedger

    init(_ settings: AuthSettings, _ house: Foundations, keys: KeyRing, accounts: AccountsAndSessions) {
        let people = accounts.people
        let ledger = accounts.ledger
        let rights = RightsEnding(ledger: ledger)
        let exchange = APIKeyExchange(
            database: house.database, people: people, keys: keys, revocations: house.revocations, lifetime: settings.apiKeyTokenLifetime,
            now: house.now, logger: house.logger)
        let asked = RightsRoutes(
            database: house.database, rights: rights, exchange: exchange, sessionTokens: max(settings.accessLifetime, Impersonation.longest)
        )
        let apiKeys = APIKeyRoutes(database: house.database, ledger: ledger)
        let impersonation = ImpersonationRoutes(database: house.database, people: people, keys: keys, ledger: ledger)
        let switching = SwitchRoutes(
            database: house.database, people: people, factors: accounts.factors, sessions: accounts.sessions)
        // Auth asks itself, not over HTTP.
        house.apiKeys.use { try await exchange.token(for: $0) }
        house.revocations.use { [now = house.now] in try await asked.list(since: $0, now: now()) }
        self.ledger = ledger
        endpoints = asked.endpoints + [apiKeys.endpoints, impersonation.endpoints, switching.endpoints]
        consumers = [
            Consumption(
                "rights", EndRemovedMember(rights: rights), EndDeletedUser(rights: rights), EndSuspendedMember(rights: rights),
                EndChangedRights(rights: rights), EndSuspendedOrganization(rights: rights), EndDeletedOrganization(rights: rights))
        ]
        workers = [
            KeyRotation(keys: keys, age: settings.keyRotation, logger: house.logger),
            RevocationAnnouncements(ledger: ledger, now: house.now),
        ]
    }
}
