package import Contracts
import Crypto
package import Foundation

/// A SHA-256, written in lowercase hexadecimal.
package struct ChainHash: Hashable, Sendable, CustomStringConvertible {
    package static let length = 32
    /// What the first entry of an organization has for a previous hash.
    package static let none = ChainHash(unchecked: Data(repeating: 0, count: length))

    package let bytes: Data

    private init(unchecked bytes: Data) { self.bytes = bytes }

    /// Nil unless there are 32 bytes.
    package init?(_ bytes: Data) {
        guard bytes.count == Self.length else { return nil }
        self.bytes = bytes
    }

    /// Nil unless the text is 64 hexadecimal digits in lower case.
    package init?(_ text: String) {
        let digits = Array(text.utf8)
        guard digits.count == 2 * Self.length else { return nil }
        func value(_ digit: UInt8) -> UInt8? {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit - UInt8(ascii: "a") + 10
            default: nil
            }
        }
        var bytes = Data(capacity: Self.length)
        for index in stride(from: 0, to: digits.count, by: 2) {
            guard let high = value(digits[index]), let low = value(digits[index + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        self.bytes = bytes
    }

    package static func of(_ data: Data) -> ChainHash { ChainHash(unchecked: Data(SHA256.hash(data: data))) }

    package var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// One entry as the chain sees it.
///
/// The content is the entry's JSON object without `sequence`, `previousHash` and `hash`, in the form of RFC 8785; members that have
/// no value are left out. With LF between the lines:
///
///     contentHash = SHA-256(content)
///     hash        = SHA-256("trionex-audit/1" LF organizationId LF sequence LF previousHash LF contentHash)
package struct ChainLink: Sendable, Hashable {
    package static let format = "trionex-audit/1"

    /// Where it stands: the first entry of an organization is 1.
    package let sequence: Int
    package let previous: ChainHash
    package let content: ChainHash
    /// What is written in the entry; whether it is right is for the verifier to say.
    package let hash: ChainHash

    package init(sequence: Int, previous: ChainHash, content: ChainHash, hash: ChainHash) {
        self.sequence = sequence
        self.previous = previous
        self.content = content
        self.hash = hash
    }

    /// The link of a new entry.
    package init(_ organization: TenantID, sequence: Int, previous: ChainHash, content: [String: JSONValue]) {
        let contentHash = Self.contentHash(content)
        self.init(
            sequence: sequence, previous: previous, content: contentHash,
            hash: Self.hash(organization, sequence, previous, contentHash))
    }

    /// An entry read from an export. Nil when a member of the chain is missing or cannot be read.
    package init?(entry: [String: JSONValue]) {
        guard let sequence = entry["sequence"]?.int, let previous = entry["previousHash"]?.string.flatMap({ ChainHash($0) }),
            let hash = entry["hash"]?.string.flatMap({ ChainHash($0) })
        else { return nil }
        self.init(sequence: sequence, previous: previous, content: Self.contentHash(entry), hash: hash)
    }

    /// The members of the chain are no part of the content.
    package static func contentHash(_ entry: [String: JSONValue]) -> ChainHash {
        var content = entry.filter { !$0.value.isNull }
        for name in ["sequence", "previousHash", "hash"] { content[name] = nil }
        return .of(CanonicalJSON.data(.object(content)))
    }

    package static func hash(_ organization: TenantID, _ sequence: Int, _ previous: ChainHash, _ content: ChainHash) -> ChainHash {
        .of(Data("\(format)\n\(organization)\n\(sequence)\n\(previous)\n\(content)".utf8))
    }
}
