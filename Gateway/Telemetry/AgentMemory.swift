#if canImport(Glibc)
    import Glibc
#endif

/// User agents as they stand in a log line. The same few come again and again, so each is escaped and masked once.
struct AgentMemory {
    /// Bytes of an agent that are logged.
    static let maximum = 256
    /// How long it can become: each byte an escape of six.
    static let maximumEscaped = maximum * 6
    /// Places; two agents that fall into the same one push each other out.
    static let places = 128

    private struct Entry {
        var text: [UInt8] = []
        var escaped: [UInt8] = []
    }

    private var entries = [Entry](repeating: Entry(), count: AgentMemory.places)
    private let scratch = ScratchBytes(AgentMemory.maximumEscaped + 64)

    /// Writes the text within quotation marks.
    mutating func write(_ agent: UnsafeRawBufferPointer, to line: inout LineWriter) {
        let text = JSONText.prefix(agent, Self.maximum)
        let place = Self.place(text)
        if !Self.isSame(entries[place].text, text) { learn(text, place) }
        line.put(entries[place].escaped)
    }

    private mutating func learn(_ text: UnsafeRawBufferPointer, _ place: Int) {
        var writer = LineWriter(scratch.base, capacity: scratch.count)
        writer.put(UInt8(ascii: "\""))
        if JSONText.mayHoldSecret(text) { writer.put(escaped: JSONText.masked(text)) } else { writer.put(escaped: text) }
        writer.put(UInt8(ascii: "\""))
        entries[place].text.removeAll(keepingCapacity: true)
        entries[place].text.append(contentsOf: text)
        entries[place].escaped.removeAll(keepingCapacity: true)
        entries[place].escaped.append(contentsOf: UnsafeBufferPointer(start: scratch.base, count: writer.count))
    }

    private static func isSame(_ known: [UInt8], _ text: UnsafeRawBufferPointer) -> Bool {
        guard known.count == text.count, !known.isEmpty, let base = text.baseAddress else { return false }
        return memcmp(known, base, known.count) == 0
    }

    /// Of the length and the ends, where agents differ.
    private static func place(_ text: UnsafeRawBufferPointer) -> Int {
        guard text.count >= 8 else { return text.count % places }
        let first = text.loadUnaligned(as: UInt64.self)
        let middle = text.loadUnaligned(fromByteOffset: (text.count - 8) / 2, as: UInt64.self)
        let last = text.loadUnaligned(fromByteOffset: text.count - 8, as: UInt64.self)
        let mixed = (first ^ middle &* 31 ^ last &* 131 ^ UInt64(text.count)) &* 0x9E37_79B9_7F4A_7C15
        return Int(mixed >> 32) % places
    }
}

/// Bytes to work on.
final class ScratchBytes {
    let base: UnsafeMutablePointer<UInt8>
    let count: Int

    init(_ count: Int) {
        self.count = count
        base = .allocate(capacity: count)
        base.initialize(repeating: 0, count: count)
    }

    deinit { base.deallocate() }
}
