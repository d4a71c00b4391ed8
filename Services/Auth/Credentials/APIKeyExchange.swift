import Contracts
import Foundation
import Logging
import Metrics
import Postgres
import ServiceKit

/// API keys against short-lived access tokens. The rights are looked up at each exchange, so a key never outlives its owner's.
struct APIKeyExchange: Sendable {
    let database: Database
    let people: PeopleClient
    let keys: KeyRing
    let revocations: Revocations
    let lifetime: TimeInterval
    let now: @Sendable () -> Date
    let logger: Logger

    /// Throws `AccessFailure.badAPIKey` for a key that is unknown, expired, revoked, or whose owner may not come in any more.
    func token(for text: String) async throws -> ServiceToken {
        do {
            let token = try await exchange(text)
            Self.count("succeeded")
            return token
        } catch let refusal as AccessFailure {
            Self.count("refused")
            throw refusal
        }
    }

    private func exchange(_ text: String) async throws -> ServiceToken {
        let now = now()
        guard let secret = APIKeySecret(text) else { throw AccessFailure.badAPIKey }
        let caller = Caller.anonymous(in: secret.tenant)
        guard let key = try await database.first(APIKeyStore.find(secret), as: caller), key.isLive(at: now) else {
            throw AccessFailure.badAPIKey
        }
        let claims: PersonClaims
        do {
            claims = try await people.claims(of: key.owner, in: secret.tenant.description)
        } catch let refusal as AccountFailure where refusal.kind == .forbidden {
            throw AccessFailure.badAPIKey
        }
        let issued = try await revocations.issueTime(user: key.owner, tenant: secret.tenant, now: now)
        let end = min(now.addingTimeInterval(lifetime), key.expiresAt ?? .distantFuture)
        let access = AccessClaims(
            user: key.owner, session: nil, tenant: secret.tenant, roles: [],
            permissions: key.permissions(within: PermissionSet(claims.permissions)), plan: claims.organization.plan, amr: ["key"],
            issuedAt: issued, lifetime: max(1, end.timeIntervalSince(issued)), apiKey: key.id)
        let token = ServiceToken(token: try await keys.sign(access), expiresAt: end)
        await note(key, caller, now)
        return token
    }

    /// The key is good whether or not its use could be written down.
    private func note(_ key: APIKey, _ caller: Caller, _ now: Date) async {
        do {
            try await database.execute(APIKeyStore.noteUse(key.id, at: now), as: caller)
        } catch {
            logger.warning("the use of an API key could not be noted", metadata: ["reason": "\(error)"])
        }
    }

    private static func count(_ result: String) {
        Counter(label: "trionex_auth_api_key_exchanges_total", dimensions: [("result", result)]).increment()
    }
}
