import Contracts
import Foundation
import Postgres

/// The rows of `contacts`: where people can be reached.
struct ContactStore {
    let tx: Transaction

    /// An older message about the same person changes nothing.
    func keep(_ user: UserID, _ email: EmailAddress, firstName: String?, at time: Date) throws {
        try tx.execute(
            """
            INSERT INTO contacts (tenant_id, user_id, email, first_name, updated_at)
            VALUES (\(tx.caller.tenant), \(user), \(email), \(firstName as String?), \(time))
            ON CONFLICT (tenant_id, user_id) DO UPDATE
            SET email = EXCLUDED.email, first_name = coalesce(EXCLUDED.first_name, contacts.first_name), updated_at = EXCLUDED.updated_at
            WHERE contacts.updated_at <= EXCLUDED.updated_at
            """)
    }

    func forget(_ user: UserID) throws {
        try tx.execute("DELETE FROM contacts WHERE user_id = \(user)")
    }

    /// Completes what the sender gave: the address of a person, or the person behind an address.
    func complete(_ recipient: Recipient) throws -> Recipient {
        switch (recipient.userID, recipient.email) {
        case (let user?, nil):
            let email = try tx.first(Query<EmailAddress>("SELECT email FROM contacts WHERE user_id = \(user)", column: "email"))
            return Recipient(userID: user, email: email)
        case (nil, let email?):
            let user = try tx.first(
                Query<UserID>("SELECT user_id FROM contacts WHERE email = \(email) ORDER BY user_id LIMIT 1", column: "user_id"))
            return Recipient(userID: user, email: email)
        default: return recipient
        }
    }
}
