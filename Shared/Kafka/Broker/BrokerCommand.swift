/// One line of the control protocol. Each is answered by its lines, if it has any, and then `ok` or `error <reason>`.
enum BrokerCommand: Equatable {
    case down(Int32)
    case up(Int32)
    case delay(Int32, milliseconds: Int32)
    case leader(String, partition: Int32, broker: Int32)
    case coordinator(String, broker: Int32)
    case topic(String, partitions: Int32)
    case errors(apiKey: Int16, code: Int32, count: Int)
    case topics
    case quit

    static let usage = """
        down N | up N | rtt N MS | leader TOPIC PARTITION N | coordinator GROUP N | topic NAME PARTITIONS | error APIKEY CODE COUNT | topics | quit
        """
    /// More errors than a test can want.
    private static let errorLimit = 1_000

    init(_ line: String) throws {
        let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
        switch (words.first, words.count) {
        case ("down", 2): self = .down(try Self.number(words[1]))
        case ("up", 2): self = .up(try Self.number(words[1]))
        case ("rtt", 3): self = .delay(try Self.number(words[1]), milliseconds: try Self.number(words[2]))
        case ("leader", 4): self = .leader(words[1], partition: try Self.number(words[2]), broker: try Self.number(words[3]))
        case ("coordinator", 3): self = .coordinator(words[1], broker: try Self.number(words[2]))
        case ("topic", 3): self = .topic(words[1], partitions: try Self.number(words[2]))
        case ("error", 4):
            let count: Int = try Self.number(words[3])
            guard (1...Self.errorLimit).contains(count) else { throw BrokerFailure("1 to \(Self.errorLimit) errors") }
            self = .errors(apiKey: try Self.number(words[1]), code: try Self.number(words[2]), count: count)
        case ("topics", 1): self = .topics
        case ("quit", 1): self = .quit
        default: throw BrokerFailure("not a command; there are: \(Self.usage)")
        }
    }

    private static func number<N: FixedWidthInteger>(_ word: String) throws -> N {
        guard let number = N(word) else { throw BrokerFailure("\(word) is not a number that fits") }
        return number
    }
}
