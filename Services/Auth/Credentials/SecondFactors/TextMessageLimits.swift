import Contracts
import Foundation
import Metrics
import Postgres
import ServiceKit

/// Text messages cost money, and whoever owns a number may earn it: so they are limited by what they are sent to, however many accounts
/// ask for them.
struct TextMessageLimits: Sendable {
    /// To one number in an hour.
    static let perNumber = 10
    /// To numbers that differ in their last four digits alone, in an hour: numbers that earn are rented in such ranges.
    static let perRange = 30
    static let rangeDigits = 4
    static let hour: TimeInterval = 3_600
    static let day: TimeInterval = 86_400

    /// On the whole platform in a day.
    let perDay: Int
    let sealing: Sealing

    /// Counts a message, in the transaction that sends it. Throws `SecondFactorLimited`.
    func count(_ number: String, in tx: Transaction) throws {
        try count("number \(number)", Self.perNumber, Self.hour, "number", tx)
        try count("range \(number.dropLast(Self.rangeDigits))", Self.perRange, Self.hour, "range", tx)
        try count("platform", perDay, Self.day, "platform", tx)
        tx.afterCommit { Self.note("sent") }
    }

    private func count(_ subject: String, _ limit: Int, _ length: TimeInterval, _ label: String, _ tx: Transaction) throws {
        let digest = sealing.digest(subject, context: "text messages")
        let window = try TextMessageStore(tx: tx).add(digest, forgotten: tx.now.addingTimeInterval(-length))
        guard window.sent <= limit else {
            Self.note("refused-\(label)")
            throw SecondFactorLimited(sending: window.since.addingTimeInterval(length), now: tx.now)
        }
    }

    /// `refused-platform` is what an operator is to be woken by.
    private static func note(_ result: String) {
        Counter(label: "trionex_auth_text_messages_total", dimensions: [("result", result)]).increment()
    }
}
