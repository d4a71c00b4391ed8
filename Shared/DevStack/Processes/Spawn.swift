import Foundation
import Glibc

/// The wrapper that binds a program's life to ours, and drops root where asked: setpriv(1) of util-linux, which then
/// becomes the program, so the process id stays the same.
enum ParentDeath {
    static func wrapping(_ launch: ProcessLaunch) throws -> ProcessLaunch {
        guard let setpriv = ["/usr/bin/setpriv", "/bin/setpriv"].first(where: { Programs.canRun($0) }) else {
            throw StackFailure("setpriv is missing: install the package util-linux.")
        }
        var arguments = ["--pdeathsig", launch.signalOnParentDeath.rawValue]
        if let account = launch.account, geteuid() == 0 {
            // The signal is asked for after the change of user, which would clear it.
            arguments += ["--reuid=\(account)", "--regid=\(account)", "--init-groups"]
        }
        var wrapped = launch
        wrapped.executable = setpriv
        let command = [launch.executable] + launch.arguments
        // env(1) changes the directory, since posix_spawn(3) cannot here.
        wrapped.arguments = arguments + ["--"] + (launch.directory.map { ["/usr/bin/env", "--chdir=\($0)"] } ?? []) + command
        return wrapped
    }
}

/// Looking for programs.
enum Programs {
    /// Whether there is a program of this path that we may execute.
    static func canRun(_ path: String) -> Bool { access(path, X_OK) == 0 }
}

/// A started program, and the socket that its input is written to.
struct Spawned: Sendable {
    let pid: Int32
    let input: Int32?
}

/// posix_spawn(3) with the launch's files, group and signals. Only called on the spawn thread, one at a time.
func spawn(_ launch: ProcessLaunch) throws(StackFailure) -> Spawned {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    var inputEnds: [Int32] = []
    defer { if let readEnd = inputEnds.first { close(readEnd) } }
    switch launch.input {
    case .nothing:
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    case .lines:
        // A socket rather than a pipe: a line sent to a program that has gone then fails, where a pipe would end us (SIGPIPE).
        inputEnds = [-1, -1]
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0, &inputEnds) == 0 else {
            throw StackFailure("No socket could be opened: \(String(cString: strerror(errno))).")
        }
        posix_spawn_file_actions_adddup2(&actions, inputEnds[0], STDIN_FILENO)
        for end in inputEnds { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    }
    if !launch.sharesOutput {
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, launch.log, O_WRONLY | O_CREAT | O_APPEND, 0o640)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    }
    // Some C libraries open sockets that a started program would inherit (hiredis 0.14 does).
    for descriptor in inheritedDescriptors() { posix_spawn_file_actions_addclose(&actions, descriptor) }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    // We may block or ignore signals; the program starts with none blocked and all at their defaults.
    var none = sigset_t()
    var all = sigset_t()
    sigemptyset(&none)
    sigfillset(&all)
    posix_spawnattr_setsigmask(&attributes, &none)
    posix_spawnattr_setsigdefault(&attributes, &all)
    posix_spawnattr_setpgroup(&attributes, 0)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))

    var arguments: [UnsafeMutablePointer<CChar>?] = ([launch.executable] + launch.arguments).map { strdup($0) }
    var environment: [UnsafeMutablePointer<CChar>?] = launch.environment.map { strdup("\($0.key)=\($0.value)") }
    defer { (arguments + environment).forEach { free($0) } }
    arguments.append(nil)
    environment.append(nil)

    var pid: pid_t = 0
    let code = posix_spawn(&pid, launch.executable, &actions, &attributes, arguments, environment)
    guard code == 0 else {
        if inputEnds.count == 2 { close(inputEnds[1]) }
        throw StackFailure("\(launch.name) could not be started: \(String(cString: strerror(code))) (its output goes to \(launch.log)).")
    }
    return Spawned(pid: pid, input: inputEnds.last)
}

/// The open files above standard error that are not closed on exec. Closing one that has gone meanwhile does no harm.
private func inheritedDescriptors() -> [Int32] {
    let names = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")) ?? []
    return names.compactMap { Int32($0) }.filter { descriptor in
        let flags = fcntl(descriptor, F_GETFD)
        return descriptor > STDERR_FILENO && flags >= 0 && flags & FD_CLOEXEC == 0
    }
}
