import Foundation
import Glibc

/// Ctrl-C, `kill` and the closing of the terminal, as a stream.
package enum StopSignals {
    /// From here on the signals no longer end this process. This also works where the shell that started us set them to
    /// be ignored, as it does for background jobs.
    package static func take() -> AsyncStream<ProcessSignal> {
        let (stream, continuation) = AsyncStream.makeStream(of: ProcessSignal.self)
        let read = wake.read
        guard read >= 0 else { return stream }
        Thread.detachNewThread {
            var number: UInt8 = 0
            while Glibc.read(read, &number, 1) == 1 {
                if let signal = wanted.first(where: { $0.number == Int32(number) }) { continuation.yield(signal) }
            }
        }
        // nohup(1) ignores the closing of the terminal, and means it.
        for signal in wanted where signal != .hangUp || !isIgnored(signal) {
            Glibc.signal(signal.number) { number in
                // One of the few calls that a signal handler may make (signal-safety(7)).
                var byte = UInt8(truncatingIfNeeded: number)
                _ = Glibc.write(wake.write, &byte, 1)
            }
        }
        // A reader of our output that has gone must not end us before everything is stopped.
        Glibc.signal(SIGPIPE, SIG_IGN)
        return stream
    }

    private static let wanted: [ProcessSignal] = [.interrupt, .terminate, .hangUp]

    private static func isIgnored(_ signal: ProcessSignal) -> Bool {
        // /proc/self/status, SigIgn: a mask in hexadecimal, signal 1 in the lowest bit (proc(5)).
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("SigIgn:") }
        let mask = line.flatMap { UInt64($0.dropFirst("SigIgn:".count).trimmingCharacters(in: .whitespaces), radix: 16) } ?? 0
        return mask & (1 << UInt64(signal.number - 1)) != 0
    }
}

/// The pipe between the signal handler and the thread that reads it; opened by `take()`, before there is a handler.
private let wake: (read: Int32, write: Int32) = {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else { return (-1, -1) }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
}()
