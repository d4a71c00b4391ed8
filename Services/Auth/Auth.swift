package import Contracts
package import Foundation
package import Logging
package import ServiceKit

/// Who somebody is: accounts, passwords, sessions, and the keys that all tokens are signed with.
package enum Auth: Program {
    package typealias Settings = AuthSettings
    package static let name = ServiceName.auth
    package static let port = 8081
    package static let summary = "Accounts, sign-in, sessions and tokens."

    /// Auth alone signs: it verifies with its own keys and makes its own service tokens.
    package static func identity(
        _ settings: AuthSettings, sealing: Sealing?, now: @escaping @Sendable () -> Date, logger: Logger
    ) throws -> OwnIdentity? {
        let keys = try settings.keyRing(sealing, now: now, logger: logger)
        return OwnIdentity(
            publicKeys: { keys.publicKeys },
            serviceToken: { try await keys.serviceToken(for: name, now: now(), lifetime: settings.serviceTokenLifetime) })
    }

    package static func assemble(_ settings: AuthSettings, _ house: Foundations) throws -> Assembly {
        let keys = try settings.keyRing(house.sealing(), now: house.now, logger: house.logger)
        let accounts = try AccountsAndSessions(settings, house, keys: keys)
        let published = KeyRoutes(keys: keys, secret: house.settings.serviceSecret, lifetime: settings.serviceTokenLifetime)
        let rights = KeysAndRights(settings, house, keys: keys, accounts: accounts)
        let second = try FactorsAndPasskeys(settings, house, keys: keys, accounts: accounts)
        let others = try SignInWithOthers(settings, house, people: accounts.people, gate: accounts.gate, routing: accounts.routing)
        let provider = try OpenIDProvider(settings, house, keys: keys, accounts: accounts, ledger: rights.ledger)
        return Assembly(
            endpoints: others.endpoints + accounts.endpoints + published.endpoints + rights.endpoints + second.endpoints
                + provider.endpoints,
            consumers: rights.consumers,
            workers: accounts.workers + rights.workers + second.workers + provider.workers,
            owned: [OwnedObjects("api_keys"), OwnedObjects("oauth_clients"), OwnedObjects("sso_connections")])
    }
}
