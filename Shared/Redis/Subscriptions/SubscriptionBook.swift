/// Who listens to which channels, and what must be said to Redis and to the listeners. Knows no sockets.
struct SubscriptionBook<Listener: Hashable> {
    enum Notice: Equatable { case subscribed, resubscribed }

    private struct Entry {
        let channels: Set<String>
        /// Channels that Redis has not yet confirmed since the listener came or the connection was made.
        var awaited: Set<String>
        var wasComplete = false
    }

    private var entries: [Listener: Entry] = [:]
    private var confirmed: Set<String> = []

    var isEmpty: Bool { entries.isEmpty }
    var listeners: [Listener] { Array(entries.keys) }
    var channels: Set<String> { entries.values.reduce(into: []) { $0.formUnion($1.channels) } }

    /// Returns the channels that are new to the connection, and the notice due when all were confirmed before.
    mutating func add(_ listener: Listener, channels: Set<String>) -> (subscribe: Set<String>, notice: Notice?) {
        let fresh = channels.subtracting(self.channels)
        var entry = Entry(channels: channels, awaited: channels.subtracting(confirmed))
        entry.wasComplete = entry.awaited.isEmpty
        entries[listener] = entry
        return (fresh, entry.awaited.isEmpty ? .subscribed : nil)
    }

    /// Returns the channels that nobody listens to any more.
    mutating func remove(_ listener: Listener) -> Set<String> {
        guard let entry = entries.removeValue(forKey: listener) else { return [] }
        let unheard = entry.channels.subtracting(channels)
        confirmed.subtract(unheard)
        return unheard
    }

    /// A new connection: nothing is confirmed. Returns the channels to subscribe to.
    mutating func reconnected() -> Set<String> {
        confirmed = []
        for (listener, entry) in entries {
            var entry = entry
            entry.awaited = entry.channels
            entries[listener] = entry
        }
        return channels
    }

    /// Redis confirmed a subscription. Returns the listeners that now have all of theirs.
    mutating func confirm(_ channel: String) -> [(Listener, Notice)] {
        guard channels.contains(channel) else { return [] }
        confirmed.insert(channel)
        var notices: [(Listener, Notice)] = []
        for (listener, entry) in entries where entry.awaited.contains(channel) {
            var entry = entry
            entry.awaited.remove(channel)
            if entry.awaited.isEmpty {
                notices.append((listener, entry.wasComplete ? .resubscribed : .subscribed))
                entry.wasComplete = true
            }
            entries[listener] = entry
        }
        return notices
    }

    func listeners(of channel: String) -> [Listener] {
        entries.compactMap { $0.value.channels.contains(channel) ? $0.key : nil }
    }
}
