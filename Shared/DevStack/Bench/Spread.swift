import Foundation

/// Times of the same thing done many times, in milliseconds.
struct Spread: Sendable {
    let sorted: [Double]

    init(_ milliseconds: [Double]) { sorted = milliseconds.sorted() }

    /// The time that this part of them did not take longer than (nearest rank); 0 when there is none.
    func quantile(_ part: Double) -> Double {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int(Double(sorted.count) * part))]
    }

    var median: Double { quantile(0.5) }
    var count: Int { sorted.count }

    /// `12 ms / 20 ms / 31 ms`: p50, p95 and p99; of fewer than a hundred nobody knows the last.
    var text: String {
        [0.5, 0.95, 0.99].map { $0 > 0.95 && count < 100 ? "–" : Self.text(quantile($0)) }.joined(separator: " / ")
    }

    static func text(_ milliseconds: Double) -> String { String(format: milliseconds < 9.95 ? "%.1f ms" : "%.0f ms", milliseconds) }

    /// How long each of so many runs of `body` took, one after the other.
    static func of(_ count: Int, _ body: () async throws -> Void) async throws -> Spread {
        var times: [Double] = []
        for _ in 0..<count {
            let start = ContinuousClock.now
            try await body()
            times.append((ContinuousClock.now - start) / .milliseconds(1))
        }
        return Spread(times)
    }
}
