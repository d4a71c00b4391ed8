import Contracts
import Foundation

/// A password somebody wants to have. Held to NIST SP 800-63B, section 5.1.1.2: its length and a list of known-bad ones,
/// no rules about kinds of characters.
///
/// It never shows itself: not in a description, not in a mirror, not in JSON.
struct Password: Described, Decodable, Sendable, CustomStringConvertible, CustomReflectable {
    static let lengths = 10...128
    private let text: String

    static var schema: Schema { .string(format: "password", minLength: lengths.lowerBound, maxLength: lengths.upperBound) }
    static var placeholder: Password { Password(text: "") }

    private init(text: String) { self.text = text }

    init(_ text: String) throws(TextProblem) {
        let normal = Self.normalized(text)
        let length = normal.unicodeScalars.count
        guard length >= Self.lengths.lowerBound else {
            throw TextProblem("password-too-short", "must have at least \(Self.lengths.lowerBound) characters")
        }
        guard length <= Self.lengths.upperBound else {
            throw TextProblem("password-too-long", "must have at most \(Self.lengths.upperBound) characters")
        }
        guard !KnownBadPasswords.contains(normal) else {
            throw TextProblem("password-known", "is among the passwords that are tried first: choose another")
        }
        self.text = normal
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        do {
            try self.init(try container.decode(String.self))
        } catch let problem as TextProblem {
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
    }

    /// What is hashed.
    var bytes: [UInt8] { Array(text.utf8) }

    /// The same characters typed on another keyboard are the same password (NFKC, as SP 800-63B asks).
    static func normalized(_ text: String) -> String { text.precomposedStringWithCompatibilityMapping }

    func isOn(_ list: LeakedPasswords) -> Bool { list.contains(text) }

    /// Whether little is left when the words are taken away.
    func isMadeOf(_ words: [String]) -> Bool {
        let lowered = text.lowercased()
        let rest = words.reduce(lowered) { $0.replacingOccurrences(of: $1, with: "") }
        return rest != lowered && rest.filter { $0.isLetter || $0.isNumber }.count < PasswordPolicy.leastBeyondWords
    }

    var description: String { "[hidden]" }
    var customMirror: Mirror { Mirror(self, children: []) }
}

/// A password, or another secret, that somebody shows. Any text up to a length; as silent as `Password`.
struct PresentedSecret: Described, Decodable, Sendable, CustomStringConvertible, CustomReflectable {
    static let maximumLength = 1_024
    let text: String

    static var schema: Schema { .string(format: "password", minLength: 1, maxLength: maximumLength) }
    static var placeholder: PresentedSecret { PresentedSecret(text: "") }

    private init(text: String) { self.text = text }

    /// Nil unless it has 1 to `maximumLength` characters.
    init?(_ text: String) {
        guard (1...Self.maximumLength).contains(text.unicodeScalars.count) else { return nil }
        self.text = text
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard (1...Self.maximumLength).contains(text.unicodeScalars.count) else {
            let problem = TextProblem(text.isEmpty ? "empty" : "too-long", "must have 1 to \(Self.maximumLength) characters")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        self.text = text
    }

    /// The form in which a password is hashed.
    var passwordBytes: [UInt8] { Array(Password.normalized(text).utf8) }

    var description: String { "[hidden]" }
    var customMirror: Mirror { Mirror(self, children: []) }
}
