import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceLifecycle
import Synchronization

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
    private let flights = Flights()
    private let isAway = TroubleFlag()

    /// Longer than any one mail takes, with the writing of its outcome.
    static let lease: TimeInterval = 120
    /// How often it looks without being woken.
    static let pollPause = Duration.seconds(1)
    /// Tries to write an outcome down before the lease is left to run out.
    static let recordTries = 10

    init(
        database: Database, mailer: SMTPMailer, sender: MailSender, schedule: RetrySchedule, slots: Int, bell: Bell,
        now: @escaping @Sendable () -> Date, logger: Logger
    ) {
        self.database = database
        self.mailer = mailer
        self.sender = sender
        self.schedule = schedule
        self.slots = slots
        self.bell = bell
        self.now = now
        self.logger = logger
    }

    func run() async throws {
        mailer.start()
        let clock = Task {
            while !Task.isCancelled {
                bell.ring()
                try? await Task.sleep(for: Self.pollPause)
            }
        }
        await cancelWhenGracefulShutdown {
            var last: TenantID?
            for await _ in bell.rings { last = await takeDue(after: last) }
        }
        clock.cancel()
        await flights.landed()
        mailer.stop()
    }

    /// Fills the free slots, one mail of each organization at a time; returns the organization to go on behind.
    private func takeDue(after last: TenantID?) async -> TenantID? {
        var last = last
        while !Task.isCancelled {
            let free = slots - flights.count
            guard free > 0 else { return last }
            do {
                let previous = last
                let taken = try await database.platform(PlatformWork("mail that is due")) { tx in
                    try DeliveryStore(tx: tx).take(free, after: previous, now: tx.now, until: tx.now.addingTimeInterval(Self.lease))
                }
                isAway.lower()
                guard let final = taken.last else { return last }
                last = final.tenant
                for mail in taken { start(mail) }
            } catch is CancellationError {
                return last
            } catch {
                if isAway.raise() { logger.warning("mail that is due could not be read", metadata: ["reason": "\(error)"]) }
                return last
            }
        }
        return last
    }

    /// Runs by itself: a mail that has begun is finished and its outcome written, also while the program stops.
    private func start(_ taken: TakenDelivery) {
        flights.begin()
        Task {
            await deliver(taken)
            flights.end()
            bell.ring()
        }
    }

    private func deliver(_ taken: TakenDelivery) async {
        let outcome = await send(taken.delivery)
        let time = now()
        let jitter = Double.random(in: 0...1)
        for attempt in 1...Self.recordTries {
            do {
                return try await record(outcome, of: taken, at: time, jitter: jitter)
            } catch {
                logger.warning(
                    "the outcome of a delivery could not be written", metadata: ["delivery": "\(taken.delivery.id)", "reason": "\(error)"])
                try? await Task.sleep(for: .seconds(min(attempt, 5)))
            }
        }
    }

    private func send(_ delivery: Delivery) async -> Result<Void, DeliveryRefusal> {
        guard let message = delivery.message, let address = EmailAddress(rawValue: delivery.recipient) else {
            return .failure(DeliveryRefusal("there is nothing to send, or nobody to send it to", isFinal: true))
        }
        let mail = OutgoingMail(delivery: delivery.id, from: sender, to: address, date: delivery.createdAt, message: message)
        do throws(DeliveryRefusal) {
            let content = try mail.content()
            return await mailer.send(MailEnvelope(from: sender.address.rawValue, to: address.rawValue, content: content))
        } catch {
            return .failure(error)
        }
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

/// Says whether trouble has just begun, so that it is logged once and not every second.
private final class TroubleFlag: Sendable {
    private let isUp = Mutex(false)

    /// Whether it was down.
    func raise() -> Bool {
        isUp.withLock { up in
            defer { up = true }
            return !up
        }
    }

    func lower() { isUp.withLock { $0 = false } }
}
