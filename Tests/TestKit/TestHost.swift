package import Contracts
import Foundation
import Kafka
import Logging
import Messaging
package import Postgres
package import ServiceKit
import ServiceLifecycle
import Synchronization
package import Testing

/// One service, in this process, on the real servers, listening on a port of its own.
package final class TestHost: Sendable {
    package let host: ProgramHost
    package let url: String
    package let log: TestLog
    package var database: Database { host.foundations.database }
    package var endpoints: [Endpoint] { host.endpoints }
    private let task: Task<Void, any Error>
    private let stopping: @Sendable () async -> Void

    private static let started = Mutex<[String: Task<TestHost, any Error>]>([:])

    /// The service with its usual settings, shared by the tests of a process; with settings of its own, a fresh one. A fresh one beside another
    /// that takes the events already need not be `following`.
    package static func start<P: Program>(_ program: P.Type, environment: [String: String] = [:], following: Bool = true) async throws
        -> TestHost
    {
        guard environment.isEmpty else { return try await make(program, environment: environment, following: following) }
        let task = started.withLock { started in
            if let known = started[P.name.rawValue] { return known }
            let task = Task { try await make(program, environment: [:], following: true) }
            started[P.name.rawValue] = task
            return task
        }
        return try await task.value
    }

    private static func make<P: Program>(_ program: P.Type, environment: [String: String], following: Bool) async throws -> TestHost {
        let servers = try await TestServers.shared.value
        var settings = servers.environment(for: P.name.rawValue)
        settings["TRIONEX_JWKS"] = try await TestKeys.file()
        settings.merge(environment) { _, own in own }
        let log = TestLog()
        Telemetry.bootstrap(service: P.name, level: .critical)
        let logger = Logger(label: P.name.rawValue) { _ in
            JSONLog(service: P.name.rawValue, level: .info) { log.append($0) }
        }
        let host = try ProgramHost(program, environment: settings, following: following, logger: logger)
        let group = host.serviceGroup(signals: [])
        let task = Task {
            defer { host.ended() }
            try await group.run()
        }
        guard let port = await host.port() else {
            var reason = log.lines.suffix(5).joined(separator: "\n")
            do { try await task.value } catch { reason += "\n\(error)" }
            throw StartFailure(service: P.name.rawValue, log: reason)
        }
        return TestHost(host: host, url: "http://127.0.0.1:\(port)", log: log, task: task) { await group.triggerGracefulShutdown() }
    }

    private init(host: ProgramHost, url: String, log: TestLog, task: Task<Void, any Error>, stopping: @escaping @Sendable () async -> Void)
    {
        self.host = host
        self.url = url
        self.log = log
        self.task = task
        self.stopping = stopping
    }

    /// Stops as a signal would, and waits.
    package func stop() async throws {
        await stopping()
        try await task.value
    }

    /// A client with this person's token; without a person, an anonymous one.
    package func client(_ person: TestPerson?) async throws -> TestClient {
        TestClient(base: url, token: try await person?.token())
    }

    package func client(token: String?) -> TestClient { TestClient(base: url, token: token) }

    /// A client that is another of the platform's programs.
    package func client(service: ServiceName) async throws -> TestClient {
        TestClient(base: url, token: try await TestKeys.serviceToken(service))
    }

    // MARK: - Events

    /// Puts an event on Kafka as its producer's relay would. Give the same id twice for a duplicate.
    package func publish<E: Event>(_ event: E, for tenant: TenantID, eventID: EventID = .make(), traceparent: String? = nil) async throws {
        try await TestEvents.publish(event, for: tenant, eventID: eventID, traceparent: traceparent)
    }

    /// What the service has announced for this tenant so far, in order: type and payload.
    package func outbox(_ tenant: TenantID) async throws -> [(type: String, payload: JSONValue)] {
        let caller = Caller.service(host.foundations.service, for: tenant)
        let rows = try await database.query(
            Query("SELECT type, convert_from(payload, 'UTF8') AS payload FROM outbox ORDER BY position") { row in
                Announced(type: try row("type"), payload: try row("payload"))
            }, as: caller)
        return try rows.map { ($0.type, try JSON.decode(JSONValue.self, from: Data($0.payload.utf8))) }
    }

    private struct Announced: Sendable {
        let type: String
        let payload: String
    }

    /// Asks again and again until it is so; a failed expectation after `timeout`, which leaves room for a consumer group to form.
    package func eventually(
        _ what: Comment, within timeout: Duration = .seconds(120), sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () async throws -> Bool
    ) async throws {
        try await TrionexTesting.eventually(what, within: timeout, sourceLocation: sourceLocation, condition)
    }
}

package enum TrionexTesting {
    package static func eventually(
        _ what: Comment, within timeout: Duration = .seconds(120), sourceLocation: SourceLocation = #_sourceLocation,
        _ condition: () async throws -> Bool
    ) async throws {
        let deadline = ContinuousClock.now + timeout
        while ContinuousClock.now < deadline {
            if try await condition() { return }
            try await Task.sleep(for: .milliseconds(20))
        }
        Issue.record("did not happen within \(timeout): \(what)", sourceLocation: sourceLocation)
    }
}

/// A service that ended before it listened.
struct StartFailure: Error, CustomStringConvertible {
    let service: String
    let log: String
    var description: String { "\(service) did not start: \(log)" }
}

/// The log lines of one host.
package final class TestLog: Sendable {
    private let held = Mutex<[String]>([])
    package var lines: [String] { held.withLock { $0 } }
    func append(_ line: String) { held.withLock { $0.append(line) } }
}
