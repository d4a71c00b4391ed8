import DevStack
import Foundation

/// One run of the stack, from the lock to the last stop.
struct Session {
    let terminal: Terminal
    let settings: StackSettings
    let makesDemo: Bool

    init(terminal: Terminal, services: [String]?, makesDemo: Bool) throws {
        guard FileManager.default.fileExists(atPath: Folder.checkout + "/migrations") else {
            throw StackFailure("There is no folder migrations here: run this in the checkout.")
        }
        var settings = try StackSettings(root: Folder.checkout, environment: ProcessInfo.processInfo.environment)
        if let services { try settings.choose(services) }
        self.terminal = terminal
        self.settings = settings
        self.makesDemo = makesDemo && services == nil
    }

    /// Until a signal asks for the end.
    func run(until signals: AsyncStream<ProcessSignal>) async throws {
        _ = try await hold(until: signals) { addresses in
            await present(addresses)
            while true { try await Task.sleep(for: .seconds(3_600)) }
        }
    }

    /// Until the command ends. Returns its exit code.
    func run(_ command: Command, until signals: AsyncStream<ProcessSignal>) async throws -> Int32 {
        try await hold(until: signals) { addresses in try await command.run(against: addresses, runDirectory: settings.runDirectory) }
    }

    /// Starts the stack, does the work, stops the stack. A first signal cancels the work and gives the exit code 0.
    private func hold(
        until signals: AsyncStream<ProcessSignal>, _ work: @escaping @Sendable (StackAddresses) async throws -> Int32
    ) async throws -> Int32 {
        let lock = try StackLock(in: settings.runDirectory)
        defer { withExtendedLifetime(lock) {} }
        let terminal = terminal
        let stack = Stack(settings) { terminal.say($0) }
        let play = Task { try await work(try await stack.start()) }
        let interruption = Task {
            var isSecond = false
            for await signal in signals {
                // The kernel kills what we started when we end (PR_SET_PDEATHSIG).
                if isSecond { exit(1) }
                isSecond = true
                terminal.say("Stopping (SIG\(signal.rawValue)). Once more to stop at once.")
                play.cancel()
            }
        }
        defer { interruption.cancel() }
        let result = await play.result
        let began = ContinuousClock.now
        await stack.stop()
        if case .failure(let error) = result, !(error is CancellationError) { throw error }
        terminal.say("Everything has stopped, in \(String(format: "%.1f", (ContinuousClock.now - began) / .seconds(1))) s.")
        return (try? result.get()) ?? 0
    }

    private func present(_ addresses: StackAddresses) async {
        var token: String?
        if makesDemo {
            do {
                token = try await DemoOrganization.token(from: addresses.gateway)
                if settings.hasOperator, let mail = addresses.mail {
                    try await DemoOrganization.prepareOperator(addresses.gateway, mail: mail)
                }
            } catch {
                // The platform runs; what is missing can be looked into while it does.
                terminal.fail("\(error)")
            }
        }
        terminal.show(Table.addresses(addresses, settings: settings, token: token))
    }
}

/// A program to run against the stack.
struct Command: Sendable {
    let words: [String]

    /// Its output is ours. Returns its exit code, as a shell would.
    func run(against addresses: StackAddresses, runDirectory: String, until signals: AsyncStream<ProcessSignal>? = nil) async throws
        -> Int32
    {
        guard let program = words.first else { throw StackFailure("Name the program to run.") }
        let path = program.contains("/") ? URL(filePath: program).path(percentEncoded: false) : BuildFolder.program(program)
        guard let path else { throw StackFailure("There is no program \(program) in \(BuildFolder.path).") }
        let places = [
            "{gateway}": addresses.gateway, "{admin}": addresses.admin, "{mail}": addresses.mail ?? "", "{database}": addresses.database,
            "{redis}": addresses.redis, "{kafka}": addresses.kafka, "{run}": runDirectory,
        ]
        let arguments = words.dropFirst().map { word in places.reduce(word) { $0.replacing($1.key, with: $1.value) } }
        var launch = ProcessLaunch(path, arguments, log: "/dev/null", signalOnParentDeath: .terminate)
        launch.sharesOutput = true
        let process = try ManagedProcess.start(launch)
        let interruption = signals.map { signals in
            Task { for await signal in signals { process.send(signal) } }
        }
        defer { interruption?.cancel() }
        do {
            switch try await process.exited() {
            case .code(let code): return code
            case .signal(let number): return 128 + number
            }
        } catch {
            await process.stop()
            throw error
        }
    }
}
