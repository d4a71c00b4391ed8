/// Whether Redis is there, seen over all connections of one client, and what that means for a new command.
struct Availability: Equatable {
    enum Change: Equatable { case becameAvailable, becameAway }
    enum Admission: Equatable { case admitted, starting, refused(RedisFailure) }
    private enum Line: Equatable { case untried, up, down }

    private var lines: [Line]
    private let queueLimit: Int

    init(connections: Int, queueLimit: Int) {
        lines = Array(repeating: .untried, count: connections)
        self.queueLimit = queueLimit
    }

    /// No connection has been made yet, and not all have failed.
    var isStarting: Bool { !lines.contains(.up) && lines.contains(.untried) }
    var isAway: Bool { lines.allSatisfy { $0 == .down } }

    /// A command never waits for a server that is gone: with no connection it is refused at once, so nothing piles up.
    func admit(waiting: Int) -> Admission {
        if isAway { return .refused(.away) }
        if isStarting { return .starting }
        return waiting < queueLimit ? .admitted : .refused(.busy)
    }

    mutating func connected(_ line: Int) -> Change? {
        let wasUp = lines.contains(.up)
        lines[line] = .up
        return wasUp ? nil : .becameAvailable
    }

    mutating func lost(_ line: Int) -> Change? {
        let wasAway = isAway
        lines[line] = .down
        return !wasAway && isAway ? .becameAway : nil
    }
}
