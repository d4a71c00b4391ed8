import Contracts
import Foundation

/// The letters that ship: what other programs of the platform ask to have told to somebody, often with a secret in it.
///
/// Their words are in `LetterEnglish` and `LetterGerman`, each said once and shown as text and as HTML.
enum LetterTemplate: String, Sendable, CaseIterable {
    case verifyEmail = "verify-email"
    case resetPassword = "reset-password"
    case passwordChanged = "password-changed"
    case accountExists = "account-exists"
    case signInCode = "sign-in-code"
    case invitation
    case newDevice = "new-device"
    case accountLocked = "account-locked"
    case mfaChanged = "mfa-changed"
    case recoveryCodeUsed = "recovery-code-used"

    /// Somebody sits before a screen and waits for it, so it goes before all that nobody waits for.
    var isUrgent: Bool {
        switch self {
        case .verifyEmail, .resetPassword, .accountExists, .signInCode: true
        case .passwordChanged, .invitation, .newDevice, .accountLocked, .mfaChanged, .recoveryCodeUsed: false
        }
    }

    /// What it is told, besides its recipient.
    var parameters: [LetterParameter] {
        switch self {
        case .verifyEmail, .resetPassword:
            [.init("link", .link), .init("code", .code, required: false), .init("minutes", .minutes)]
        case .passwordChanged: [.init("when", .moment), .init("address", .text, required: false)]
        case .accountExists: [.init("link", .link)]
        case .signInCode: [.init("code", .code), .init("minutes", .minutes)]
        case .invitation:
            [
                .init("organization", .text), .init("inviter", .text, required: false), .init("role", .text, required: false),
                .init("message", .note, required: false), .init("link", .link), .init("days", .days),
            ]
        case .newDevice:
            [.init("when", .moment), .init("address", .text, required: false), .init("agent", .text, required: false)]
        case .accountLocked: [.init("until", .moment)]
        case .mfaChanged: [.init("method", .term), .init("change", .term), .init("when", .moment, required: false)]
        case .recoveryCodeUsed: [.init("left", .number)]
        }
    }

    func words(in language: LetterLanguage) -> LetterWords {
        switch language {
        case .english: LetterEnglish.words(of: self)
        case .german: LetterGerman.words(of: self)
        }
    }

    /// Checks the data and makes the letter that is sent. Every bad value at once, each with its pointer below `/data`; what a letter
    /// has no place for is not looked at, since a newer program may already know more of it.
    func render(_ data: [String: String], in language: LetterLanguage) throws(ValidationFailure) -> RenderedLetter {
        var values: [String: String] = [:]
        var errors: [FieldError] = []
        for parameter in parameters {
            do throws(TextProblem) {
                if let text = data[parameter.name], !text.isEmpty {
                    values[parameter.name] = try parameter.kind.present(text, in: language)
                } else if parameter.required {
                    throw TextProblem("missing", "is required by the letter \(rawValue)")
                }
            } catch {
                errors.append(FieldError(pointer: "/data/\(parameter.name)", code: error.code, detail: error.detail))
            }
        }
        guard errors.isEmpty else { throw ValidationFailure(errors) }
        return words(in: language).fill(values, in: language)
    }
}

/// A value that a letter is told.
struct LetterParameter: Sendable {
    enum Kind: Sendable {
        /// An absolute http or https URL.
        case link
        /// A secret to be typed in: 4 to 64 letters, digits and hyphens.
        case code
        /// A whole number of at most six digits.
        case number
        /// Such a number of minutes or days, shown with its unit.
        case minutes, days
        /// A time (RFC 3339), shown in words and in UTC.
        case moment
        /// One of the words that the languages know, such as a sign-in method; another is shown as it is.
        case term
        /// Anything that somebody outside has chosen: a name, a device. It is made presentable and never refused, since a
        /// warning must not be lost because of what the one it warns of calls himself.
        case text
        /// The same, and longer: what somebody wrote.
        case note
    }

    let name: String
    let kind: Kind
    let required: Bool

    init(_ name: String, _ kind: Kind, required: Bool = true) {
        self.name = name
        self.kind = kind
        self.required = required
    }
}

extension LetterParameter.Kind {
    static let codeLengths = 4...64
    static let longestNumber = 6

    fileprivate func present(_ text: String, in language: LetterLanguage) throws(TextProblem) -> String {
        switch self {
        case .link: return try WebAddress.check(text)
        case .code:
            let isGood = text.utf8.allSatisfy { byte in
                (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || byte == UInt8(ascii: "-")
            }
            guard isGood, Self.codeLengths.contains(text.utf8.count) else {
                throw TextProblem("invalid-code", "must be 4 to 64 letters, digits and hyphens")
            }
            return text
        case .number, .minutes, .days:
            guard (1...Self.longestNumber).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }),
                let number = Int(text)
            else {
                throw TextProblem("invalid-number", "must be a whole number of at most \(Self.longestNumber) digits")
            }
            switch self {
            case .minutes: return language.duration(minutes: number)
            case .days: return language.duration(days: number)
            default: return String(number)
            }
        case .moment: return language.moment(text) ?? ForeignText.presentable(text)
        case .term: return language.term(text) ?? ForeignText.presentable(text)
        case .text: return ForeignText.presentable(text)
        case .note: return ForeignText.presentable(text, atMost: ForeignText.longestNote)
        }
    }
}

/// Text that somebody outside has chosen, made fit for a letter.
enum ForeignText {
    /// Characters that are shown of it.
    static let longest = 120
    static let longestNote = 500

    /// One line, not too long, nothing in it that steers the display, and nothing that a mail program would make a link of: with a
    /// link in a name, anybody could have the platform send their advertisements.
    static func presentable(_ text: String, atMost longest: Int = longest) -> String {
        let visible = String(String.UnicodeScalarView(text.unicodeScalars.map { isSteering($0) ? " " : $0 }))
        let words = visible.split(whereSeparator: \.isWhitespace).map { defused($0) }
        let line = words.joined(separator: " ")
        return line.count > longest ? String(line.prefix(longest - 1)) + "…" : line
    }

    /// Control characters, and those that turn the direction of writing around or cannot be seen.
    private static func isSteering(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .control, .surrogate, .privateUse, .lineSeparator, .paragraphSeparator: true
        case .format: scalar.value != 0x200D && scalar.value != 0x200C
        default: false
        }
    }

    /// A dot between letters becomes U+2024, which looks the same and makes no link; `://` and `@` lose what makes them one.
    private static func defused(_ word: Substring) -> String {
        // An address of a device is no link, and is to be copied as it is.
        if isDeviceAddress(word) { return String(word) }
        var result = ""
        let characters = Array(word)
        for (index, character) in characters.enumerated() {
            let isInside = index > 0 && index < characters.count - 1
            switch character {
            case "." where isInside && characters[index + 1].isLetter: result.append("\u{2024}")
            case ":" where isInside && characters[index + 1] == "/": result.append("\u{A789}")
            case "@" where isInside: result.append("\u{FF20}")
            default: result.append(character)
            }
        }
        return result
    }

    private static func isDeviceAddress(_ word: Substring) -> Bool {
        !word.isEmpty && word.utf8.allSatisfy { ($0 >= 48 && $0 <= 57) || ($0 | 32 >= 97 && $0 | 32 <= 102) || $0 == 46 || $0 == 58 }
            && (word.contains(":") || word.utf8.allSatisfy { $0 < 58 })
    }
}
