import Contracts
import Foundation
import Postgres

/// Where accounts have signed in before, under the platform's own tenant.
struct SignInPlaceStore {
    let tx: Transaction

    /// More are not kept of one account: those used longest ago are forgotten first.
    static let maximumPerAccount = 100
    /// A place that was not used for so long is a new one.
    static let memory: TimeInterval = 180 * 86_400

    private static func read(_ row: Row) throws -> SignInPlace.Known {
        SignInPlace.Known(device: try row("device"), network: try row("network"), mark: try row("mark"))
    }

    /// Of whoever has the address. No rows where nobody has it.
    static func of(_ email: EmailAddress) -> Query<SignInPlace.Known> {
        Query(
            """
            SELECT p.device, p.network, p.mark FROM sign_in_places p JOIN accounts a ON a.id = p.account_id
            WHERE a.email = \(email) ORDER BY p.last_seen_at DESC LIMIT \(maximumPerAccount)
            """, read)
    }

    func note(_ account: UserID, _ device: DeviceName, _ network: NetworkRange, _ mark: DeviceMark?) throws {
        try tx.execute(
            """
            INSERT INTO sign_in_places AS known (tenant_id, account_id, device, network, mark, first_seen_at, last_seen_at)
            VALUES (\(tx.caller.tenant), \(account), \(device.description), \(network.description), \(mark?.text ?? ""), \(tx.now), \(tx.now))
            ON CONFLICT (tenant_id, account_id, device, network, mark) DO UPDATE SET last_seen_at = excluded.last_seen_at
            """)
    }

    func forgetOldest(_ account: UserID) throws {
        try tx.execute(
            """
            DELETE FROM sign_in_places WHERE account_id = \(account) AND last_seen_at < (
                SELECT last_seen_at FROM sign_in_places WHERE account_id = \(account)
                ORDER BY last_seen_at DESC OFFSET \(Self.maximumPerAccount - 1) LIMIT 1)
            """)
    }

    static func prune(before: Date, limit: Int) -> SQL {
        """
        DELETE FROM sign_in_places WHERE (account_id, device, network, mark) IN
        (SELECT account_id, device, network, mark FROM sign_in_places WHERE last_seen_at < \(before) LIMIT \(limit))
        """
    }
}
