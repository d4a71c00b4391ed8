import Contracts
import Foundation
import Postgres

/// Sign-ins under way and the codes that end them, of one organization. Each is taken once: reading it is removing it.
struct SSOAttemptStore {
    let tx: Transaction

    /// Expired rows that each new one removes: they never pile up, and no worker is needed.
    static let prunedAtOnce = 100

    func insert(_ attempt: SSOAttempt, _ secrets: SSOSecrets) throws {
        try tx.execute(
            """
            DELETE FROM sso_attempts WHERE state_digest IN
            (SELECT state_digest FROM sso_attempts WHERE expires_at < \(tx.now) LIMIT \(Self.prunedAtOnce))
            """)
        try tx.execute(
            """
            INSERT INTO sso_attempts (
                tenant_id, state_digest, browser_digest, connection_id, return_to, challenge, link_to, created_at, expires_at)
            VALUES (
                \(tx.caller.tenant), \(secrets.stateDigest), \(secrets.browserDigest), \(attempt.connection), \(attempt.returnTo),
                \(attempt.challenge), \(attempt.linkTo), \(attempt.createdAt),
                \(attempt.createdAt.addingTimeInterval(SSOAttempt.lifetime)))
            """)
    }

    /// Of this browser, this connection and this hour, or nothing; then nobody can take it again.
    static func take(_ secrets: SSOSecrets, _ connection: SSOConnectionID, at now: Date) -> Query<SSOAttempt> {
        Query(
            """
            DELETE FROM sso_attempts
            WHERE state_digest = \(secrets.stateDigest) AND browser_digest = \(secrets.browserDigest)
                AND connection_id = \(connection) AND expires_at > \(now)
            RETURNING connection_id, return_to, challenge, link_to, created_at
            """
        ) { row in
            SSOAttempt(
                connection: try row("connection_id"), returnTo: try row("return_to"), challenge: try row("challenge"),
                linkTo: try row("link_to"), createdAt: try row("created_at"))
        }
    }

    struct Grant: Sendable {
        let connection: SSOConnectionID
        let account: UserID
        let challenge: String?
    }

    func insert(_ code: SSOCode, _ grant: Grant) throws {
        try tx.execute(
            """
            DELETE FROM sso_codes WHERE digest IN
            (SELECT digest FROM sso_codes WHERE expires_at < \(tx.now) LIMIT \(Self.prunedAtOnce))
            """)
        try tx.execute(
            """
            INSERT INTO sso_codes (tenant_id, digest, connection_id, account_id, challenge, expires_at)
            VALUES (\(tx.caller.tenant), \(code.digest), \(grant.connection), \(grant.account), \(grant.challenge),
                    \(tx.now.addingTimeInterval(SSOAttempt.codeLifetime)))
            """)
    }

    static func take(_ code: SSOCode, at now: Date) -> Query<Grant> {
        Query(
            "DELETE FROM sso_codes WHERE digest = \(code.digest) AND expires_at > \(now) RETURNING connection_id, account_id, challenge"
        ) { row in
            Grant(connection: try row("connection_id"), account: try row("account_id"), challenge: try row("challenge"))
        }
    }
}
