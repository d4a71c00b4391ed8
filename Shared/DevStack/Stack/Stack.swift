package import Contracts
import Foundation
import Synchronization

/// The whole platform on this machine: servers, migrations and programs, started in order and stopped in reverse.
package final class Stack: Sendable {
    package let settings: StackSettings
    private let say: @Sendable (String) -> Void

    private struct State {
        var mail: MailSink?
        var servers: [Supervised] = []
        var programs: [Supervised] = []
        var watches: [Task<Void, Never>] = []
        var addresses: StackAddresses?
        var environment: StackEnvironment?
    }
    private let state = Mutex(State())

    /// `say` gets one line for everything that happens.
    package init(_ settings: StackSettings, say: @escaping @Sendable (String) -> Void) {
        self.settings = settings
        self.say = say
    }

    /// Starts everything and returns when every program is ready; from then on, one that dies is started again.
    ///
    /// Throws a `StackFailure` when something is missing or does not become ready, and `CancellationError` when the
    /// task is cancelled. In both cases whatever had been started has been stopped again.
    package func start() async throws -> StackAddresses {
        do {
            let began = ContinuousClock.now
            try checkPorts()
            try StackSecrets.prepare(in: settings.keyDirectory)
            try FileManager.default.createDirectory(atPath: settings.logDirectory, withIntermediateDirectories: true)
            var addresses = try await startServers()
            try await migrate(addresses)
            let environment = StackEnvironment(settings: settings, addresses: addresses, inherited: ProcessInfo.processInfo.environment)
            if settings.kafkaBrokers == nil {
                state.withLock { $0.environment = environment }
                try await refillBroker()
            }
            try startPrograms(environment)
            try await runPrograms()
            addresses.processes = processes
            try addresses.write(to: settings.runDirectory)
            watch()
            state.withLock { $0.addresses = addresses }
            let milliseconds = (ContinuousClock.now - began) / .milliseconds(1)
            say("Everything is ready, \(String(format: "%.1f", milliseconds / 1_000)) s after the start.")
            return addresses
        } catch {
            await stop()
            throw error
        }
    }

    /// Stops everything, in the reverse order of starting. Runs to its end even when the task is cancelled.
    package func stop() async {
        let (watches, programs, servers, mail) = state.withLock { state in
            defer { state = State() }
            return (state.watches, state.programs, state.servers, state.mail)
        }
        for watch in watches { watch.cancel() }
        for watch in watches { await watch.value }
        // The gateway first, so that nothing new comes in; then the others side by side.
        if let gateway = programs.first(where: { $0.name == ServiceName.gateway.rawValue }) { await gateway.stop() }
        await withTaskGroup(of: Void.self) { group in
            for program in programs { group.addTask { await program.stop() } }
        }
        for server in servers.reversed() { await server.stop() }
        await mail?.stop()
        try? FileManager.default.removeItem(atPath: StackAddresses.path(in: settings.runDirectory))
    }

    /// The process of one program, for tests that kill it; changes when the program has been started again.
    package func process(of program: ServiceName) -> ManagedProcess? {
        state.withLock { $0.programs }.first { $0.name == program.rawValue }?.process
    }

    /// The mails that the sink has taken; empty when mails go to a relay.
    package var mail: MailSink? { state.withLock { $0.mail } }

    private var processes: [String: Int32] {
        let programs = state.withLock { $0.programs }
        return Dictionary(uniqueKeysWithValues: programs.compactMap { program in program.process.map { (program.name, $0.pid) } })
    }

    // MARK: - Steps

    /// All ports before anything starts, so that nothing has to be undone for a port.
    private func checkPorts() throws {
        for (variable, port) in settings.listeners {
            let name = variable.replacing("TRIONEX_", with: "").replacing("_PORT", with: "").lowercased()
            try Ports.require(port, for: name, setting: variable)
        }
    }

    private func startServers() async throws -> StackAddresses {
        let settings = settings
        var addresses = StackAddresses(
            database: settings.databaseURL ?? "", redis: settings.redisURL ?? "", kafka: settings.kafkaBrokers ?? "",
            smtp: settings.smtpURL ?? "", mail: nil, admin: "http://127.0.0.1:\(settings.adminPort)",
            programs: Dictionary(uniqueKeysWithValues: settings.programs.map { ($0.name.rawValue, settings.url(of: $0.name)) }),
            pid: ProcessInfo.processInfo.processIdentifier)
        if settings.smtpURL == nil {
            let mail = try await MailSink.start(
                smtpPort: settings.smtpPort, httpPort: settings.mailPort, directory: settings.runDirectory + "/mail")
            state.withLock { $0.mail = mail }
            addresses.smtp = mail.smtpURL
            addresses.mail = mail.httpURL
        }
        if settings.databaseURL == nil {
            let url = Mutex("")
            try await start(server: "PostgreSQL", at: settings.postgresPort, stopSteps: PostgresServer.stopSteps) {
                let server = try await PostgresServer.start(
                    in: settings.runDirectory + "/postgres", port: settings.postgresPort, durable: true)
                url.withLock { $0 = server.url() }
                return server.process
            }
            addresses.database = url.withLock { $0 }
        }
        if settings.redisURL == nil {
            addresses.redis = "redis://127.0.0.1:\(settings.redisPort)/0"
            try await start(server: "Redis", at: settings.redisPort, stopSteps: RedisServer.stopSteps) {
                try await RedisServer.start(in: settings.runDirectory + "/redis", port: settings.redisPort, persistent: true).process
            }
        }
        if settings.kafkaBrokers == nil {
            addresses.kafka = "127.0.0.1:\(settings.brokerPort)"
            let program = try Self.program("trionex-broker")
            try await start(server: "the local broker", at: settings.brokerPort, stopSteps: BrokerProcess.stopSteps) { [weak self] in
                let process = try await BrokerProcess.start(
                    executable: program, port: settings.brokerPort, topics: Topic.all.map(\.name),
                    log: settings.log(of: "broker"), control: settings.runDirectory + "/broker.sock"
                ).process
                try await self?.refillBroker()
                return process
            }
        }
        return addresses
    }

    private func start(
        server name: String, at port: Int, stopSteps: [StopStep], _ begin: @escaping @Sendable () async throws -> ManagedProcess
    ) async throws {
        try Task.checkCancellation()
        let server = Supervised(name, stopSteps: stopSteps, begin: begin)
        try await server.start()
        state.withLock { $0.servers.append(server) }
        say("Started \(name) on 127.0.0.1:\(port).")
    }

    private func migrate(_ addresses: StackAddresses) async throws {
        try Task.checkCancellation()
        let arguments = ["--database-url", addresses.database, "--migrations", settings.root + "/migrations"]
        let launch = ProcessLaunch(try Self.program("trionex-migrate"), arguments, log: settings.log(of: "migrate"))
        let offset = LogFile(launch.log).size
        let (exit, _) = try await ManagedProcess.run(launch, atMost: Self.migrationLimit)
        guard exit.succeeded else {
            throw StackFailure(
                "The migrations failed: trionex-migrate \(exit). Its log \(launch.log) ends:\n\(LogFile(launch.log).lastLines(8, from: offset))"
            )
        }
        say("Applied the migrations.")
    }

    /// The local broker is empty whenever it starts: what the services announced lately is published again, so that nothing which had not
    /// been consumed is lost. Consumers drop what they have handled. Nothing happens before the migrations have made the outboxes.
    private func refillBroker() async throws {
        guard let environment = state.withLock({ $0.environment }) else { return }
        for program in settings.programs where program.name != .gateway {
            let name = program.name.rawValue
            let launch = ProcessLaunch(
                try Self.program("trionex-events"), ["republish", "--service", name, "--since", Self.republishedPeriod],
                environment: environment.variables(for: program), log: settings.log(of: "republish"))
            let (exit, _) = try await ManagedProcess.run(launch, atMost: Self.migrationLimit)
            guard exit.succeeded else {
                throw StackFailure("The events of \(name) could not be published again: \(LogFile(launch.log).lastLines(3, from: 0))")
            }
        }
    }

    private static let republishedPeriod = "24h"
    private static let migrationLimit: Duration = .seconds(300)

    private func startPrograms(_ environment: StackEnvironment) throws {
        let settings = settings
        let programs = try settings.programs.map { program in
            let name = program.name.rawValue
            let launch = ProcessLaunch(
                try Self.program(name), environment: environment.variables(for: program), directory: settings.root,
                log: settings.log(of: name))
            return Supervised(name, stopSteps: Self.programStopSteps) { try ManagedProcess.start(launch) }
        }
        state.withLock { $0.programs = programs }
    }

    /// Longer than the programs give themselves to finish their requests.
    private static let programStopSteps = [StopStep(.terminate, grace: .seconds(25))]

    private func runPrograms() async throws {
        let programs = state.withLock { $0.programs }
        say("Starting \(programs.map(\.name).joined(separator: ", ")).")
        for program in programs { try await program.start() }
        let readiness = Readiness(limit: .seconds(settings.readySeconds))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for program in programs {
                let url = settings.operationsURL(of: ServiceName(rawValue: program.name))
                group.addTask { try await readiness.wait(for: program, at: url) }
            }
            try await group.waitForAll()
        }
    }

    private func watch() {
        let say: @Sendable (String) -> Void = { [weak self, say] line in
            say(line)
            self?.noteProcesses()
        }
        state.withLock { state in
            state.watches = (state.servers + state.programs).map { supervised in Task { await supervised.watch(say) } }
        }
    }

    /// Keeps `stack.json` true when a program has been started again.
    private func noteProcesses() {
        guard var addresses = state.withLock({ $0.addresses }) else { return }
        addresses.processes = processes
        // It is for `status` alone: a full disk must not stop the supervision.
        try? addresses.write(to: settings.runDirectory)
    }

    /// One of the product's programs, beside this one.
    private static func program(_ name: String) throws -> String {
        guard let path = BuildFolder.program(name) else {
            throw StackFailure("The program \(name) is not in \(BuildFolder.path). Build it with swift build.")
        }
        return path
    }
}
