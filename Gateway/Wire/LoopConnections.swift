import NIOCore
import Synchronization

/// The open connections of one event loop.
///
/// Unchecked, because everything in it is touched on that event loop alone; the methods for others hop to it.
final class LoopConnections: @unchecked Sendable {
    private struct Opening {
        let channel: any Channel
        var ticks: Int
    }

    /// For how long a connection may still be opened when the program ends.
    private static let openingGrace = TimeAmount.milliseconds(250)

    let workspace: HTTP2Workspace
    private let loop: any EventLoop
    private let counters: EdgeCounters
    /// Those whose protocol is not known yet.
    private var opening: [ObjectIdentifier: Opening] = [:]
    private var channels: [ObjectIdentifier: any Channel] = [:]
    /// Whom a connection was counted for (`AddressCrowds`).
    private var subjects: [ObjectIdentifier: String] = [:]
    private var connections: [ObjectIdentifier: any Drainable] = [:]
    /// Of these, those that count ticks.
    private var ticking: [ObjectIdentifier: HTTP2Connection] = [:]
    private var isDraining = false
    private var task: RepeatedTask?

    init(loop: any EventLoop, counters: EdgeCounters) {
        self.loop = loop
        self.counters = counters
        workspace = HTTP2Workspace()
    }

    // MARK: From any thread

    func start() {
        loop.execute { [self] in
            task = loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { [weak self] _ in self?.tick() }
        }
    }

    func stop() {
        loop.execute { [self] in
            task?.cancel()
            task = nil
        }
    }

    func drain() {
        loop.execute { [self] in
            isDraining = true
            for (channel, connection) in Array(connections) where connections[channel] != nil { connection.drain() }
            // Whoever has said nothing yet has nothing to lose.
            loop.scheduleTask(in: Self.openingGrace) { [self] in
                for item in Array(opening.values) { item.channel.close(promise: nil) }
            }
        }
    }

    func closeAll() {
        loop.execute { [self] in
            for channel in Array(channels.values) { channel.close(promise: nil) }
        }
    }

    // MARK: On the event loop

    func admit(_ channel: any Channel, ticks: Int) {
        let id = ObjectIdentifier(channel)
        channels[id] = channel
        opening[id] = Opening(channel: channel, ticks: ticks)
    }

    func opened(_ channel: any Channel, _ connection: (any Drainable)?) {
        let id = ObjectIdentifier(channel)
        guard opening.removeValue(forKey: id) != nil, let connection else { return }
        connections[id] = connection
        if let connection = connection as? HTTP2Connection { ticking[id] = connection }
        if isDraining { connection.drain() }
    }

    /// False when the connection is not there any more.
    func counted(_ channel: any Channel, as subject: String) -> Bool {
        let id = ObjectIdentifier(channel)
        guard channels[id] != nil else { return false }
        subjects[id] = subject
        return true
    }

    /// Gives whom the connection was counted for.
    func left(_ channel: any Channel) -> String? {
        let id = ObjectIdentifier(channel)
        opening[id] = nil
        channels[id] = nil
        connections[id] = nil
        ticking[id] = nil
        return subjects.removeValue(forKey: id)
    }

    private func tick() {
        for (id, item) in opening {
            if item.ticks > 0 {
                opening[id]?.ticks -= 1
            } else {
                counters.slowOpenings.add(1, ordering: .relaxed)
                item.channel.close(promise: nil)
            }
        }
        for (_, connection) in ticking { connection.tick() }
    }
}
