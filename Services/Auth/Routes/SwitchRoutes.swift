import Contracts
import Foundation
import Postgres
import ServiceKit

/// From one organization to another of the same person, without signing in again.
struct SwitchRoutes {
    let database: Database
    let people: PeopleClient
    let factors: SecondFactors
    let sessions: Sessions

    var endpoints: Endpoints {
        Endpoints("auth/organizations") {
            Endpoint.post(":id/switch", "Tokens for another of your organizations", may: .signedIn, change)
        }
    }

    /// A session of its own in the other organization; the one of the token goes on. What the person has shown counts there too, and its
    /// age with it. An organization that demands a second factor which was not shown asks for it here. One that the person does not
    /// belong to is answered as one that is not there.
    func change(_ request: CallerRequest) async throws -> Uncached<SignInAnswer> {
        let caller = request.caller
        // Keys and clients live in one organization; whoever acts as somebody else does so in one.
        guard case .person(let user) = caller.principal, caller.impersonator == nil else { throw AccessFailure.personOnly }
        let organization = try request.path("id", as: TenantID.self)
        let claims: PersonClaims
        do {
            claims = try await people.claims(of: user, in: organization.description)
        } catch AccountFailure.notAMember {
            throw ResourceFailure.notFound
        }
        guard let account = try await database.first(AccountStore.find(user), as: AccountStore.caller(user)) else {
            throw AccessFailure.notSignedIn
        }
        if let challenge = try await factors.challenge(account, claims, methods: caller.methods, request.http) {
            return Uncached(.secondFactor(challenge))
        }
        return Uncached(
            .signedIn(
                try await sessions.open(
                    for: claims, methods: caller.methods, from: request.http, authenticatedAt: caller.authenticatedAt)))
    }
}
