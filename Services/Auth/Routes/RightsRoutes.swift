import Contracts
import Foundation
import HTTPTypes
import Postgres
import ServiceKit

/// What the platform's other programs ask of auth: to end rights, to exchange keys, and what has ended.
struct RightsRoutes {
    let database: Database
    let rights: RightsEnding
    let exchange: APIKeyExchange
    /// The longest life of a token with a session.
    let sessionTokens: TimeInterval

    /// Endings in one answer; far more than end in the life of a token.
    static let limit = 20_000

    var endpoints: [Endpoints] {
        [
            Endpoints("/internal/v1/sessions") {
                Endpoint.post("end", "End somebody's rights in an organization, or everybody's", may: .service, end)
            },
            Endpoints("/internal/v1/api-keys") {
                Endpoint.post("exchange", "Exchange an API key for a short-lived access token", may: .service, trade)
            },
            Endpoints("/internal/v1/revocations") {
                Endpoint.get("", "What has ended before its tokens expired", may: .service, list)
            },
        ]
    }

    /// 204 when it is written down: every program refuses the tokens within two seconds, or as soon as it can be told.
    func end(_ request: CallerRequest, _ ending: SessionEnding) async throws -> NoContent {
        let now = request.now
        if ending.user == nil, ending.reason.isOfMember {
            throw ValidationFailure("/user", "missing", "name whose rights end")
        }
        let caller = Caller.service(.auth, for: ending.tenant), rights = rights
        let records = try await database.transaction(as: caller) { tx in try rights.apply(ending, at: now, in: tx, request.http) }
        await rights.ledger.announce(records, as: caller, at: now)
        return NoContent()
    }

    func trade(_ request: CallerRequest, _ body: APIKeyExchangeRequest) async throws -> Uncached<ServiceToken> {
        Uncached(try await exchange.token(for: body.key))
    }

    struct Since: Decodable, Sendable {
        /// Endings that were written since then; without it, all of which a token may still live.
        let since: Date?
    }

    /// For programs that cannot read Redis, or were just started: from the database, whatever Redis has forgotten.
    func list(_ request: CallerRequest, _ query: Since) async throws -> RevocationList {
        try await list(since: query.since, now: request.now)
    }

    func list(since: Date?, now: Date) async throws -> RevocationList {
        let lifetime = sessionTokens, longest = rights.ledger.longestToken
        let records = try await database.platform(PlatformWork("endings asked for")) { tx in
            let store = PlatformRevocationStore(tx: tx)
            return try store.living(since: since ?? now.addingTimeInterval(-longest), limit: Self.limit)
                + store.endedSessions(since: since ?? now.addingTimeInterval(-lifetime), lifetime: lifetime, limit: Self.limit)
        }
        return RevocationList(
            endings: records.map { .init($0.revoked, at: $0.revokedAt, tokensExpire: $0.tokensExpireAt) })
    }
}

extension SessionEnding.Reason {
    /// Whether it is about one person; the others are about the organization.
    fileprivate var isOfMember: Bool {
        switch self {
        case .memberRemoved, .memberSuspended, .rightsChanged: true
        case .organizationSuspended, .organizationDeleted: false
        }
    }
}
