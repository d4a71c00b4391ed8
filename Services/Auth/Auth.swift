package import Contracts
import Foundation
package import Logging
package import ServiceKit

/// Who somebody is: accounts, passwords, sessions, and the keys that all tokens are signed with.
package enum Auth: Program {
    package typealias Settings = AuthSettings
    package static let name = ServiceName.auth
    package static let port = 8081
    package static let summary = "Accounts, sign-in, sessions and tokens."

    /// Auth alone signs: it verifies with its own keys and makes its own service tokens.
    package static func identity(_ settings: AuthSettings, logger: Logger) throws -> OwnIdentity? {
        let keys = try KeyRing.open(settings.keyDirectory, logger: logger)
        return OwnIdentity(
            publicKeys: { keys.publicKeys },
            serviceToken: { try await keys.serviceToken(for: name, now: Date(), lifetime: settings.serviceTokenLifetime) })
    }

    package static func assemble(_ settings: AuthSettings, _ house: Foundations) throws -> Assembly {
        let keys = try KeyRing.open(settings.keyDirectory, now: house.now, logger: house.logger)
        let passwords = try PasswordHashing(
            cost: settings.hashing, threads: HashingThreads(threads: settings.hashingThreads, limit: settings.hashingQueue))
        let people = PeopleClient(neighbours: house.neighbours)
        let sessions = Sessions(
            database: house.database, keys: keys, revocations: house.revocations, accessLifetime: settings.accessLifetime,
            refreshLifetime: settings.refreshLifetime, logger: house.logger)
        let completion = RegistrationCompletion(database: house.database, people: people)
        let registration = RegistrationRoutes(
            database: house.database, passwords: passwords, completion: completion, sessions: sessions)
        let signIn = SessionRoutes(
            database: house.database, passwords: passwords, people: people, sessions: sessions, lockOut: settings.lockOut,
            logger: house.logger)
        let published = KeyRoutes(keys: keys, secret: house.settings.serviceSecret, lifetime: settings.serviceTokenLifetime)
        return Assembly(
            endpoints: [registration.endpoints, signIn.endpoints] + published.endpoints,
            workers: [
                PendingRegistrations(
                    database: house.database, completion: completion, age: settings.completionAge, now: house.now, logger: house.logger),
                SessionHousekeeping(
                    database: house.database, revocations: house.revocations, accessLifetime: settings.accessLifetime, now: house.now,
                    logger: house.logger),
            ])
    }
}
