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

    /// A session of its own in the other organization; the one of the token goes on. It is no younger than that one, and ends no later:
    /// nobody outlives a change of password, or the longest life of a session, by changing to and fro. What the person has shown counts there too, and its
    /// age with it. An organization that demands a second factor which was not shown asks for it here. One that the person does not
    /// belong to is answered as one that is not there.
    func change(_ request: CallerRequest) async throws -> Uncached<SignInAnswer> {
        let caller = request.caller
        // Keys and clients live in one organization; whoever acts as somebody else does so in one.
        guard case .person(let user) = caller.principal, caller.impersonator == nil else { throw AccessFailure.personOnly }
        try PersonalRequest.requireOwnSignIn(caller)
        let organization = try request.path("id", as: TenantID.self)
        // A token that lies about must not become a refresh token: in its own organization there is nothing to change to.
        guard organization != caller.tenant else { throw SwitchFailure.alreadyThere }
        guard let id = caller.session, let parent = try await database.first(SessionStore.find(id), as: caller), parent.account == user,
            parent.isLive(at: request.now)
        else { throw AccessFailure.revokedSession }
        let origin = SessionOrigin.of(parent, life: sessions.life)
        let claims: PersonClaims
        do {
            claims = try await people.claims(of: user, in: organization.description)
        } catch AccountFailure.notAMember {
            throw ResourceFailure.notFound
        }
        guard let account = try await database.first(AccountStore.find(user), as: AccountStore.caller(user)) else {
            throw AccessFailure.notSignedIn
        }
        if let challenge = try await factors.challenge(account, claims, methods: caller.methods, origin: origin, request.http) {
            return Uncached(.secondFactor(challenge))
        }
        return Uncached(
            .signedIn(
                try await sessions.open(
                    for: claims, methods: caller.methods, from: request.http, authenticatedAt: caller.authenticatedAt, origin: origin)))
    }
}

enum SwitchFailure: String, Failure {
    case alreadyThere = "already-there"

    var kind: FailureKind { .conflict }
    var detail: String? { "Your token is of this organization already: refresh it instead." }
}
