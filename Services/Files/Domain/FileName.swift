import Contracts
import Foundation

/// A file's own name, without any path: 1 to 255 bytes of UTF-8.
struct FileName: ValidatedText {
    static let maximumBytes = 255
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: maximumBytes) }

    /// Keeps what follows the last slash or backslash: some clients send the whole path.
    static func check(_ text: String) throws(TextProblem) -> String {
        let last = text.split(omittingEmptySubsequences: false) { $0 == "/" || $0 == "\\" }.last ?? ""
        let name = last.trimmingCharacters(in: .whitespaces)
        guard !name.isEmpty, name != ".", name != ".." else { throw TextProblem("empty", "must name the file") }
        guard name.utf8.count <= maximumBytes else { throw TextProblem("too-long", "must have at most \(maximumBytes) bytes") }
        // Control characters break headers; direction overrides make "exe.pdf" out of "fdp.exe".
        let refused = name.unicodeScalars.contains { scalar in
            scalar.properties.generalCategory == .control || scalar.properties.isBidiControl
                || scalar.properties.generalCategory == .lineSeparator || scalar.properties.generalCategory == .paragraphSeparator
        }
        guard !refused else { throw TextProblem("control-character", "must not contain control characters") }
        return name
    }
}

/// A media type as declared by whoever uploaded (RFC 9110, section 8.3.1). It is kept and sent back, and never trusted.
struct MediaType: Sendable, Equatable {
    static let maximumBytes = 255
    static let unknown = MediaType(text: "application/octet-stream")
    let text: String

    private init(text: String) { self.text = text }

    /// What is not well formed counts as not declared.
    init(declared: String?) {
        guard let declared = declared?.trimmingCharacters(in: .whitespaces), declared.utf8.count <= Self.maximumBytes,
            Self.isWellFormed(declared)
        else {
            self = .unknown
            return
        }
        text = declared
    }

    private static func isWellFormed(_ text: String) -> Bool {
        let essence = text.prefix { $0 != ";" }.trimmingCharacters(in: .whitespaces)
        let halves = essence.split(separator: "/", omittingEmptySubsequences: false)
        return halves.count == 2 && halves.allSatisfy { HTTPToken.isToken($0) } && text.utf8.allSatisfy { $0 >= 32 && $0 < 127 }
    }
}

/// `token` of RFC 9110, section 5.6.2.
enum HTTPToken {
    static func isToken(_ text: some StringProtocol) -> Bool { !text.isEmpty && text.utf8.allSatisfy(isTokenByte) }

    static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case 48...57, 65...90, 97...122: true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }
}
