import Foundation
import Glibc

/// Says that a stack runs from a folder: a locked file with the process number. The kernel drops the lock with the
/// process, so a file left by a crash means nothing.
package final class StackLock: Sendable {
    private let descriptor: Int32

    private static func path(in runDirectory: String) -> String { runDirectory + "/trionex-dev.pid" }

    /// Takes the lock. Throws a `StackFailure` when a stack runs from this folder already.
    package init(in runDirectory: String) throws {
        try FileManager.default.createDirectory(atPath: runDirectory, withIntermediateDirectories: true)
        // Closed on exec: a started program must not keep the lock after us.
        descriptor = open(Self.path(in: runDirectory), O_RDWR | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw StackFailure("\(runDirectory) cannot be written: \(String(cString: strerror(errno))).") }
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let holder = Self.holder(in: runDirectory).map { " (process \($0))" } ?? ""
            throw StackFailure("Trionex runs already from this folder\(holder). Stop it with make stop.")
        }
        ftruncate(descriptor, 0)
        let text = Array("\(getpid())\n".utf8)
        _ = Glibc.write(descriptor, text, text.count)
    }

    deinit { close(descriptor) }

    /// The process that runs a stack from this folder; nil when none does.
    package static func holder(in runDirectory: String) -> Int32? {
        let descriptor = open(path(in: runDirectory), O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        if flock(descriptor, LOCK_SH | LOCK_NB) == 0 { return nil }
        let text = (try? String(contentsOfFile: path(in: runDirectory), encoding: .utf8)) ?? ""
        return Int32(text.trimmingCharacters(in: .whitespacesAndNewlines))
    }

    /// Asks the stack that runs from this folder to stop, and waits until it has. Returns false when none runs.
    ///
    /// Kills it when it has not stopped within the limit; the kernel then ends its programs.
    package static func stopHolder(in runDirectory: String, atMost limit: Duration = .seconds(60)) async throws -> Bool {
        guard let pid = holder(in: runDirectory) else { return false }
        kill(pid, SIGTERM)
        let deadline = ContinuousClock.now + limit
        while holder(in: runDirectory) == pid {
            if ContinuousClock.now > deadline {
                kill(pid, SIGKILL)
                throw StackFailure("Process \(pid) did not stop within \(limit.components.seconds) s and was killed.")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
        return true
    }
}
