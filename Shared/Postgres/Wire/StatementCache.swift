/// Which statements a connection has prepared: bounded, the least recently used gives way. A plain value, without a connection.
struct StatementCache {
    /// The same text with other parameter types is another statement.
    struct Key: Hashable {
        let text: String
        let types: [UInt32]
    }

    enum Use: Equatable {
        case prepared(name: String)
        /// Prepare it under this name, after giving up `evicting`.
        case prepare(name: String, evicting: String?)
    }

    private struct Entry {
        let name: String
        var lastUse: UInt64
    }

    let capacity: Int
    private var entries: [Key: Entry] = [:]
    private var clock: UInt64 = 0

    init(capacity: Int) { self.capacity = max(1, capacity) }

    var count: Int { entries.count }

    mutating func use(_ key: Key) -> Use {
        clock += 1
        if let index = entries.index(forKey: key) {
            entries.values[index].lastUse = clock
            return .prepared(name: entries.values[index].name)
        }
        var evicted: String?
        if entries.count >= capacity, let oldest = entries.min(by: { $0.value.lastUse < $1.value.lastUse }) {
            evicted = oldest.value.name
            entries.removeValue(forKey: oldest.key)
        }
        // The clock only grows, so a name is never used twice on a connection.
        let name = "t\(clock)"
        entries[key] = Entry(name: name, lastUse: clock)
        return .prepare(name: name, evicting: evicted)
    }

    /// The server does not have it, or has it stale.
    mutating func forget(_ key: Key) { entries.removeValue(forKey: key) }
}
