import Contracts
import Foundation
import Metrics
import Postgres

/// How long after a change the index has it: `trionex_search_index_delay_seconds`.
enum IndexDelay {
    private static let timer = Timer(label: "trionex_search_index_delay_seconds", preferredDisplayUnit: .seconds)

    /// Measured at the commit, against the time at which the event was written.
    static func record(_ envelope: EventEnvelope, in tx: Transaction) {
        let written = envelope.time
        tx.afterCommit { timer.recordSeconds(max(0, Date().timeIntervalSince(written))) }
    }
}
