import Drills
import Foundation
import Synchronization
import TestKit
import Testing

/// The short form of the drills, with real processes: `make drill NAME=all` is the full one.
@Suite("The drills")
struct ShortFormTests {
    private func settings(rate: Double, kills: Int) -> DrillSettings {
        var settings = DrillSettings()
        settings.rate = rate
        settings.kills = kills
        settings.every = .milliseconds(300)
        settings.hold = .seconds(1)
        settings.tenants = 5
        settings.keysPerTenant = 20
        settings.partitions = 8
        settings.migrations = Repository.path("migrations")
        return settings
    }

    @Test("Every fault once, under load: nothing is lost, doubled or out of order, and every poisonous event is among the dead")
    func everything() async throws {
        let lines = Mutex<[String]>([])
        let report = try await Exercise(.everything, settings(rate: 200, kills: 1)) { line in lines.withLock { $0.append(line) } }.run()
        #expect(report.balances, "\(report.faults)\n\(report.table)\n\(lines.withLock { $0.joined(separator: "\n") })")
        #expect(report.ledger.produced > 1_000)
        #expect(report.ledger.dead > 0, "one in ten is poisonous")
        #expect(report.ledger.records > report.ledger.published, "some were published again")
        #expect(report.ledger.strangersBuried == report.ledger.strangers)
        #expect(report.recoveries.count >= 8)
    }

    @Test("Those that break brokers are not played on a cluster of others")
    func foreignCluster() async throws {
        var settings = settings(rate: 200, kills: 1)
        settings.bootstrap = "127.0.0.1:1"
        for drill in Drill.allCases where drill.needsLocalBroker {
            await #expect(throws: DrillFailure.self) { try await Exercise(drill, settings) { _ in }.run() }
        }
    }

    @Test("Each has a sentence")
    func summaries() {
        for drill in Drill.allCases { #expect(drill.summary.count > 20) }
    }
}
