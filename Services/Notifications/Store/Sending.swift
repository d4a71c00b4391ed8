import Messaging
import Postgres

/// Writes a notification, its deliveries and its events together, and wakes the worker once they are committed.
struct Sending {
    let tx: Transaction
    let bell: Bell

    /// False when it had been sent before under the same once-key.
    @discardableResult
    func send(_ notification: Notification) throws -> Bool {
        guard try NotificationStore(tx: tx).add(notification) else { return false }
        try DeliveryStore(tx: tx).add(notification.deliveries)
        for event in notification.announcements { try Outbox(tx).append(event) }
        tx.afterCommit { [bell] in bell.ring() }
        return true
    }
}
