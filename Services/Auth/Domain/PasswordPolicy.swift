import Contracts

/// What a new password must not be, beside what `Password` checks by itself: on the list of known-bad ones that the settings name,
/// or little more than what everybody knows of the person (NIST SP 800-63B, section 5.1.1.2).
struct PasswordPolicy: Sendable {
    let leaked: LeakedPasswords
    /// The product's own names, which people reach for.
    static let ownWords = ["trionex"]
    /// Shorter words are part of too many good passwords.
    static let shortestWord = 4
    /// So much must be left when the words have been taken away.
    static let leastBeyondWords = 5

    /// - Parameter words: the address, the names, the organization.
    func check(_ password: Password, about words: [String?], pointer: String = "/password") throws(ValidationFailure) {
        if password.isOn(leaked) {
            throw ValidationFailure(pointer, "password-known", "is among the passwords that are tried first: choose another")
        }
        if password.isMadeOf(Self.parts(words)) {
            throw ValidationFailure(pointer, "password-personal", "must not be your name, address or organization, with little added")
        }
    }

    /// Each word as it is, and its parts: `ada.lovelace@example.org` is `ada.lovelace`, `lovelace` and `example` too. Longest first.
    private static func parts(_ words: [String?]) -> [String] {
        let whole = (words.compactMap { $0?.lowercased() } + ownWords)
        let pieces = whole.flatMap { [$0, String($0.prefix { $0 != "@" })] + $0.split { !$0.isLetter && !$0.isNumber }.map(String.init) }
        return Set(pieces.filter { $0.count >= shortestWord }).sorted { ($0.count, $0) > ($1.count, $1) }
    }
}
