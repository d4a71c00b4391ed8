import Contracts
import Foundation

/// Faults of processes: the programs of the load and the database.
struct ProcessFaults: Sendable {
    /// A recovery that takes longer fails the drill.
    static let recoveryLimit: Duration = .seconds(180)

    let stage: Stage
    let watch: Watch
    let settings: DrillSettings
    /// Numbers of a key that never take effect: each so many; 0 for none.
    let poisonEvery: Int

    /// kill -9 of one of them at random moments; each time the load must recover before the next, unless we are impatient.
    func kill(_ names: [String]) async throws {
        for number in 1...settings.kills {
            try await pause(upTo: settings.every)
            let victim = names.randomElement() ?? ""
            try await stage.killAndRestart(victim)
            let start = ContinuousClock.now
            guard !settings.isImpatient else {
                await stage.note("kill \(number) of \(settings.kills): \(victim)")
                try await Task.sleep(for: settings.every / 2)
                continue
            }
            guard try await watch.caughtUp(within: Self.recoveryLimit, poisonEvery: poisonEvery) else {
                throw DrillFailure("not recovered from kill \(number), of \(victim), within \(Self.recoveryLimit)")
            }
            let took = String(format: "%.1f s", (ContinuousClock.now - start).seconds)
            await stage.note("kill \(number) of \(settings.kills): \(victim), recovered in \(took)")
        }
    }

    /// PostgreSQL is killed with all its connections and started again on its data.
    func restartDatabase(times: Int) async throws {
        for number in 1...times {
            try await pause(upTo: settings.every)
            try await stage.restartPostgres()
            await stage.over("PostgreSQL killed and restarted")
            await stage.note("PostgreSQL restarted, \(number) of \(times)")
            guard try await watch.caughtUp(within: Self.recoveryLimit, poisonEvery: poisonEvery) else {
                throw DrillFailure("not recovered from a restart of PostgreSQL within \(Self.recoveryLimit)")
            }
        }
    }

    func pause(upTo most: Duration) async throws { try await Task.sleep(for: most * Double.random(in: 0...1)) }
}
