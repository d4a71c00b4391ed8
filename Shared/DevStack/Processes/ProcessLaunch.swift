import Foundation

/// How a program is started: what, with which arguments and environment, as whom, and where its output goes.
package struct ProcessLaunch: Sendable {
    /// What the program reads from its standard input.
    package enum Input: Sendable {
        /// `/dev/null`.
        case nothing
        /// Lines written with `ManagedProcess.write(line:)`.
        case lines
    }

    /// The absolute path of the program.
    package var executable: String
    package var arguments: [String]
    /// The whole environment of the program; nothing is added to it.
    package var environment: [String: String]
    /// The working directory; nil for that of this process.
    package var directory: String?
    /// The absolute path of the file that standard output and standard error are appended to.
    package var log: String
    /// Writes to our own standard output and standard error instead of the log.
    package var sharesOutput = false
    package var input: Input
    /// The user to run as, when this process is root; nil for its own.
    package var account: String?
    /// What the kernel sends the program when this process dies without having stopped it.
    package var signalOnParentDeath: ProcessSignal

    package init(
        _ executable: String, _ arguments: [String] = [], environment: [String: String] = ProcessInfo.processInfo.environment,
        directory: String? = nil, log: String, input: Input = .nothing, account: String? = nil,
        signalOnParentDeath: ProcessSignal = .kill
    ) {
        self.executable = executable
        self.arguments = arguments
        self.environment = environment
        self.directory = directory
        self.log = log
        self.input = input
        self.account = account
        self.signalOnParentDeath = signalOnParentDeath
    }

    /// The program's name without its folder, for messages.
    package var name: String { URL(filePath: executable).lastPathComponent }
}

/// The signals used here, by the names of signal(7).
package enum ProcessSignal: String, Sendable {
    case hangUp = "HUP"
    case interrupt = "INT"
    case quit = "QUIT"
    case kill = "KILL"
    case terminate = "TERM"
    case stop = "STOP"
    case resume = "CONT"
}

/// How a process ended.
package enum ProcessExit: Sendable, Equatable, CustomStringConvertible {
    /// It exited by itself, with this code.
    case code(Int32)
    /// It was ended by a signal, with this number.
    case signal(Int32)

    package var succeeded: Bool { self == .code(0) }

    package var description: String {
        switch self {
        case .code(let code): "exited with code \(code)"
        case .signal(let number): "was ended by signal \(number)"
        }
    }
}

/// One step of stopping a process: send the signal, then wait this long for its end.
package struct StopStep: Sendable {
    package let signal: ProcessSignal
    package let grace: Duration

    package init(_ signal: ProcessSignal, grace: Duration) {
        self.signal = signal
        self.grace = grace
    }
}
