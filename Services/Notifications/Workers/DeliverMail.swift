import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceLifecycle

/// Takes the mails that are due, of all organizations in turn, sends them, and writes down what became of them.
///
/// A mail is taken by moving its next try ahead by a lease: if this program dies, another one takes it when the lease is over. Whether
/// the mail server took a mail and the outcome was written are two systems' facts, so one mail may go out twice when a
/// program dies between them; both have the same Message-ID.
struct DeliverMail: Service {
    let database: Database
    let mailer: SMTPMailer
    let sender: MailSender
    let schedule: RetrySchedule
    /// Mails under way at once.
    let slots: Int
    let bell: Bell
    let now: @Sendable () -> Date
    let logger: Logger

    /// Longer than any one mail takes, with the writing of its outcome.
    static let lease: TimeInterval = 120

    func run() async throws {
        mailer.start()
        let work = DueWork<TakenDelivery>("mail that is due", slots: slots, bell: bell, logger: logger) { [database] limit, last in
            try await database.platform(PlatformWork("mail that is due")) { tx in
                try DeliveryStore(tx: tx).take(limit, after: last, now: tx.now, until: tx.now.addingTimeInterval(Self.lease))
            }
        } tenant: {
            $0.tenant
        } perform: {
            await deliver($0)
        }
        await work.run()
        mailer.stop()
    }

    private func deliver(_ taken: TakenDelivery) async {
        let outcome = await send(taken.delivery)
        let time = now()
        let jitter = Double.random(in: 0...1)
        await Outcome.write(["delivery": "\(taken.delivery.id)"], logger: logger) {
            try await record(outcome, of: taken, at: time, jitter: jitter)
        }
    }

    private func send(_ delivery: Delivery) async -> Result<Void, DeliveryRefusal> {
        guard let message = delivery.message, let address = EmailAddress(rawValue: delivery.recipient) else {
            return .failure(DeliveryRefusal("there is nothing to send, or nobody to send it to", isFinal: true))
        }
        return await mailer.send(
            OutgoingMail(delivery: delivery.id, from: sender, to: address, date: delivery.createdAt, message: message))
    }

    /// The new state and the event that tells of it, together.
    private func record(_ outcome: Result<Void, DeliveryRefusal>, of taken: TakenDelivery, at time: Date, jitter: Double) async throws {
        let schedule = schedule
        let status = try await database.transaction(as: .service(.notifications, for: taken.tenant)) { tx -> DeliveryStatus? in
            var delivery = taken.delivery
            let store = DeliveryStore(tx: tx)
            switch outcome {
            case .success:
                let event = delivery.succeed(at: time)
                guard try store.settle(delivery) else { return nil }
                try Outbox(tx).append(event)
            case .failure(let refusal):
                let event = delivery.refuse(refusal, at: time, schedule, jitter: jitter)
                guard try store.settle(delivery) else { return nil }
                if let event { try Outbox(tx).append(event) }
            }
            return delivery.status
        }
        guard let status else { return }
        let label = status == .queued ? "retried" : status.rawValue
        Counter(label: "trionex_notifications_deliveries_total", dimensions: [("channel", "email"), ("outcome", label)]).increment()
        if case .failure(let refusal) = outcome {
            logger.warning(
                "a mail was not taken",
                metadata: [
                    "delivery": "\(taken.delivery.id)", "tenantId": "\(taken.tenant)", "attempt": "\(taken.delivery.attempts)",
                    "outcome": "\(label)", "reason": "\(refusal.reason)",
                ])
        }
    }
}
