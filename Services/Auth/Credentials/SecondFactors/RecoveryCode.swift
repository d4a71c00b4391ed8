import Contracts
import Crypto
import Foundation

/// A code for the day on which every other factor is lost: 80 random bits, shown once, taken once, kept as a hash.
///
/// Too long to be guessed, so a plain hash is enough, and a lock-out for wrong codes does not keep its owner out.
enum RecoveryCode {
    /// How many an account has.
    static let count = 10
    static let groups = 4
    /// Without the letters that are taken for digits (Crockford's Base32).
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
    private static let length = 16

    /// `7QK3-9ZDN-0A4T-XW5C`.
    static func make() -> String {
        var generator = SystemRandomNumberGenerator()
        let characters = (0..<length).map { _ in alphabet[Int.random(in: 0..<alphabet.count, using: &generator)] }
        return stride(from: 0, to: length, by: length / groups).map { String(characters[$0..<$0 + length / groups]) }.joined(separator: "-")
    }

    /// What is stored. Letters that look like digits are read as those.
    static func digest(_ code: String, of account: UserID) -> Data {
        let plain = code.uppercased().filter { $0 != "-" && !$0.isWhitespace }
            .map { ["O": "0", "I": "1", "L": "1"][$0] ?? $0 }
        return Data(SHA256.hash(data: Data("\(account) \(String(plain))".utf8)))
    }
}
