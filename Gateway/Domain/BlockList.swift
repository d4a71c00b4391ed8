/// A set of networks, asked in a few look-ups however many there are.
struct NetworkSet: Sendable, Equatable {
    let networks: [Network]
    private let masked: [Key: Set<[UInt8]>]

    private struct Key: Hashable {
        let bytes: Int
        let bits: Int
    }

    init(_ networks: [Network] = []) {
        self.networks = networks
        masked = networks.reduce(into: [:]) { sets, network in
            sets[Key(bytes: network.base.bytes.count, bits: network.bits), default: []].insert(Self.mask(network.base.bytes, network.bits))
        }
    }

    var isEmpty: Bool { networks.isEmpty }

    func contains(_ address: NetworkAddress) -> Bool {
        masked.contains { key, bases in
            key.bytes == address.bytes.count && bases.contains(Self.mask(address.bytes, key.bits))
        }
    }

    /// Of the address as text; what is no address is in no network.
    func contains(_ text: String) -> Bool { !isEmpty && NetworkAddress(text).map(contains) == true }

    private static func mask(_ bytes: [UInt8], _ bits: Int) -> [UInt8] {
        bytes.enumerated().map { index, byte in
            let kept = min(8, max(0, bits - index * 8))
            return kept == 0 ? 0 : byte & (0xFF << UInt8(8 - kept))
        }
    }
}

/// Who is not let in at all: addresses and networks, and what says so in its `User-Agent`.
struct BlockList: Sendable, Equatable {
    let addresses: NetworkSet
    /// Lower-case.
    let agents: [String]
    private let patterns: [[UInt8]]
    /// Whether a pattern begins with the byte, so that most of a header is passed over at a glance.
    private let begins: [Bool]

    /// `agents`: parts of a `User-Agent`, upper and lower case alike.
    init(addresses: [Network] = [], agents: [String] = []) {
        self.addresses = NetworkSet(addresses)
        self.agents = agents.map { $0.lowercased() }
        patterns = self.agents.map { Array($0.utf8) }.filter { !$0.isEmpty }
        var begins = [Bool](repeating: false, count: 256)
        for pattern in patterns { begins[Int(pattern[0])] = true }
        self.begins = begins
    }

    var isEmpty: Bool { addresses.isEmpty && patterns.isEmpty }
    var looksAtAgents: Bool { !patterns.isEmpty }

    /// Asked once for a connection, or where a trusted proxy names another client.
    func blocks(address: NetworkAddress) -> Bool { addresses.contains(address) }
    func blocks(address: String) -> Bool { addresses.contains(address) }

    func blocks(agent: UnsafeRawBufferPointer) -> Bool {
        guard looksAtAgents else { return false }
        for start in agent.indices where begins[Int(Self.lower(agent[start]))] {
            for pattern in patterns where agent.count - start >= pattern.count {
                if pattern.indices.allSatisfy({ Self.lower(agent[start + $0]) == pattern[$0] }) { return true }
            }
        }
        return false
    }

    private static func lower(_ byte: UInt8) -> UInt8 { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") ? byte | 0x20 : byte }
}
