import Contracts
package import Foundation
import HTTPTypes
package import Logging
import Metrics
package import Postgres
import ServiceLifecycle

/// Hands letters to notifications, again and again until it has taken them. Notifications takes each once, by its id.
package struct LetterDelivery: Service {
    static let batch = 20
    /// Seconds in which a letter that was taken must have been handed over, before another worker takes it.
    static let lease: TimeInterval = 30
    /// Seconds to the second try, doubled with each further one up to the longest.
    static let firstPause: TimeInterval = 1
    static let longestPause: TimeInterval = 60
    /// How often it looks.
    static let round = Duration.milliseconds(500)
    /// A letter that notifications has refused for good, or not taken for a day, is given up.
    static let refusalsBeforeGivingUp = 1_500

    private let database: Database
    private let neighbours: Neighbours
    private let sealing: Sealing
    private let now: @Sendable () -> Date
    private let logger: Logger

    package init(
        database: Database, neighbours: Neighbours, sealing: Sealing, now: @escaping @Sendable () -> Date = { Date() }, logger: Logger
    ) {
        self.database = database
        self.neighbours = neighbours
        self.sealing = sealing
        self.now = now
        self.logger = logger
    }

    static func context(_ id: UUID) -> String { "letter \(id.uuidString.lowercased())" }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    while try await deliverSome() == Self.batch, !Task.isCancelled {}
                } catch {
                    logger.warning("letters could not be read", metadata: ["reason": "\(error)"])
                }
                try? await Task.sleep(for: Self.round)
            }
        }
    }

    /// How many were due.
    func deliverSome() async throws -> Int {
        let now = now()
        let due = try await database.platform(PlatformWork("letters to hand over")) { tx in
            try LetterStore(tx: tx).take(at: now, lease: now.addingTimeInterval(Self.lease), limit: Self.batch)
        }
        for waiting in due { await deliver(waiting) }
        return due.count
    }

    private func deliver(_ waiting: LetterStore.Waiting) async {
        do {
            let plain = try sealing.open(waiting.sealed, context: Self.context(waiting.id))
            if let letter = try JSON.decode(Letter?.self, from: plain), letter.expiresAt.map({ $0 > now() }) ?? true {
                try await neighbours.call(.put, .notifications, "/internal/v1/letters/\(waiting.id.uuidString.lowercased())", body: letter)
                count("handed-over")
            }
            try await remove(waiting)
        } catch let refusal as RemoteFailure where [400, 413, 415, 422].contains(refusal.status) {
            logger.error("a letter was refused and is given up", metadata: ["letter": "\(waiting.id)", "problem": "\(refusal.code)"])
            await giveUp(waiting)
        } catch is Sealing.CannotOpen {
            logger.error(
                "a letter cannot be opened and is given up: was TRIONEX_SEALING_KEY changed?", metadata: ["letter": "\(waiting.id)"])
            await giveUp(waiting)
        } catch {
            guard waiting.attempts < Self.refusalsBeforeGivingUp else { return await giveUp(waiting) }
            if waiting.attempts == 1 { logger.warning("a letter is handed over later", metadata: ["reason": "\(error)"]) }
            let pause = min(Self.longestPause, Self.firstPause * pow(2, Double(min(waiting.attempts, 10) - 1)))
            let until = now().addingTimeInterval(pause)
            try? await database.platform(PlatformWork("letters to hand over")) { tx in
                try LetterStore(tx: tx).postpone(waiting, until: until)
            }
        }
    }

    private func giveUp(_ waiting: LetterStore.Waiting) async {
        count("given-up")
        try? await remove(waiting)
    }

    private func remove(_ waiting: LetterStore.Waiting) async throws {
        try await database.platform(PlatformWork("letters to hand over")) { tx in try LetterStore(tx: tx).remove(waiting) }
    }

    private func count(_ result: String) { Counter(label: "trionex_letters_total", dimensions: [("result", result)]).increment() }
}
