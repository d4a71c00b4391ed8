import Foundation
import Glibc
import Synchronization

/// A program that this process started and will stop.
///
/// It runs in a process group of its own, so that Ctrl-C at the terminal reaches only this process, which then stops
/// its programs in order. It is started through setpriv(1), which asks the kernel to signal it when this process dies:
/// nothing survives, however this process ends. swift-subprocess is not used because it binds a child to a
/// scope of structured code, and because it gives no say over the thread that starts the child (see `SpawnThread`).
package final class ManagedProcess: Sendable {
    package let launch: ProcessLaunch
    package let pid: Int32

    private struct State {
        var exit: ProcessExit?
        var waiting: [AsyncStream<ProcessExit>.Continuation] = []
        var input: Int32?
    }
    private let state: Mutex<State>

    /// Starts the program. Throws a `StackFailure` when it cannot be executed; whether it then works is for the caller to see.
    package static func start(_ launch: ProcessLaunch) throws -> ManagedProcess {
        guard Programs.canRun(launch.executable) else {
            throw StackFailure("\(launch.executable) is not there or cannot be executed.")
        }
        let wrapped = try ParentDeath.wrapping(launch)
        let spawned = try SpawnThread.shared.run { () -> Result<Spawned, StackFailure> in
            do throws(StackFailure) { return .success(try spawn(wrapped)) } catch { return .failure(error) }
        }.get()
        return ManagedProcess(launch, pid: spawned.pid, input: spawned.input)
    }

    private init(_ launch: ProcessLaunch, pid: Int32, input: Int32?) {
        self.launch = launch
        self.pid = pid
        self.state = Mutex(State(input: input))
        let reaper = Thread { self.reap() }
        reaper.stackSize = 256 * 1024
        reaper.name = "reaper"
        reaper.start()
    }

    // MARK: - Its end

    /// How it ended; nil while it runs.
    package var exit: ProcessExit? { state.withLock { $0.exit } }
    package var isRunning: Bool { exit == nil }

    /// Waits for its end. Throws `CancellationError` when the task is cancelled.
    package func exited() async throws -> ProcessExit {
        let (stream, continuation) = AsyncStream.makeStream(of: ProcessExit.self)
        let ended = state.withLock { state in
            if state.exit == nil { state.waiting.append(continuation) }
            return state.exit
        }
        if let ended { return ended }
        for await exit in stream { return exit }
        throw CancellationError()
    }

    /// Waits for its end, at most this long, blocking the thread.
    package func waitUntilExit(atMost limit: Duration) -> ProcessExit? {
        let deadline = ContinuousClock.now + limit
        while true {
            if let exit { return exit }
            if ContinuousClock.now >= deadline { return nil }
            usleep(Self.pollMicroseconds)
        }
    }

    /// Blocks until the process ends, sweeps what it left in its group, then lets the kernel forget it.
    private func reap() {
        var info = siginfo_t()
        while waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT) != 0, errno == EINTR {}
        // The dead leader still holds its number here, so the group signalled is surely its own.
        Glibc.kill(-pid, SIGKILL)
        var status: Int32 = 0
        let (waiting, exit) = state.withLock { state in
            while waitpid(pid, &status, 0) < 0, errno == EINTR {}
            let exit = ProcessExit(waitStatus: status)
            state.exit = exit
            if let input = state.input { close(input) }
            state.input = nil
            defer { state.waiting = [] }
            return (state.waiting, exit)
        }
        for continuation in waiting {
            continuation.yield(exit)
            continuation.finish()
        }
    }

    // MARK: - Signals and input

    /// Sends a signal, unless it has ended.
    package func send(_ signal: ProcessSignal) {
        // Under the lock the process is not yet reaped, so its number cannot belong to another.
        state.withLock { state in
            guard state.exit == nil else { return }
            _ = Glibc.kill(pid, signal.number)
        }
    }

    /// Writes a line to its standard input, for programs started with `.lines`.
    package func write(line: String) throws {
        let bytes = Array((line + "\n").utf8)
        let written = state.withLock { state in
            guard let input = state.input else { return -1 }
            return Glibc.send(input, bytes, bytes.count, Int32(MSG_NOSIGNAL))
        }
        guard written == bytes.count else { throw StackFailure("\(launch.name) no longer reads its standard input.") }
    }

    // MARK: - Stopping

    /// Goes through the steps until it ends, then kills it with its whole group. Blocks the thread; for exit handlers.
    @discardableResult
    package func stopBlocking(_ steps: [StopStep] = [StopStep(.terminate, grace: .seconds(15))]) -> ProcessExit {
        for step in steps {
            send(step.signal)
            if let exit = waitUntilExit(atMost: step.grace) { return exit }
        }
        state.withLock { state in
            guard state.exit == nil else { return }
            _ = Glibc.kill(-pid, SIGKILL)
        }
        while true {
            if let exit = waitUntilExit(atMost: .seconds(1)) { return exit }
        }
    }

    /// Goes through the steps until it ends, then kills it. Runs to its end even when the task is cancelled.
    @discardableResult
    package func stop(_ steps: [StopStep] = [StopStep(.terminate, grace: .seconds(15))]) async -> ProcessExit {
        await withCheckedContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(returning: self.stopBlocking(steps)) }
        }
    }

    /// Runs a command to its end and returns how it ended with what it printed. Throws when it takes longer than the limit.
    package static func run(_ launch: ProcessLaunch, atMost limit: Duration = .seconds(60)) async throws -> (
        exit: ProcessExit, output: String
    ) {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue.global().async { continuation.resume(with: Result { try runBlocking(launch, atMost: limit) }) }
        }
    }

    private static func runBlocking(_ launch: ProcessLaunch, atMost limit: Duration) throws -> (exit: ProcessExit, output: String) {
        let offset = LogFile(launch.log).size
        let process = try start(launch)
        guard let exit = process.waitUntilExit(atMost: limit) else {
            process.stopBlocking([StopStep(.terminate, grace: .seconds(2))])
            throw StackFailure("\(launch.name) did not end within \(limit.components.seconds) s.")
        }
        return (exit, LogFile(launch.log).text(from: offset))
    }

    private static let pollMicroseconds: UInt32 = 2_000
}

extension ProcessExit {
    /// From the status of waitpid(2).
    init(waitStatus status: Int32) {
        let signal = status & 0x7f
        self = signal == 0 ? .code((status >> 8) & 0xff) : .signal(signal)
    }
}

extension ProcessSignal {
    package var number: Int32 {
        switch self {
        case .hangUp: SIGHUP
        case .interrupt: SIGINT
        case .quit: SIGQUIT
        case .kill: SIGKILL
        case .terminate: SIGTERM
        case .stop: SIGSTOP
        case .resume: SIGCONT
        }
    }
}
