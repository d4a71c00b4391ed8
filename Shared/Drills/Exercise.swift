import Contracts
import Foundation
import Kafka

/// One drill from beginning to end: servers, load, fault, drain, ledger.
package struct Exercise: Sendable {
    private static let warmUpLimit: Duration = .seconds(60)
    private static let drainLimit: Duration = .seconds(180)
    private static let telling: Duration = .seconds(2)

    package let drill: Drill
    package let settings: DrillSettings
    private let say: @Sendable (String) -> Void

    package init(_ drill: Drill, _ settings: DrillSettings, say: @escaping @Sendable (String) -> Void) {
        self.drill = drill
        self.settings = settings
        self.say = say
    }

    /// Throws a `DrillFailure` when it cannot be played; a ledger that does not balance is in the report.
    package func run() async throws -> DrillReport {
        if drill.needsLocalBroker, settings.bootstrap != nil {
            throw DrillFailure("\(drill.rawValue) breaks brokers, which only the local ones allow")
        }
        let stage = try Stage(settings, brokers: drill.brokers, say: say)
        let began = Date()
        let result: Result<DrillReport, any Error>
        do {
            result = .success(try await play(on: stage, began: began))
        } catch {
            result = .failure(error)
        }
        await stage.close()
        return try result.get()
    }

    private func play(on stage: Stage, began: Date) async throws -> DrillReport {
        try await stage.open()
        for source in drill.sources {
            try await stage.startSource(
                source, writes: true, relays: !drill.hasOwnRelays, poisonEvery: drill.poisonEvery,
                requestsInFlight: drill.requestsInFlight)
        }
        for relay in drill.relays { try await stage.startSource(relay, writes: false, relays: true) }
        for sink in drill.sinks { try await stage.startSink(sink) }
        let watch = Watch(stage)
        let teller = Task { await tell(stage, watch) }
        let result: Result<DrillReport, any Error>
        do {
            result = .success(try await report(stage, watch, began: began))
        } catch {
            result = .failure(error)
        }
        teller.cancel()
        await watch.shutdown()
        return try result.get()
    }

    private func report(_ stage: Stage, _ watch: Watch, began: Date) async throws -> DrillReport {
        try await warmUp(watch)
        await stage.note("under load: \(drill.rawValue) begins")
        let start = Date()
        try await drill.play(stage, watch, settings, since: began)
        if !settings.isImpatient {
            let isThere = try await watch.caughtUp(within: Self.drainLimit, poisonEvery: drill.poisonEvery)
            guard isThere else { throw DrillFailure("not recovered within \(Self.drainLimit)") }
        }
        let loaded = Date().timeIntervalSince(start)
        let produced = try await watch.progress().produced
        await stage.quieten()
        await stage.note("the load ends")
        try await watch.drained(within: Self.drainLimit)
        let delays = try await watch.delays()
        return DrillReport(
            drill: drill, at: began, settings: settings, ledger: try await watch.ledger(poisonEvery: drill.poisonEvery),
            recoveries: try await watch.recoveries().map { DrillReport.Recovery(after: $0.what, seconds: $0.seconds) },
            rate: Double(produced) / Date().timeIntervalSince(began), loadedSeconds: loaded,
            delayHalf: delays[0], delayMost: delays[1], delayLongest: delays[2])
    }

    /// Until events pass from end to end.
    private func warmUp(_ watch: Watch) async throws {
        let deadline = ContinuousClock.now + Self.warmUpLimit
        while try await watch.progress().handled < Int64(settings.rate / 2) {
            guard ContinuousClock.now < deadline else { throw DrillFailure("no events passed within \(Self.warmUpLimit)") }
            try await watch.stage.requireAlive()
            try await Task.sleep(for: .milliseconds(50))
        }
    }

    private func tell(_ stage: Stage, _ watch: Watch) async {
        while (try? await Task.sleep(for: Self.telling)) != nil {
            guard let now = try? await watch.progress() else {
                await stage.note("the database is away")
                continue
            }
            await stage.note("produced \(now.produced), waiting in the outbox \(now.unsent), in effect \(now.handled)")
        }
    }
}
