import Contracts
import Foundation
import Postgres
import ServiceKit

/// Signing in with others, put together.
struct SignInWithOthers {
    private let connections: SSOConnectionRoutes
    private let signIn: SSOSignInRoutes
    private let identities: SSOIdentityRoutes

    init(_ settings: AuthSettings, _ house: Foundations, people: PeopleClient, gate: SignInGate, routing: SSORouting) throws {
        let transport = SSOTransport(guarding: SSOAddressGuard(allowsPrivate: settings.allowsPrivateIssuers))
        let issuers = SSOIssuers(transport: transport, now: house.now)
        let organizations = SSOOrganizations(neighbours: house.neighbours)
        let sealing = try house.sealing(), publicURL = house.settings.publicURL
        connections = SSOConnectionRoutes(database: house.database, issuers: issuers, sealing: sealing, publicURL: publicURL)
        signIn = SSOSignInRoutes(
            database: house.database, signIn: SSOSignIn(issuers: issuers),
            admission: SSOAdmission(database: house.database, people: people, organizations: organizations, sessions: gate.sessions),
            routing: routing,
            people: people, gate: gate, sealing: sealing, publicURL: publicURL, logger: house.logger)
        identities = SSOIdentityRoutes(database: house.database)
    }

    var endpoints: [Endpoints] { [connections.endpoints, signIn.endpoints, identities.endpoints] }
}
