import Contracts
package import Foundation

/// One try at a message that failed: when, and why.
package struct Attempt: Sendable, Hashable, Codable {
    /// Tries of one message that are kept, the newest.
    static let limit = 20

    package let at: Date
    package let reason: String
    /// False when something it needs was away: that is no fault of the message.
    package let counts: Bool

    package init(at: Date, reason: String, counts: Bool) {
        self.at = at
        self.reason = reason
        self.counts = counts
    }

    /// As a dead letter carries them: a JSON array.
    static func text(_ attempts: [Attempt]) -> String {
        (try? JSON.encode(attempts.suffix(limit))).map { String(decoding: $0, as: UTF8.self) } ?? "[]"
    }

    /// Empty for what is no such array.
    static func parse(_ text: String?) -> [Attempt] {
        text.flatMap { try? JSON.decode([Attempt].self, from: Data($0.utf8)) } ?? []
    }
}
