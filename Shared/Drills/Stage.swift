import Contracts
import DevStack
import Foundation
import Kafka
import Logging
import Postgres

/// The servers and processes of one drill: PostgreSQL, brokers, and the programs of the load as processes of their own, to be killed.
actor Stage {
    let settings: DrillSettings
    let brokerCount: Int
    let scratch: ScratchDirectory
    private(set) var faults: [Fault] = []
    /// Records that are no events, by the text in them.
    var strangers: Set<String> = []

    private let postgresPort: Int
    private let brokerPort: Int
    private var postgres: PostgresServer?
    private var broker: BrokerProcess?
    private var programs: [String: ManagedProcess] = [:]
    private let say: @Sendable (String) -> Void
    let start = ContinuousClock.now
    private let tenants: [TenantID]

    /// Something that was done to the system, and when it was over.
    struct Fault: Sendable {
        let what: String
        let over: Date
    }

    init(_ settings: DrillSettings, brokers: Int, say: @escaping @Sendable (String) -> Void) throws {
        self.settings = settings
        brokerCount = brokers
        self.say = say
        let scratch = try ScratchDirectory("trionex-drill")
        self.scratch = scratch
        AtExit.perform { scratch.remove() }
        brokerPort = try Ports.free(brokers + 1)
        postgresPort = brokerPort + brokers
        tenants = (0..<settings.tenants).map { _ in TenantID.make() }
    }

    // MARK: - Servers

    func open() async throws {
        try await startPostgres()
        let folder = scratch.path + "/migrations"
        try DrillTables.write(into: folder, from: settings.migrations)
        guard let postgres else { return }
        try await Migrator(adminURL: postgres.url(), folder: folder).run()
        if settings.bootstrap == nil { try await startBroker() }
    }

    func startPostgres() async throws {
        // Without fsync, as processes are killed here and not the machine; but a commit is answered only when the kernel has it.
        let server = try await PostgresServer.start(in: scratch.path + "/postgres", port: postgresPort, durable: false)
        AtExit.perform { server.stopBlocking(abandoningData: true) }
        postgres = server
    }

    /// kill -9 of the server, and again on its data. Its children end a moment later than it does, and until then it cannot start.
    func restartPostgres() async throws {
        _ = await postgres?.process.stop([])
        let deadline = ContinuousClock.now + Self.restartLimit
        while true {
            do {
                return try await startPostgres()
            } catch {
                guard ContinuousClock.now < deadline else { throw error }
                try await Task.sleep(for: .milliseconds(200))
            }
        }
    }

    private static let restartLimit: Duration = .seconds(20)

    func startBroker() async throws {
        guard let executable = BuildFolder.program("trionex-broker") else { throw DrillFailure("trionex-broker is not built") }
        let started = try await BrokerProcess.start(
            executable: executable, port: brokerPort, topics: [EntryAdded.topic.name, DrillServices.group + ".dlq"],
            partitions: settings.partitions, brokers: brokerCount, log: log("broker"))
        AtExit.perform { started.stopBlocking() }
        broker = started
    }

    func killBroker() async { _ = await broker?.process.stop([]) }

    func tell(_ command: String) async throws { try await broker?.control(command) }

    func close() async {
        for program in programs.values { await program.stop([StopStep(.terminate, grace: .seconds(8))]) }
        await broker?.stop()
        postgres?.stopBlocking(abandoningData: true)
        scratch.remove()
    }

    // MARK: - Addresses

    nonisolated func databaseURL(_ service: ServiceName) -> String {
        // -c synchronous_commit=on: a commit that was answered must survive the server's kill.
        "postgres://\(service):\(service)@127.0.0.1:\(postgresPort)/\(PostgresServer.database)?options=-c%20synchronous_commit%3Don"
    }

    nonisolated var brokers: String {
        settings.bootstrap ?? (brokerPort..<brokerPort + brokerCount).map { "127.0.0.1:\($0)" }.joined(separator: ",")
    }

    nonisolated var kafka: KafkaConfiguration { KafkaConfiguration(brokers: brokers, clientID: "trionex-drill") }

    private func log(_ name: String) -> String { (settings.logs ?? scratch.path) + "/\(name).log" }

    // MARK: - Programs

    func startSource(_ name: String, writes: Bool, relays: Bool, poisonEvery: Int = 0, requestsInFlight: Int? = nil) throws {
        try startProgram(
            name,
            [
                "source", "--database", databaseURL(DrillServices.source), "--brokers", brokers, "--rate", "\(writes ? settings.rate : 0)",
                "--keys", "\(settings.keysPerTenant)", "--poison-every", "\(poisonEvery)", "--padding", "\(settings.paddingBytes)",
                "--lease", "\(settings.lease.seconds)", "--tenants", tenants.map(\.description).joined(separator: ","),
            ] + (relays ? ["--relays"] : []) + (requestsInFlight.map { ["--requests-in-flight", "\($0)"] } ?? []))
    }

    func startSink(_ name: String) throws {
        try startProgram(
            name,
            [
                "sink", "--database", databaseURL(DrillServices.sink), "--brokers", brokers, "--session-timeout",
                "\(settings.sessionTimeout.seconds)",
            ])
    }

    private func startProgram(_ name: String, _ arguments: [String]) throws {
        guard let executable = BuildFolder.program("trionex-drill") else { throw DrillFailure("trionex-drill is not built") }
        let program = try ManagedProcess.start(ProcessLaunch(executable, arguments, log: log(name), input: .lines))
        AtExit.perform { program.stopBlocking([]) }
        programs[name] = program
    }

    /// kill -9, and the same program again at once.
    func killAndRestart(_ name: String) async throws {
        guard let victim = programs[name] else { throw DrillFailure("there is no program \(name)") }
        guard victim.isRunning else { throw DrillFailure("\(name) has ended by itself; its log ends:\n\(tail(of: name))") }
        victim.send(.kill)
        over("kill -9 \(name)")
        _ = try await victim.exited()
        programs[name] = try ManagedProcess.start(victim.launch)
        if let new = programs[name] { AtExit.perform { new.stopBlocking([]) } }
    }

    /// The writing ends; the relaying goes on.
    func quieten() {
        for (name, program) in programs where name.hasPrefix("source") { try? program.write(line: "quiet") }
    }

    /// Throws when one of the load's programs has ended without being told to.
    func requireAlive() throws {
        for (name, program) in programs where !program.isRunning {
            throw DrillFailure("\(name) \(program.exit.map(\.description) ?? "has ended"); its log ends:\n\(tail(of: name))")
        }
    }

    private func tail(of name: String) -> String {
        let text = (try? String(contentsOfFile: log(name), encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(8).joined(separator: "\n")
    }

    /// Another of the product's programs, to its end. Throws unless it succeeds.
    func run(_ program: String, _ arguments: [String]) async throws {
        guard let executable = BuildFolder.program(program) else { throw DrillFailure("\(program) is not built") }
        let (exit, output) = try await ManagedProcess.run(ProcessLaunch(executable, arguments, log: log(program)))
        guard exit.succeeded else { throw DrillFailure("\(program) \(exit): \(output.suffix(500))") }
    }

    // MARK: - Telling

    /// A fault is over now: recovery is counted from here.
    func over(_ what: String) { faults.append(Fault(what: what, over: Date())) }

    func note(_ what: String) {
        let seconds = (ContinuousClock.now - start).seconds
        say(String(format: "%6.1f s  ", seconds) + what)
    }

    func stranger(_ text: String) { strangers.insert(text) }
}

extension Duration {
    var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}
