import Contracts
import Foundation
import Messaging
import Metrics
import Postgres
import ServiceKit

/// What auth does when somebody's rights in an organization end, or everybody's: sessions end, keys die, tokens are dead everywhere.
///
/// It is told twice: by users at once, over `/internal/v1`, and by users' events, which come also when auth was away. Whichever is
/// second finds nothing left to do.
struct RightsEnding: Sendable {
    let ledger: RevocationLedger

    /// - Parameter time: when the rights ended. Sessions opened and tokens signed later are of somebody who was let in again.
    /// - Returns: what is to be told once the transaction is committed.
    func apply(_ ending: SessionEnding, at time: Date, in tx: Transaction, _ request: PublicRequest?) throws -> [RevocationRecord] {
        var records: [RevocationRecord?] = []
        var sessions: [(id: SessionID, account: UserID)] = []
        var keys: [(id: APIKeyID, owner: UserID)] = []
        if ending.reason != .rightsChanged {
            sessions = try RightsStore(tx: tx).endSessions(of: ending.user, ending.reason, openedUntil: time)
        }
        if let reason = ending.reason.keyEnd {
            keys = try APIKeyStore(tx: tx).revokeAll(of: ending.user, reason, madeUntil: time)
            try Outbox(tx).append(keys.map { APIKeyRevoked(keyID: $0.id, userID: $0.owner, reason: reason.rawValue) })
            for key in keys { records.append(try ledger.record(.apiKey(key.id), at: time, in: tx)) }
        }
        if let user = ending.user {
            records.append(try ledger.record(.member(user, ending.tenant), at: time, in: tx))
            // One by one too: whatever the second says in which a token of theirs was signed.
            for session in sessions { records.append(try ledger.record(.session(session.id), at: time, in: tx)) }
            try Outbox(tx).append(
                sessions.map { SessionRevoked(sessionID: $0.id, userID: $0.account, reason: ending.reason.rawValue) })
        } else {
            // The organization's own event says it for everybody.
            records.append(try ledger.record(.organization(ending.tenant), at: time, in: tx))
        }
        if !sessions.isEmpty || !keys.isEmpty { try audit(ending, sessions.count, keys.count, tx, request) }
        return records.compactMap { $0 }
    }

    private func audit(_ ending: SessionEnding, _ sessions: Int, _ keys: Int, _ tx: Transaction, _ request: PublicRequest?) throws {
        let (type, id) = ending.user.map { ("member", $0.description) } ?? ("organization", ending.tenant.description)
        try Audit(tx, request).record(
            "auth.rights.end", type, id, risk: "medium",
            changed: ["reason": .string(ending.reason.rawValue), "sessions": .integer(sessions), "apiKeys": .integer(keys)])
        let reason = ending.reason.rawValue
        tx.afterCommit {
            Counter(label: "trionex_auth_sessions_ended_total", dimensions: [("reason", reason)]).increment(by: sessions)
        }
    }
}

extension SessionEnding.Reason {
    /// Whether keys die for good. A suspended owner's keys come back with the owner: each exchange asks for the rights of that moment.
    fileprivate var keyEnd: APIKey.EndReason? {
        switch self {
        case .memberRemoved: .ownerRemoved
        case .organizationDeleted: .organizationDeleted
        case .memberSuspended, .rightsChanged, .organizationSuspended: nil
        }
    }
}
