import Foundation

/// Wakes a thread that waits for a socket.
final class WakeUpPipe: Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32

    init() {
        var ends: [Int32] = [-1, -1]
        // Without descriptors the ends stay -1, which poll ignores: waiting then always lasts its whole time.
        if pipe(&ends) == 0 {
            for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        }
        readEnd = ends[0]
        writeEnd = ends[1]
    }

    deinit {
        close(readEnd)
        close(writeEnd)
    }

    func signal() {
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }

    /// Returns at a signal, at the time given, or when the descriptor is readable: true only for the last.
    @discardableResult
    func wait(until deadline: ContinuousClock.Instant, or descriptor: Int32 = -1) -> Bool {
        let (seconds, attoseconds) = (deadline - .now).components
        let milliseconds = max(0, seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1)
        var watched = [
            pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0), pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
        ]
        guard poll(&watched, 2, Int32(min(milliseconds, 60_000))) > 0 else { return false }
        if watched[0].revents != 0 {
            var bytes = [UInt8](repeating: 0, count: 64)
            while read(readEnd, &bytes, bytes.count) > 0 {}
        }
        return watched[1].revents != 0
    }
}
