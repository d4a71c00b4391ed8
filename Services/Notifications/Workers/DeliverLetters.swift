import Contracts
import Foundation
import Logging
import Messaging
import Metrics
import Postgres
import ServiceKit
import ServiceLifecycle

/// Takes the letters of one channel that are due, opens them, hands them to their carrier, and writes down what became of them.
///
/// Each channel has a worker and connections of its own: a code waits neither behind an organization's mail nor behind a slow provider
/// of another channel. Within a channel urgent letters go first. A letter is taken with a lease, as in `DeliverMail`; while it is out it
/// counts as in doubt, so whoever takes it after a crash knows that it may have gone out.
struct DeliverLetters: Service {
    let channel: LetterChannel
    let database: Database
    let sealing: Sealing
    let carrier: any LetterCarrier
    let schedule: RetrySchedule
    /// Letters under way at once.
    let slots: Int
    let bell: Bell
    let now: @Sendable () -> Date
    let logger: Logger

    /// Longer than any one letter takes, with the writing of its outcome.
    static let lease: TimeInterval = 120

    func run() async throws {
        carrier.start()
        let work = DueWork<TakenLetter>("letters that are due", slots: slots, bell: bell, logger: logger) {
            [database, channel] limit, last in
            try await database.platform(PlatformWork("letters that are due")) { tx in
                try LetterStore(tx: tx).take(
                    limit, over: channel, after: last, now: tx.now, until: tx.now.addingTimeInterval(Self.lease))
            }
        } tenant: {
            $0.letter.tenant
        } perform: {
            await deliver($0)
        }
        await work.run()
        carrier.stop()
    }

    private func deliver(_ taken: TakenLetter) async {
        let outcome = await carry(taken)
        let time = now()
        let jitter = Double.random(in: 0...1)
        await Outcome.write(["letter": "\(taken.letter.id)"], logger: logger) {
            try await record(outcome, of: taken.letter, at: time, jitter: jitter)
        }
    }

    private func carry(_ taken: TakenLetter) async -> CarryOutcome {
        let letter = taken.letter
        guard !letter.isExpired(at: now()) else { return .refused(DeliveryRefusal("it was too old to be sent", isFinal: true)) }
        guard let sealed = letter.sealed,
            let data = try? sealing.open(sealed, context: LetterContent.sealContext(letter.id, letter.tenant)),
            let content = try? JSON.decode(LetterContent.self, from: data)
        else { return .refused(DeliveryRefusal("it could not be opened: the key it was sealed with is not there", isFinal: true)) }
        return await carrier.carry(content, of: letter, inDoubt: taken.wasInDoubt)
    }

    /// The new state and the event that tells of it, together.
    private func record(_ outcome: CarryOutcome, of taken: Letter, at time: Date, jitter: Double) async throws {
        let schedule = schedule
        let status = try await database.transaction(as: .service(.notifications, for: taken.tenant)) { tx -> DeliveryStatus? in
            var letter = taken
            let store = LetterStore(tx: tx)
            let event: (any Event)?
            switch outcome {
            case .taken: event = letter.succeed(at: time)
            case .refused(let refusal): event = letter.refuse(refusal, inDoubt: false, at: time, schedule, jitter: jitter)
            case .unknown(let reason):
                event = letter.refuse(DeliveryRefusal(reason, isFinal: false), inDoubt: true, at: time, schedule, jitter: jitter)
            }
            guard try store.settle(letter) else { return nil }
            if let event { try Outbox(tx).append(event) }
            return letter.status
        }
        guard let status else { return }
        note(status, outcome, of: taken, at: time)
    }

    private func note(_ status: DeliveryStatus, _ outcome: CarryOutcome, of letter: Letter, at time: Date) {
        let label = status == .queued ? "retried" : status.rawValue
        Counter(label: "trionex_notifications_letters_total", dimensions: [("channel", channel.rawValue), ("outcome", label)]).increment()
        let reason: String
        switch outcome {
        case .taken:
            Timer(label: "trionex_notifications_letter_age_seconds", dimensions: [("channel", channel.rawValue)])
                .record(duration: .seconds(max(0, time.timeIntervalSince(letter.createdAt))))
            return
        case .refused(let refusal): reason = refusal.reason
        case .unknown(let text): reason = text
        }
        logger.warning(
            "a letter was not taken",
            metadata: [
                "letter": "\(letter.id)", "template": "\(letter.template)", "tenantId": "\(letter.tenant)",
                "attempt": "\(letter.attempts)", "outcome": "\(label)", "reason": "\(reason)",
            ])
    }
}

/// Forgets, each hour, the letters whose fate has been known for a week: nobody asks for one under its old id any more.
struct PruneLetters: Service {
    let database: Database
    let now: @Sendable () -> Date
    let logger: Logger

    static let pause = Duration.seconds(3_600)
    static let retention: TimeInterval = 7 * 86_400
    /// Rows removed by one statement.
    static let batch = 5_000

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await prune()
                } catch {
                    logger.warning("old letters could not be forgotten", metadata: ["reason": "\(error)"])
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    func prune() async throws {
        let time = now().addingTimeInterval(-Self.retention)
        var removed = Self.batch
        while removed == Self.batch, !Task.isCancelled {
            removed = try await database.platform(PlatformWork("old letters")) { tx in
                try LetterStore(tx: tx).prune(finishedBefore: time, limit: Self.batch)
            }
        }
    }
}
