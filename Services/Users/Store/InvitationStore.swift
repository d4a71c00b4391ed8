import Contracts
import Foundation
import Postgres

extension Invitation.Status: SQLBindable, SQLDecodable {}
extension InvitationMessage: SQLBindable, SQLDecodable {}

/// The invitations of the caller's organization.
struct InvitationStore {
    let tx: Transaction

    private static let columns: SQL = """
        id, user_id, email, role, message, digest, status, invited_by, created_at, expires_at, sent_at, sends, settled_at
        """

    private static func read(_ row: Row) throws -> Invitation {
        Invitation(
            id: try row("id"), user: try row("user_id"), email: try row("email"), role: try row("role"), message: try row("message"),
            digest: try row("digest"), status: try row("status"), invitedBy: try row("invited_by"), createdAt: try row("created_at"),
            expiresAt: try row("expires_at"), sentAt: try row("sent_at"), sends: try row("sends"), settledAt: try row("settled_at"))
    }

    static func find(_ id: InvitationID) -> Query<Invitation> {
        Query("SELECT \(fragment: columns) FROM invitations WHERE id = \(id)", read)
    }

    static func page(_ state: Invitation.State?, now: Date, after cursor: (Date, UUID)?, limit: Int) -> Query<Invitation> {
        var conditions: [SQL] = ["true"]
        switch state {
        case nil: break
        case .pending: conditions.append("status = 'pending' AND expires_at > \(now)")
        case .expired: conditions.append("status = 'pending' AND expires_at <= \(now)")
        case .accepted: conditions.append("status = 'accepted'")
        case .declined: conditions.append("status = 'declined'")
        case .revoked: conditions.append("status = 'revoked'")
        }
        if let (time, id) = cursor { conditions.append("(created_at, id) < (\(time), \(id))") }
        return Query(
            """
            SELECT \(fragment: columns) FROM invitations WHERE \(fragment: conditions.joined(separator: " AND "))
            ORDER BY created_at DESC, id DESC LIMIT \(limit)
            """, read)
    }

    func lock(_ id: InvitationID) throws -> Invitation {
        let query = Self.find(id)
        guard let found = try tx.first(Query(query.sql + " FOR UPDATE", query.decode)) else { throw ResourceFailure.notFound }
        return found
    }

    static func find(digest: Data) -> Query<Invitation> {
        Query("SELECT \(fragment: columns) FROM invitations WHERE digest = \(digest)", read)
    }

    /// Throws `InvitationFailure.notFound`.
    func lock(digest: Data) throws -> Invitation {
        let query = Self.find(digest: digest)
        guard let found = try tx.first(Query(query.sql + " FOR UPDATE", query.decode)) else { throw InvitationFailure.notFound }
        return found
    }

    /// The open one of an address, or of a person who is invited.
    func lockOpen(_ email: EmailAddress) throws -> Invitation? {
        try tx.first(
            Query(
                "SELECT \(fragment: Self.columns) FROM invitations WHERE email = \(email) AND status = 'pending' FOR UPDATE", Self.read))
    }

    /// Another role in the open invitation of somebody.
    func offer(_ role: RoleName, to user: UserID) throws {
        try tx.execute("UPDATE invitations SET role = \(role) WHERE user_id = \(user) AND status = 'pending'")
    }

    /// Letters since a time: the first of each invitation, and what was sent again.
    func letters(since: Date) throws -> Int {
        try tx.first("SELECT coalesce(sum(sends), 0)::bigint AS count FROM invitations WHERE sent_at > \(since)").map { try $0("count") }
            ?? 0
    }

    /// Throws `InvitationFailure.alreadyInvited`.
    func insert(_ invitation: Invitation) throws {
        do {
            try tx.execute(
                """
                INSERT INTO invitations (tenant_id, id, user_id, email, role, message, digest, status, invited_by, created_at, expires_at,
                    sent_at, sends)
                VALUES (\(tx.caller.tenant), \(invitation.id), \(invitation.user), \(invitation.email), \(invitation.role),
                    \(invitation.message), \(invitation.digest), \(invitation.status), \(invitation.invitedBy), \(invitation.createdAt),
                    \(invitation.expiresAt), \(invitation.sentAt), \(invitation.sends))
                """)
        } catch let failure as PostgresFailure where failure.isUniqueViolation && failure.constraint == "invitations_open" {
            throw InvitationFailure.alreadyInvited
        }
    }

    /// `account` is who took it, where that is not the id it was made with.
    func save(_ invitation: Invitation, takenBy account: UserID? = nil) throws {
        try tx.execute(
            """
            UPDATE invitations SET user_id = \(account ?? invitation.user), digest = \(invitation.digest), status = \(invitation.status),
                expires_at = \(invitation.expiresAt), sent_at = \(invitation.sentAt), sends = \(invitation.sends),
                settled_at = \(invitation.settledAt)
            WHERE id = \(invitation.id)
            """)
    }
}
