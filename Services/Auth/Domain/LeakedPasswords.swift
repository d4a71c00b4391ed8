import Foundation

/// A large list of passwords that are known to attackers, kept as eight bytes each: a million take eight megabytes.
///
/// Two different passwords share a number once in 2^64 pairs; then a good one is refused, which harms nobody.
struct LeakedPasswords: Sendable {
    struct Unreadable: Error, CustomStringConvertible {
        let description: String
    }

    static let none = LeakedPasswords(sorted: [])
    /// Larger lists belong in a service of their own.
    static let maximumCount = 20_000_000

    private let sorted: [UInt64]
    var count: Int { sorted.count }

    private init(sorted: [UInt64]) { self.sorted = sorted }

    init(_ passwords: some Sequence<String>) { self.init(sorted: Set(passwords.map(Self.number)).sorted()) }

    /// Reads a file of UTF-8 text, one password a line. Lines that are too short to be a password here are left out.
    init(contentsOf path: String) throws {
        guard let data = try? Data(contentsOf: URL(filePath: path), options: .mappedIfSafe) else {
            throw Unreadable(description: "TRIONEX_AUTH_BAD_PASSWORDS names \(path), which cannot be read")
        }
        var numbers: [UInt64] = []
        for line in data.split(separator: UInt8(ascii: "\n")) {
            guard let text = String(bytes: line.last == UInt8(ascii: "\r") ? line.dropLast() : line, encoding: .utf8) else { continue }
            guard text.unicodeScalars.count >= Password.lengths.lowerBound else { continue }
            numbers.append(Self.number(text))
            guard numbers.count <= Self.maximumCount else {
                throw Unreadable(description: "TRIONEX_AUTH_BAD_PASSWORDS has more than \(Self.maximumCount) passwords")
            }
        }
        numbers.sort()
        self.init(sorted: numbers)
    }

    /// Without regard to case, in the form in which passwords are hashed.
    func contains(_ password: String) -> Bool {
        let number = Self.number(password)
        var low = 0, high = sorted.count
        while low < high {
            let middle = (low + high) / 2
            if sorted[middle] < number { low = middle + 1 } else { high = middle }
        }
        return low < sorted.count && sorted[low] == number
    }

    /// FNV-1a of 64 bits. Nobody gains by a collision, so it need be no cryptographic hash.
    private static func number(_ password: String) -> UInt64 {
        Password.normalized(password).lowercased().utf8.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
    }
}
