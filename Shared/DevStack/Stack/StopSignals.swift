import Foundation
import Glibc

/// Ctrl-C, `kill` and the closing of the terminal, as a stream.
///
/// The signals are blocked and taken by a thread with sigwait(3), so they are neither lost nor able to interrupt
/// anything. This also works where the shell that started us set them to be ignored, as it does for background jobs.
package enum StopSignals {
    /// Call first in the program, before any thread is made: threads inherit what is blocked.
    package static func take() -> AsyncStream<ProcessSignal> {
        // nohup(1) ignores the closing of the terminal, and means it.
        let wanted: [ProcessSignal] = isIgnored(.hangUp) ? [.interrupt, .terminate] : [.interrupt, .terminate, .hangUp]
        var set = sigset_t()
        sigemptyset(&set)
        for signal in wanted { sigaddset(&set, signal.number) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        // A reader of our output that has gone must not end us before everything is stopped.
        signal(SIGPIPE, SIG_IGN)
        let (stream, continuation) = AsyncStream.makeStream(of: ProcessSignal.self)
        let blocked = set
        Thread.detachNewThread {
            var set = blocked
            var number: Int32 = 0
            while true {
                guard sigwait(&set, &number) == 0 else { continue }
                if let signal = wanted.first(where: { $0.number == number }) { continuation.yield(signal) }
            }
        }
        return stream
    }

    private static func isIgnored(_ signal: ProcessSignal) -> Bool {
        // /proc/self/status, SigIgn: a mask in hexadecimal, signal 1 in the lowest bit (proc(5)).
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }
        let mask = line.flatMap { UInt64($0.dropFirst("SigIgn:".count).trimmingCharacters(in: .whitespaces), radix: 16) } ?? 0
        return mask & (1 << UInt64(signal.number - 1)) != 0
    }
}
