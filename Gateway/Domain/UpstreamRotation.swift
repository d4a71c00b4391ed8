/// The addresses of one service in turn; one that could not be connected to is passed over for a moment while there are others.
struct UpstreamRotation: Sendable, Equatable {
    static let coolDown: Duration = .seconds(1)

    private let addresses: [String]
    private var next = 0
    private var failedAt: [String: ContinuousClock.Instant] = [:]

    init(_ addresses: [String]) { self.addresses = addresses }

    /// In the order in which they should be tried.
    mutating func candidates(at now: ContinuousClock.Instant) -> [String] {
        guard !addresses.isEmpty else { return [] }
        let turn = next
        next = (next + 1) % addresses.count
        let inTurn = (0..<addresses.count).map { addresses[(turn + $0) % addresses.count] }
        let resting = Set(inTurn.filter { address in failedAt[address].map { now < $0 + Self.coolDown } ?? false })
        return inTurn.filter { !resting.contains($0) } + inTurn.filter { resting.contains($0) }
    }

    mutating func failed(_ address: String, at now: ContinuousClock.Instant) { failedAt[address] = now }
    mutating func answered(_ address: String) { failedAt[address] = nil }
}
