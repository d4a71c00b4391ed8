import Foundation
import Logging

/// The thread of one command connection: takes what waits, sends it in one write, hands out the answers.
struct ConnectionThread: Sendable {
    /// Room for hiredis and Swift frames; there is no deep recursion here.
    static let stackSize = 512 * 1024

    let line: Int
    let configuration: RedisConfiguration
    let queue: CommandQueue
    let metrics: RedisMetrics
    let logger: Logger

    func start() {
        let thread = Thread { run() }
        thread.name = "redis-\(line)"
        thread.stackSize = Self.stackSize
        thread.start()
    }

    private func run() {
        Self.blockBrokenPipeSignal()
        defer { queue.threadEnded() }
        var machine = ConnectionMachine(backOff: configuration.backOff, probeInterval: configuration.probeInterval, at: .now)
        var connection: HiredisConnection?
        while true {
            do throws(HiredisConnection.Trouble) {
                switch machine.action(at: .now) {
                case .connect:
                    connection = nil
                    connection = try HiredisConnection(configuration)
                    machine.connected(at: .now)
                    report(queue.connected(line), reason: nil)
                case .rest(let until):
                    if !queue.rest(until: until) { return }
                case .probe:
                    try connection?.probe()
                    machine.answered(at: .now)
                case .serve(let until):
                    switch queue.take(configuration.batch, until: until) {
                    case .closed: return
                    case .nothing: break
                    case .commands(let commands):
                        try serve(commands, over: &connection)
                        machine.answered(at: .now)
                    }
                }
            } catch {
                connection = nil
                machine.failed(at: .now, chance: .random(in: 0...1))
                report(queue.lost(line), reason: error.reason)
            }
        }
    }

    private func serve(_ commands: [PendingCommand], over connection: inout HiredisConnection?) throws(HiredisConnection.Trouble) {
        guard !commands.isEmpty else { return }
        var answered = 0
        do throws(HiredisConnection.Trouble) {
            // A server that was started again while nobody asked has closed this connection: nothing is sent yet, so a new one will do.
            if connection?.isStale ?? true {
                connection = nil
                connection = try HiredisConnection(configuration)
            }
            guard let connection else { return }
            try connection.exchange(commands.map(\.bytes), within: configuration.timeout) { index, value in
                answered = index + 1
                commands[index].answer(value)
            }
        } catch {
            for command in commands[answered...] { command.fail(error.failure) }
            throw error
        }
    }

    private func report(_ change: Availability.Change?, reason: String?) {
        switch change {
        case .becameAvailable:
            metrics.isUp(true)
            logger.notice("Redis is there", metadata: ["host": "\(configuration.host)", "port": "\(configuration.port)"])
        case .becameAway:
            metrics.isUp(false)
            logger.warning(
                "Redis is away",
                metadata: ["host": "\(configuration.host)", "port": "\(configuration.port)", "reason": "\(reason ?? "closed")"])
        case nil: break
        }
    }

    /// hiredis writes without MSG_NOSIGNAL, and a server that hung up must not end this program.
    static func blockBrokenPipeSignal() {
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
    }
}
