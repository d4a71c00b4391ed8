import Foundation

/// The local broker that speaks the Kafka protocol (`trionex-broker`), on 127.0.0.1. It keeps nothing over a restart.
package final class BrokerProcess: Sendable {
    /// The port of the first broker; more brokers take those that follow.
    package let port: Int
    package let process: ManagedProcess
    /// `127.0.0.1:port`, for `TRIONEX_KAFKA_BROKERS`.
    package var brokers: String { "127.0.0.1:\(port)" }

    private init(port: Int, process: ManagedProcess) {
        self.port = port
        self.process = process
    }

    /// Starts the program and waits for its `ready` line.
    ///
    /// Topics are given by name; each gets this many partitions. Its messages go to `log`. `control` is the path of a
    /// socket to make for commands from elsewhere.
    /// Throws a `StackFailure` when the program is not there, a port is in use, or it does not become ready.
    package static func start(
        executable: String, port: Int, topics: [String], partitions: Int = 4, brokers: Int = 1, log: String, control: String? = nil
    ) async throws -> BrokerProcess {
        for port in port..<port + brokers { try Ports.require(port, for: "the local broker") }
        let arguments =
            ["--port", "\(port)", "--brokers", "\(brokers)", "--partitions", "\(partitions)"]
            + topics.flatMap { ["--topic", "\($0):\(partitions)"] } + (control.map { ["--control", $0] } ?? [])
        let offset = LogFile(log).size
        let launch = ProcessLaunch(executable, arguments, log: log, input: .lines)
        let broker = BrokerProcess(port: port, process: try ManagedProcess.start(launch))
        do {
            try await broker.waitUntilReady(logOffset: offset)
        } catch {
            await broker.stop()
            throw error
        }
        return broker
    }

    /// Sends a control command, such as `down 1`, `up 1` or `rtt 1 200` (`trionex-broker --help` lists them), and waits for its answer.
    ///
    /// Commands are sent one after the other, never two at once. Throws a `StackFailure` when the broker refuses or does not answer.
    package func control(_ command: String) async throws {
        let log = LogFile(process.launch.log)
        let offset = log.size
        try process.write(line: command)
        let deadline = ContinuousClock.now + Self.answerLimit
        while ContinuousClock.now < deadline {
            let lines = log.text(from: offset).split(separator: "\n")
            if lines.contains(where: { $0 == "ok" || $0.hasPrefix("ok ") }) { return }
            if let refusal = lines.first(where: { $0.hasPrefix("error") }) {
                throw StackFailure("The local broker refused \"\(command)\": \(refusal)")
            }
            try await Task.sleep(for: .milliseconds(5))
        }
        throw StackFailure("The local broker did not answer \"\(command)\".")
    }

    package func stop() async { await process.stop(Self.stopSteps) }
    package func stopBlocking() { process.stopBlocking(Self.stopSteps) }

    static let stopSteps = [StopStep(.terminate, grace: .seconds(3))]
    private static let readyLimit: Duration = .seconds(15)
    private static let answerLimit: Duration = .seconds(5)

    private func waitUntilReady(logOffset: UInt64) async throws {
        let log = LogFile(process.launch.log)
        let deadline = ContinuousClock.now + Self.readyLimit
        while !log.text(from: logOffset).split(separator: "\n").contains(where: { $0.hasPrefix("ready ") }) {
            if let exit = process.exit {
                throw StackFailure(
                    "The local broker \(exit) while starting; its log \(log.path) ends:\n\(log.lastLines(8, from: logOffset))")
            }
            guard ContinuousClock.now < deadline else {
                throw StackFailure("The local broker was not ready within \(Self.readyLimit.components.seconds) s; see \(log.path).")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}
