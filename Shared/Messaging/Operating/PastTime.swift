import Contracts
package import Foundation

/// `2026-11-21T05:28:02Z`, or a span before now: `90s`, `15m`, `2h`, `3d`.
package enum PastTime {
    /// Nil for what is neither.
    package static func parse(_ text: String, now: Date) -> Date? {
        if let time = Timestamp.date(text) { return time }
        let units: [Character: Double] = ["s": 1, "m": 60, "h": 3_600, "d": 86_400]
        guard let unit = text.last.flatMap({ units[$0] }), let amount = Double(text.dropLast()), amount >= 0, amount.isFinite else {
            return nil
        }
        return now.addingTimeInterval(-amount * unit)
    }
}
