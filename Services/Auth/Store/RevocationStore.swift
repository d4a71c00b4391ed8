import Contracts
import Foundation
import Postgres
import ServiceKit

/// A line of the ledger: what ended, and until when tokens of it may be about.
struct RevocationRecord: Sendable {
    let id: UUID
    let tenant: TenantID
    let revoked: Revoked
    let revokedAt: Date
    let tokensExpireAt: Date
}

/// How a kind of ending is written down.
private enum RevocationKind: String {
    case session, member, account, organization
    case apiKey = "api-key"
    case client
}

extension Revoked {
    fileprivate var row: (kind: RevocationKind, subject: UUID) {
        switch self {
        case .session(let id): (.session, id.uuid)
        case .member(let user, _): (.member, user.uuid)
        case .account(let user): (.account, user.uuid)
        case .organization(let tenant): (.organization, tenant.uuid)
        case .apiKey(let id): (.apiKey, id.uuid)
        case .client(let id): (.client, id.uuid)
        }
    }

    fileprivate init(_ kind: RevocationKind, _ subject: UUID, tenant: TenantID) {
        switch kind {
        case .session: self = .session(SessionID(subject))
        case .member: self = .member(UserID(subject), tenant)
        case .account: self = .account(UserID(subject))
        case .organization: self = .organization(TenantID(subject))
        case .apiKey: self = .apiKey(APIKeyID(subject))
        case .client: self = .client(ClientID(subject))
        }
    }
}

/// Endings of one organization, written with the change that caused them.
struct RevocationStore {
    let tx: Transaction

    /// Nil when the same has been written for that time, or a later one: an ending that comes twice is told once.
    func add(_ revoked: Revoked, at time: Date, tokensExpire: Date) throws -> RevocationRecord? {
        let record = RevocationRecord(
            id: .version7(at: tx.now), tenant: tx.caller.tenant, revoked: revoked, revokedAt: time, tokensExpireAt: tokensExpire)
        let (kind, subject) = revoked.row
        let added = try tx.execute(
            """
            INSERT INTO revocations (tenant_id, id, kind, subject_id, revoked_at, tokens_expire_at, recorded_at)
            SELECT \(record.tenant), \(record.id), \(kind.rawValue), \(subject), \(time), \(tokensExpire), \(tx.now)
            WHERE NOT EXISTS (
                SELECT 1 FROM revocations
                WHERE tenant_id = \(record.tenant) AND kind = \(kind.rawValue) AND subject_id = \(subject) AND revoked_at >= \(time))
            """)
        return added == 1 ? record : nil
    }

    static func markPublished(_ ids: [UUID], at now: Date) -> SQL {
        "UPDATE revocations SET published_at = \(now) WHERE id = ANY(\(ids)) AND published_at IS NULL"
    }
}

/// The platform's own work on the endings of all organizations.
struct PlatformRevocationStore {
    let tx: Transaction

    private static func read(_ row: Row) throws -> RevocationRecord {
        let tenant: TenantID = try row("tenant_id"), text: String = try row("kind")
        guard let kind = RevocationKind(rawValue: text) else { throw ResourceFailure.notFound }
        return RevocationRecord(
            id: try row("id"), tenant: tenant, revoked: Revoked(kind, try row("subject_id"), tenant: tenant),
            revokedAt: try row("revoked_at"), tokensExpireAt: try row("tokens_expire_at"))
    }

    /// Endings that not every program has been told of.
    func unpublished(limit: Int) throws -> [RevocationRecord] {
        try tx.query(
            Query(
                """
                SELECT tenant_id, id, kind, subject_id, revoked_at, tokens_expire_at FROM revocations
                WHERE published_at IS NULL ORDER BY recorded_at LIMIT \(limit)
                """, Self.read))
    }

    func markPublished(_ ids: [UUID]) throws {
        try tx.execute("UPDATE revocations SET published_at = \(tx.now) WHERE id = ANY(\(ids)) AND published_at IS NULL")
    }

    /// Endings written since then of which a token may still live, the newest first.
    func living(since: Date, limit: Int) throws -> [RevocationRecord] {
        try tx.query(
            Query(
                """
                SELECT tenant_id, id, kind, subject_id, revoked_at, tokens_expire_at FROM revocations
                WHERE recorded_at >= \(since) AND tokens_expire_at > \(tx.now) ORDER BY recorded_at DESC LIMIT \(limit)
                """, Self.read))
    }

    /// Sessions that ended one by one since then, the newest first; those that ended with a membership are in the ledger as one.
    func endedSessions(since: Date, lifetime: TimeInterval, limit: Int) throws -> [RevocationRecord] {
        try tx.query(
            Query(
                """
                SELECT tenant_id, id, revoked_at FROM sessions
                WHERE revoked_at >= \(since) AND revocation_reason <> ALL(\(SessionEnding.Reason.allCases.map(\.rawValue)))
                ORDER BY revoked_at DESC LIMIT \(limit)
                """
            ) { row in
                let session: SessionID = try row("id"), revokedAt: Date = try row("revoked_at")
                return RevocationRecord(
                    id: session.uuid, tenant: try row("tenant_id"), revoked: .session(session), revokedAt: revokedAt,
                    tokensExpireAt: revokedAt.addingTimeInterval(lifetime))
            })
    }

    /// Returns how many.
    func prune(before: Date, limit: Int) throws -> Int {
        try tx.execute(
            """
            DELETE FROM revocations WHERE (tenant_id, id) IN
            (SELECT tenant_id, id FROM revocations WHERE tokens_expire_at < \(before) LIMIT \(limit))
            """)
    }
}
