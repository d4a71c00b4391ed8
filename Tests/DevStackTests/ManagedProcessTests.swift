import Foundation
import Glibc
import Testing

@testable import DevStack

@Suite final class ManagedProcessTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-process-test") }
    deinit { scratch.remove() }

    func launch(_ script: String, input: ProcessLaunch.Input = .nothing) -> ProcessLaunch {
        ProcessLaunch("/bin/sh", ["-c", script], log: scratch.path + "/\(UUID()).log", input: input)
    }

    @Test("A program's output goes to its log and its exit code is told")
    func outputAndCode() async throws {
        let (exit, output) = try await ManagedProcess.run(launch("echo said; echo complained >&2; exit 7"))
        #expect(exit == .code(7))
        #expect(output == "said\ncomplained\n")
    }

    @Test("A program gets exactly the environment and the directory that it is given")
    func environment() async throws {
        var launch = launch("echo \"$COLOUR in $PWD\"; test -z \"$HOME\" && echo nothing else")
        launch.environment = ["COLOUR": "green"]
        launch.directory = "/usr"
        #expect(try await ManagedProcess.run(launch).output == "green in /usr\nnothing else\n")
    }

    @Test("A program that cannot be executed is a sentence, not a process")
    func missing() {
        #expect(throws: StackFailure("/nowhere/tool is not there or cannot be executed.")) {
            try ManagedProcess.start(ProcessLaunch("/nowhere/tool", log: scratch.path + "/x.log"))
        }
    }

    @Test("A program that heeds SIGTERM ends by itself")
    func terminates() async throws {
        let process = try ManagedProcess.start(launch("trap 'exit 3' TERM; echo up; while :; do sleep 0.05; done"))
        try await eventually { LogFile(process.launch.log).text() == "up\n" }
        #expect(await process.stop() == .code(3))
    }

    @Test("A program that ignores SIGTERM is killed with its children")
    func killed() async throws {
        let process = try ManagedProcess.start(launch("trap '' TERM; sleep 600 & echo $!; while :; do sleep 0.05; done"))
        try await eventually { LogFile(process.launch.log).text().hasSuffix("\n") }
        let child = try #require(Int32(LogFile(process.launch.log).text().trimmingCharacters(in: .newlines)))
        #expect(await process.stop([StopStep(.terminate, grace: .milliseconds(200))]) == .signal(SIGKILL))
        try await eventually { isGone(child) }
    }

    @Test("What a program leaves running in its group is swept when it exits")
    func orphansAreSwept() async throws {
        let (_, output) = try await ManagedProcess.run(launch("sleep 600 >/dev/null 2>&1 & echo $!"))
        let child = try #require(Int32(output.trimmingCharacters(in: .newlines)))
        try await eventually { isGone(child) }
    }

    @Test("A program survives the end of the thread and task that started it")
    func outlivesItsStarter() async throws {
        let started = launch("echo up; exec sleep 600")
        let process = try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try ManagedProcess.start(started) }) }
        }
        try await Task.sleep(for: .milliseconds(300))
        #expect(process.isRunning)
        await process.stop()
    }

    @Test("When the process that started it is killed, the kernel ends the program")
    func parentDeath() async throws {
        // A shell starts the program exactly as we do, and is killed in our place.
        let wrapped = try ParentDeath.wrapping(ProcessLaunch("/bin/sleep", ["600"], log: "/dev/null"))
        let command = ([wrapped.executable] + wrapped.arguments).joined(separator: " ")
        let (exit, output) = try await ManagedProcess.run(launch("\(command) & echo $!; sleep 0.3; kill -KILL $$"))
        #expect(exit == .signal(SIGKILL))
        let child = try #require(Int32(output.split(separator: "\n").first ?? ""))
        try await eventually { isGone(child) }
    }

    @Test("Lines reach the program, and writing to one that has gone is an error rather than the end of us")
    func lines() async throws {
        let process = try ManagedProcess.start(launch("read first; echo got $first", input: .lines))
        try process.write(line: "hello")
        #expect(try await process.exited() == .code(0))
        #expect(LogFile(process.launch.log).text() == "got hello\n")
        #expect(throws: StackFailure.self) { try process.write(line: "again") }
    }

    @Test("A command that takes too long is ended and said so")
    func tooLong() async {
        await #expect(throws: StackFailure("sh did not end within 1 s.")) {
            try await ManagedProcess.run(launch("sleep 600"), atMost: .seconds(1))
        }
    }

    @Test("Open files of this process are not inherited")
    func inheritance() async throws {
        let descriptor = open("/etc/hostname", O_RDONLY)
        defer { close(descriptor) }
        let (_, output) = try await ManagedProcess.run(launch("ls -l /proc/$$/fd"))
        #expect(!output.contains("hostname"))
    }
}

/// Whether no process has this number, or only a dead one that nobody has waited for.
func isGone(_ pid: Int32) -> Bool {
    guard kill(pid, 0) == 0 else { return true }
    let status = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
    return status.isEmpty || status.contains("State:\tZ")
}

/// Waits until the condition holds, at most half a minute, and fails the test when it never does.
func eventually(_ condition: () async throws -> Bool, sourceLocation: SourceLocation = #_sourceLocation) async throws {
    let deadline = ContinuousClock.now + .seconds(30)
    while ContinuousClock.now < deadline {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("It did not become true within half a minute.", sourceLocation: sourceLocation)
}
