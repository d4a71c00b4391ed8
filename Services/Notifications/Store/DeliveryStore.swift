import Contracts
import Foundation
import Postgres

/// A delivery in a worker's hands, with the organization it belongs to.
struct TakenDelivery: Sendable {
    let tenant: TenantID
    let delivery: Delivery
}

/// The rows of `deliveries`.
struct DeliveryStore {
    let tx: Transaction

    func add(_ deliveries: [Delivery]) throws {
        for delivery in deliveries {
            try tx.execute(
                """
                INSERT INTO deliveries
                    (tenant_id, id, notification_id, channel, recipient, user_id, template, subject, body_text, body_html, status, attempts,
                     next_attempt_at, last_error, created_at, finished_at)
                VALUES (\(tx.caller.tenant), \(delivery.id), \(delivery.notificationID), \(delivery.channel), \(delivery.recipient),
                    \(delivery.userID as UserID?), \(delivery.template as TemplateName?), \(delivery.message?.subject as String?),
                    \(delivery.message?.text as String?), \(delivery.message?.html as String?), \(delivery.status), \(delivery.attempts),
                    \(delivery.nextAttemptAt), \(delivery.lastError as String?), \(delivery.createdAt), \(delivery.finishedAt as Date?))
                """)
        }
    }

    /// Takes at most `limit` mails that are due, one of each organization, going round the organizations from the one after `last`:
    /// however much one of them has queued, the others wait for one mail of it and no more. Runs on the platform's door.
    ///
    /// The rows are chosen once, before any is written: joined to the update directly, the choice could be made again for each row.
    func take(_ limit: Int, after last: TenantID?, now: Date, until lease: Date) throws -> [TakenDelivery] {
        let last = last ?? .platform
        let taken = try tx.query(
            Query(
                """
                WITH due AS MATERIALIZED (
                    SELECT organization.tenant_id, mail.id
                    FROM (
                        SELECT tenant_id FROM deliveries WHERE status = 'queued' AND next_attempt_at <= \(now)
                        GROUP BY tenant_id ORDER BY tenant_id > \(last) DESC, tenant_id LIMIT \(limit)
                    ) AS organization
                    CROSS JOIN LATERAL (
                        SELECT id FROM deliveries
                        WHERE tenant_id = organization.tenant_id AND status = 'queued' AND next_attempt_at <= \(now)
                        ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED
                    ) AS mail
                )
                UPDATE deliveries AS taken SET attempts = taken.attempts + 1, next_attempt_at = \(lease)
                FROM due WHERE taken.tenant_id = due.tenant_id AND taken.id = due.id
                RETURNING taken.tenant_id, taken.id, taken.notification_id, taken.channel, taken.recipient, taken.user_id, taken.template,
                    taken.subject, taken.body_text, taken.body_html, taken.status, taken.attempts, taken.next_attempt_at, taken.last_error,
                    taken.created_at, taken.finished_at
                """
            ) { row in
                TakenDelivery(tenant: try row("tenant_id"), delivery: try Delivery(row))
            })
        // Rows come back in no order: in the order of the round, the last one is where the next round goes on.
        return taken.sorted { ($0.tenant > last ? 0 : 1, $0.tenant) < ($1.tenant > last ? 0 : 1, $1.tenant) }
    }

    /// Writes what became of a try; false when somebody else has taken the mail since, because the lease had run out.
    func settle(_ delivery: Delivery) throws -> Bool {
        let settled = try tx.execute(
            """
            UPDATE deliveries SET status = \(delivery.status), next_attempt_at = \(delivery.nextAttemptAt),
                last_error = \(delivery.lastError as String?), finished_at = \(delivery.finishedAt as Date?),
                subject = \(delivery.message?.subject as String?), body_text = \(delivery.message?.text as String?),
                body_html = \(delivery.message?.html as String?)
            WHERE tenant_id = \(tx.caller.tenant) AND id = \(delivery.id) AND status = 'queued' AND attempts = \(delivery.attempts)
            """)
        return settled == 1
    }

    /// Newest first, from behind `cursor` on; one more than the limit, to know whether there are more.
    static func list(status: DeliveryStatus?, after cursor: (Date, UUID)?, limit: Int) -> Query<Delivery> {
        var filter: SQL = "TRUE"
        if let status { filter += " AND status = \(status)" }
        if let (time, id) = cursor { filter += " AND (created_at, id) < (\(time), \(id))" }
        return Query(
            """
            SELECT id, notification_id, channel, recipient, user_id, template, subject, body_text, body_html, status, attempts,
                next_attempt_at, last_error, created_at, finished_at
            FROM deliveries WHERE \(fragment: filter) ORDER BY created_at DESC, id DESC LIMIT \(limit + 1)
            """
        ) { row in try Delivery(row) }
    }
}

extension Delivery {
    init(_ row: Row) throws {
        let subject: String? = try row("subject")
        let text: String? = try row("body_text")
        let html: String? = try row("body_html")
        var message: Message?
        if let subject, let text, let html { message = Message(subject: subject, text: text, html: html) }
        self.init(
            id: try row("id"), notificationID: try row("notification_id"), channel: try row("channel"), recipient: try row("recipient"),
            userID: try row("user_id"), template: try row("template"), message: message, status: try row("status"),
            attempts: try row("attempts"), nextAttemptAt: try row("next_attempt_at"), lastError: try row("last_error"),
            createdAt: try row("created_at"), finishedAt: try row("finished_at"))
    }
}

extension Channel: SQLBindable, SQLDecodable {}
extension DeliveryStatus: SQLBindable, SQLDecodable {}
extension TemplateName: SQLBindable, SQLDecodable {}
