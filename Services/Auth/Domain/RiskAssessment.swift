import Foundation

/// How little a sign-in looks like the person whose account it is: 0 as always, 1 like nobody ever.
///
/// Each sign that is there takes its share of what is left to be sure of, so that many together come near 1 and none alone does.
/// Places are ranges of addresses: without a map of the world, many of them within an hour stand for a pace that nobody travels at.
struct RiskAssessment: Sendable, Equatable {
    enum Sign: String, Sendable, CaseIterable {
        case newDevice = "new-device"
        case newNetwork = "new-network"
        case impossiblePace = "impossible-pace"
        case recentFailures = "recent-failures"
    }

    /// What is known of the account when somebody signs in.
    struct Circumstances: Sendable, Equatable {
        /// Nobody has signed in with it before: nothing is new, and nothing is known.
        var isFirst = false
        var isKnownDevice = true
        var isKnownNetwork = true
        /// Ranges of addresses that the account was used from within `paceWindow`, this one among them.
        var networksLately = 1
        /// Failed sign-ins since the last one that succeeded, no older than a day.
        var recentFailures = 0
    }

    static let paceWindow: TimeInterval = 3_600
    /// A person at home, on the way and at work is at two or three.
    static let networksAtLeast = 3
    /// From this score on, a device that was trusted before is asked for a second factor again.
    static let standardThreshold = 0.7

    let score: Double
    let signs: [Sign]

    init(_ circumstances: Circumstances) {
        let shares = Sign.allCases.map { (sign: $0, share: Self.share(of: $0, circumstances)) }.filter { $0.share > 0 }
        let certainty = shares.reduce(1.0) { $0 * (1 - $1.share) }
        score = ((1 - certainty) * 1_000).rounded() / 1_000
        signs = shares.map(\.sign)
    }

    var isNewDevice: Bool { signs.contains(.newDevice) }

    /// `low`, `medium` or `high`, as the audit has it.
    var level: String {
        switch score {
        case ..<0.4: "low"
        case ..<Self.standardThreshold: "medium"
        default: "high"
        }
    }

    private static func share(of sign: Sign, _ now: Circumstances) -> Double {
        switch sign {
        case .newDevice: now.isFirst || now.isKnownDevice ? 0 : 0.35
        case .newNetwork: now.isFirst || now.isKnownNetwork ? 0 : 0.25
        case .impossiblePace:
            now.networksLately < networksAtLeast ? 0 : min(0.4 + 0.15 * Double(now.networksLately - networksAtLeast), 0.7)
        case .recentFailures: min(0.1 * Double(max(0, now.recentFailures)), 0.5)
        }
    }
}
