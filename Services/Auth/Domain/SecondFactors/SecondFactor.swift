import Contracts
import Foundation

enum SecondFactorKind {}
typealias SecondFactorID = TypedID<SecondFactorKind>

/// What somebody shows beside, or instead of, a password.
enum SecondFactorMethod: String, Codable, Sendable, CaseIterable {
    /// An authenticator app (RFC 6238).
    case totp
    /// A code sent to a telephone.
    case sms
    /// A code sent to the account's address.
    case email
    /// A security key or a passkey (WebAuthn).
    case webauthn

    /// How a token's `amr` names it (RFC 8176).
    var reference: String {
        switch self {
        case .totp: "otp"
        case .sms: "sms"
        case .email: "mail"
        case .webauthn: "hwk"
        }
    }

    /// How many of a kind one account can have.
    var limit: Int {
        switch self {
        case .totp: 5
        case .sms: 3
        case .email: 1
        case .webauthn: 20
        }
    }

    /// The name of a factor whose owner gives it none.
    var usualName: String {
        switch self {
        case .totp: "Authenticator app"
        case .sms: "Telephone"
        case .email: "E-mail"
        case .webauthn: "Security key"
        }
    }

    /// Six digits that can be guessed, so their failures are counted by account.
    var isGuessable: Bool { self != .webauthn }
}

/// One second factor of an account.
struct SecondFactor: Sendable {
    /// Seconds for which a factor that was set up waits to be confirmed.
    static let confirmationSeconds: TimeInterval = 900

    let id: SecondFactorID
    let account: UserID
    let method: SecondFactorMethod
    let name: String
    /// Sealed: the key of an authenticator app, or a telephone number.
    let secret: Data?
    /// Masked, for its owner to recognize: the end of a telephone number.
    let hint: String?
    /// The last time step whose code was taken (RFC 6238, section 5.2: never twice).
    let lastStep: Int?
    let createdAt: Date
    let confirmedAt: Date?
    let lastUsedAt: Date?

    /// Under what the secret is sealed: it opens for this factor only.
    var sealingContext: String { "second-factor \(id)" }

    /// A factor that its owner has still to show they have.
    static func pending(
        _ method: SecondFactorMethod, id: SecondFactorID, of account: UserID, name: Name?, hint: String? = nil, secret: Data? = nil,
        at now: Date
    ) -> SecondFactor {
        SecondFactor(
            id: id, account: account, method: method, name: name?.rawValue ?? method.usualName, secret: secret, hint: hint, lastStep: nil,
            createdAt: now, confirmedAt: nil, lastUsedAt: nil)
    }
}

extension Sequence<String> {
    /// Whether these ways of signing in (RFC 8176) are more than knowing a password.
    var includeSecondFactor: Bool { contains { reference in SecondFactorMethod.allCases.contains { $0.reference == reference } } }

    /// These and one more, each once, in order.
    func adding(_ reference: String) -> [String] { contains(reference) ? Array(self) : self + [reference] }
}

/// A telephone number in the international form (ITU-T E.164).
struct TelephoneNumber: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 8, maxLength: 16, pattern: "^\\+[1-9][0-9]{6,14}$") }

    /// Spaces, hyphens, dots and brackets between the digits are left out.
    static func check(_ text: String) throws(TextProblem) -> String {
        let number = text.filter { !" -.()\u{A0}".contains($0) }
        let digits = number.utf8.dropFirst()
        guard number.utf8.first == UInt8(ascii: "+"), (7...15).contains(digits.count), digits.first != UInt8(ascii: "0"),
            digits.allSatisfy({ (48...57).contains($0) })
        else { throw TextProblem("invalid-phone", "must be a telephone number with its country, such as +44 20 7946 0958") }
        return number
    }

    /// `+44•••••58`: enough for its owner.
    var masked: String { rawValue.prefix(3) + String(repeating: "•", count: max(0, rawValue.count - 5)) + rawValue.suffix(2) }
}

/// A code that somebody types: digits, or a recovery code. Spaces and hyphens are how people read them aloud.
struct PresentedCode: Described, Decodable, Sendable, CustomStringConvertible, CustomReflectable {
    static let maximumLength = 40
    let text: String

    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }
    static var placeholder: PresentedCode { PresentedCode(text: "") }

    private init(text: String) { self.text = text }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        let plain = text.filter { !$0.isWhitespace && $0 != "-" }
        guard (1...Self.maximumLength).contains(text.unicodeScalars.count), !plain.isEmpty, plain.utf8.allSatisfy({ $0 < 0x80 }) else {
            let problem = TextProblem("invalid-code", "must be a code of at most \(Self.maximumLength) letters and digits")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
        self.text = plain.uppercased()
    }

    var description: String { "[hidden]" }
    var customMirror: Mirror { Mirror(self, children: []) }
}
