package import Foundation

/// What came of a drill.
package struct DrillReport: Sendable, Codable {
    package struct Recovery: Sendable, Codable {
        package let after: String
        /// From the end of the fault until all that had been produced by then had its effect.
        package let seconds: Double
    }

    package let drill: String
    package let at: Date
    package let ratePerSecond: Double
    package let ledger: Ledger
    package let recoveries: [Recovery]
    package let loadedSeconds: Double
    package let delayHalf: Double
    package let delayMost: Double
    package let delayLongest: Double
    package let faults: [String]

    init(
        drill: Drill, at: Date, settings: DrillSettings, ledger: Ledger, recoveries: [Recovery], rate: Double, loadedSeconds: Double,
        delayHalf: Double, delayMost: Double, delayLongest: Double
    ) {
        self.drill = drill.rawValue
        self.at = at
        self.ledger = ledger
        self.recoveries = recoveries
        ratePerSecond = rate
        self.loadedSeconds = loadedSeconds
        self.delayHalf = delayHalf
        self.delayMost = delayMost
        self.delayLongest = delayLongest
        faults = ledger.faults
    }

    package var balances: Bool { faults.isEmpty }

    /// The recovery in the middle and the longest, in seconds; nil when nothing had to be recovered from.
    package var recovery: (middle: Double, longest: Double)? {
        let seconds = recoveries.map(\.seconds).sorted()
        guard let longest = seconds.last else { return nil }
        return (seconds[seconds.count / 2], longest)
    }

    // MARK: - As text

    /// The ledger as columns, for a terminal.
    package var table: String {
        let ledger = ledger
        var rows: [(String, String)] = [
            ("produced: committed in the producer's database", "\(ledger.produced)"),
            ("announced: rows of its outbox", "\(ledger.announced)"),
            ("published: confirmed by the brokers", "\(ledger.published)"),
            ("records in the topic, repetitions included", "\(ledger.records)"),
            ("in effect: once each in the consumer's database", "\(ledger.effected)"),
            ("dead: given up with a reason, of so many that are poisonous", "\(ledger.dead) / \(ledger.poison)"),
            ("lost", "\(ledger.lost)"), ("doubled", "\(ledger.doubled)"), ("out of order for their key", "\(ledger.disordered)"),
            ("of those, in the topic already", "\(ledger.overtaken)"), ("invented", "\(ledger.invented)"),
        ]
        if ledger.strangers > 0 {
            rows.append(("records that are no events, sent and found dead", "\(ledger.strangers) / \(ledger.strangersBuried)"))
        }
        if let recovery {
            rows.append(
                (
                    "recovery from \(recoveries.count) faults, middle / longest",
                    Self.seconds(recovery.middle) + " / " + Self.seconds(recovery.longest)
                ))
        }
        rows.append(("events a second, while there was load", "\(Int(ratePerSecond))"))
        rows.append(("produced to in effect, p50 / p99 / longest", delays))
        let width = rows.map(\.0.count).max() ?? 0
        let lines = rows.map { "  " + $0.0.padding(toLength: width + 2, withPad: " ", startingAt: 0) + $0.1 }
        let verdict =
            balances
            ? "The ledger balances: every event is accounted for." : "THE LEDGER DOES NOT BALANCE: " + faults.joined(separator: "; ")
        return (["", "  \(drill)"] + lines + ["", "  " + verdict, ""]).joined(separator: "\n")
    }

    package static let markdownHead = """
        | drill | faults | produced | published | records in the topic | in effect | dead | lost | doubled | out of order | recovery, middle / longest | \
        p50 / p99 / longest delay | ledger |
        |---|---|---|---|---|---|---|---|---|---|---|---|---|
        """

    /// One row below `markdownHead`.
    package var markdownRow: String {
        let cells = [
            drill, "\(recoveries.count)", "\(ledger.produced)", "\(ledger.published)", "\(ledger.records)", "\(ledger.effected)",
            "\(ledger.dead)", "\(ledger.lost)", "\(ledger.doubled)", "\(ledger.disordered)",
            recovery.map { Self.seconds($0.middle) + " / " + Self.seconds($0.longest) } ?? "–",
            delays, balances ? "balances" : faults.joined(separator: "; "),
        ]
        return "| " + cells.joined(separator: " | ") + " |"
    }

    private var delays: String { [delayHalf, delayMost, delayLongest].map(Self.seconds).joined(separator: " / ") }

    private static func seconds(_ value: Double) -> String { value < 1 ? "\(Int(value * 1_000)) ms" : String(format: "%.1f s", value) }
}
