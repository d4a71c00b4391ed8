import Contracts
import Foundation
import Postgres
import ServiceKit

/// Codes of six digits that are sent to a telephone or a mailbox.
struct SentCodes: Sendable {
    static let digits = 6
    static let lifetime: TimeInterval = 300
    /// Tries at one code.
    static let attempts = 5
    /// Seconds before a code that has not been used is sent again.
    static let pause: TimeInterval = 30
    /// Codes sent to one account in an hour.
    static let perWindow = 10
    static let window: TimeInterval = 3_600

    let sealing: Sealing
    let texts: TextMessageLimits

    /// Sends a new code in place of the last. Throws `SecondFactorLimited` when it is too soon or too many were sent.
    func send(
        subject: UUID, account: UserID, channel: LetterRequest.Channel, to address: String, organization: TenantID?, in tx: Transaction
    ) throws {
        let limits = SecondFactorLimitStore(tx: tx), sentCodes = SentCodeStore(tx: tx)
        let sent = try limits.sent(account)
        if let last = sent.last, last.addingTimeInterval(Self.pause) > tx.now, try sentCodes.isWaiting(account) {
            throw SecondFactorLimited(sending: last.addingTimeInterval(Self.pause), now: tx.now)
        }
        let since = sent.since.flatMap { $0.addingTimeInterval(Self.window) > tx.now ? $0 : nil }
        let count = since == nil ? 0 : sent.count
        if let since, count >= Self.perWindow { throw SecondFactorLimited(sending: since.addingTimeInterval(Self.window), now: tx.now) }
        if channel == .sms { try texts.count(address, in: tx) }
        let code = Self.make(), expiresAt = tx.now.addingTimeInterval(Self.lifetime)
        try sentCodes.replace(subject, of: account, digest: digest(code, subject), expiresAt: expiresAt)
        try limits.noteSent(account, count: count + 1, since: since ?? tx.now)
        try Letters(tx, sealing).send(
            Letter(
                channel: channel, to: address, template: "sign-in-code", tenant: organization,
                data: ["code": code, "minutes": String(Int(Self.lifetime / 60))], expiresAt: expiresAt))
    }

    /// Whether this is the code that was last sent. Each look counts as a try; a good one uses it up.
    func take(_ code: String, subject: UUID, account: UserID, in tx: Transaction) throws -> Bool {
        let sentCodes = SentCodeStore(tx: tx)
        guard let expected = try sentCodes.attempt(subject, of: account, limit: Self.attempts), digest(code, subject) == expected else {
            return false
        }
        try sentCodes.remove(subject)
        return true
    }

    /// Digests are compared, under a key that is not in the database: the time a comparison takes says nothing about the code.
    private func digest(_ code: String, _ subject: UUID) -> Data {
        sealing.digest(code, context: "sent code \(subject.uuidString.lowercased())")
    }

    private static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<digits).map { _ in String(Int.random(in: 0...9, using: &generator)) }.joined()
    }
}
