import Contracts
import Foundation
import Postgres

/// The sessions of one organization, when rights in it end.
struct RightsStore {
    let tx: Transaction

    /// Ends every session that was opened until then, of one person or of everybody. The ledger tells of them.
    func endSessions(of user: UserID?, _ reason: SessionEnding.Reason, openedUntil: Date) throws -> [(id: SessionID, account: UserID)] {
        let condition: SQL = user.map { " AND account_id = \($0)" } ?? .empty
        return try tx.query(
            """
            UPDATE sessions SET revoked_at = \(tx.now), revocation_reason = \(reason.rawValue), revocation_published_at = \(tx.now)
            WHERE revoked_at IS NULL AND expires_at > \(tx.now) AND created_at <= \(openedUntil)\(fragment: condition)
            RETURNING id, account_id
            """
        ).map { (try $0("id"), try $0("account_id")) }
    }
}
