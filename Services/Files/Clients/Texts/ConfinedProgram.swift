import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// A program of the system that is given bytes of strangers: it reads its standard input, writes its standard output, and is ended when it
/// takes too long or writes too much.
///
/// It has nothing of this process but its user: no environment (there are keys in ours), no open files, no working directory, no signals.
/// What it may use is bounded by the kernel: memory, processor time, open files, and it can write no file.
struct ConfinedProgram: Sendable {
    /// Bytes of address space.
    static let memoryBytes = 268_435_456
    static let processorSeconds = 10
    static let openFiles = 32
    /// It comes after everything that somebody waits for.
    static let niceness = 15

    private let command: [String]

    /// Nil when the program, or what confines it (coreutils, util-linux), is not installed.
    init?(_ program: String, _ arguments: [String], path: String = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin") {
        guard let environment = Self.find("env", path), let nice = Self.find("nice", path), let confine = Self.find("prlimit", path),
            let program = Self.find(program, path)
        else { return nil }
        command =
            [
                environment, "--chdir=/", nice, "-n", "\(Self.niceness)", confine, "--as=\(Self.memoryBytes)",
                "--cpu=\(Self.processorSeconds)", "--core=0",
                "--fsize=0", "--nofile=\(Self.openFiles)", "--", program,
            ] + arguments
    }

    private static func find(_ program: String, _ path: String) -> String? {
        if program.contains("/") { return access(program, X_OK) == 0 ? program : nil }
        return path.split(separator: ":").map { "\($0)/\(program)" }.first { access($0, X_OK) == 0 }
    }

    struct Output: Sendable {
        var bytes = Data()
        /// It had more to say.
        var isCut = false
        /// It was ended because its time was over.
        var ranOut = false
    }

    struct CannotStart: Error, CustomStringConvertible {
        let code: Int32
        var description: String { "a program could not be started: \(String(cString: strerror(code)))" }
    }

    /// Runs it on a thread of its own.
    func run(input: Data, maximumOutput: Int, within limit: Duration) async throws -> Output {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread {
                continuation.resume(with: Result { try self.runHere(input, maximumOutput, limit) })
            }
        }
    }

    private func runHere(_ input: Data, _ maximumOutput: Int, _ limit: Duration) throws -> Output {
        let deadline = ContinuousClock.now + limit
        // A socket rather than two pipes: what is written to a program that has gone then fails, where a pipe would end us (SIGPIPE).
        var ends: [Int32] = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue | SOCK_NONBLOCK.rawValue), 0, &ends) == 0 else {
            throw CannotStart(code: errno)
        }
        let (ours, its) = (ends[0], ends[1])
        defer { close(ours) }
        // It waits for what it reads and writes; we do not.
        _ = fcntl(its, F_SETFL, fcntl(its, F_GETFL) & ~O_NONBLOCK)
        let pid: pid_t
        do {
            defer { close(its) }
            pid = try start(its)
        }
        // Whatever it is at: nothing of it is left when this returns.
        defer {
            kill(-pid, SIGKILL)
            while waitpid(pid, nil, 0) < 0, errno == EINTR {}
        }
        return Self.talk(ours, input, maximumOutput, until: deadline)
    }

    private func start(_ socket: Int32) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, socket, STDIN_FILENO)
        posix_spawn_file_actions_adddup2(&actions, socket, STDOUT_FILENO)
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0)
        // Some C libraries open sockets that a started program would inherit.
        for descriptor in Self.inheritedDescriptors() { posix_spawn_file_actions_addclose(&actions, descriptor) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        var all = sigset_t()
        sigemptyset(&none)
        sigfillset(&all)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setsigdefault(&attributes, &all)
        posix_spawnattr_setpgroup(&attributes, 0)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
        var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) }
        var environment: [UnsafeMutablePointer<CChar>?] = [strdup("LC_ALL=C.UTF-8")]
        defer { (arguments + environment).forEach { free($0) } }
        arguments.append(nil)
        environment.append(nil)
        var pid: pid_t = 0
        let code = posix_spawn(&pid, command[0], &actions, &attributes, arguments, environment)
        guard code == 0 else { throw CannotStart(code: code) }
        return pid
    }

    /// The open files above standard error that are not closed on exec. Closing one that has gone meanwhile does no harm.
    private static func inheritedDescriptors() -> [Int32] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
        return names.compactMap { Int32($0) }.filter { descriptor in
            let flags = fcntl(descriptor, F_GETFD)
            return descriptor > STDERR_FILENO && flags >= 0 && flags & FD_CLOEXEC == 0
        }
    }

    /// Gives it the input and takes its output, until it has ended, said enough, or its time is over.
    private static func talk(_ socket: Int32, _ input: Data, _ maximumOutput: Int, until deadline: ContinuousClock.Instant) -> Output {
        var output = Output()
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var given = 0
        var isGiving = true
        while true {
            let left = deadline - ContinuousClock.now
            guard left > .zero else {
                output.ranOut = true
                output.isCut = true
                return output
            }
            var watched = pollfd(fd: socket, events: Int16(isGiving ? POLLIN | POLLOUT : POLLIN), revents: 0)
            guard poll(&watched, 1, Int32(min(1_000, max(1, left / .milliseconds(1))))) > 0 else { continue }
            if isGiving, watched.revents & Int16(POLLOUT | POLLERR | POLLHUP) != 0 {
                given += max(0, give(input, from: given, to: socket) ?? input.count)
                if given >= input.count {
                    isGiving = false
                    shutdown(socket, Int32(SHUT_WR))
                }
            }
            let count = recv(socket, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR) { return output }
            if count > 0 { output.bytes.append(contentsOf: buffer[..<count]) }
            if output.bytes.count > maximumOutput {
                output.bytes = output.bytes.prefix(maximumOutput)
                output.isCut = true
                return output
            }
        }
    }

    /// How many bytes it took just now; nil when it takes no more.
    private static func give(_ input: Data, from start: Int, to socket: Int32) -> Int? {
        let sent = input.withUnsafeBytes { bytes in
            send(
                socket, bytes.baseAddress?.advanced(by: start), bytes.count - start, Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
        }
        if sent >= 0 { return sent }
        return errno == EAGAIN || errno == EINTR ? 0 : nil
    }
}
