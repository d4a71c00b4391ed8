import Contracts
import Foundation

/// Length and characters, as all texts of this service have them.
private func bounded(_ text: String, _ lengths: ClosedRange<Int>) throws(TextProblem) -> String {
    // What almost all texts are: a byte a character, nothing to trim and nothing to look up.
    if lengths.contains(text.utf8.count), text.utf8.allSatisfy({ (0x20...0x7E).contains($0) }), text.utf8.first != 0x20,
        text.utf8.last != 0x20
    {
        return text
    }
    let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
    let count = trimmed.unicodeScalars.count
    if count < lengths.lowerBound { throw TextProblem("empty", "must not be empty") }
    if count > lengths.upperBound { throw TextProblem("too-long", "must have at most \(lengths.upperBound) characters") }
    if trimmed.unicodeScalars.contains(where: { $0.properties.generalCategory == .control }) {
        throw TextProblem("control-character", "must not contain control characters")
    }
    return trimmed
}

/// What a customer calls their event, such as `report.opened`: 1 to 255 characters.
struct EventName: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let maximumLength = 255
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }
    static func check(_ text: String) throws(TextProblem) -> String { try bounded(text, 1...maximumLength) }
}

/// What a customer calls one visit: any text of 1 to 255 characters.
struct SessionKey: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let maximumLength = 255
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }
    static func check(_ text: String) throws(TextProblem) -> String { try bounded(text, 1...maximumLength) }
}

/// Where something happened: a URL of any scheme but those that run code, or a path that begins with a slash.
struct PageAddress: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let maximumLength = 1_000
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let address = try bounded(text, 1...maximumLength)
        guard address.hasPrefix("/") || hasSafeScheme(address) else {
            throw TextProblem("invalid-url", "must be an absolute URL, or a path that begins with a slash")
        }
        return address
    }

    /// Without scheme, host, query and fragment: `/reports` of `https://example.org/reports?page=2`.
    var path: String {
        var rest = rawValue[...]
        if !rest.hasPrefix("/"), let colon = rest.firstIndex(of: ":") {
            rest = rest[rest.index(after: colon)...]
            if rest.hasPrefix("//") {
                rest = rest.dropFirst(2)
                rest = rest[(rest.firstIndex { $0 == "/" || $0 == "?" || $0 == "#" } ?? rest.endIndex)...]
            }
        }
        rest = rest.prefix { $0 != "?" && $0 != "#" }
        return rest.isEmpty ? "/" : String(rest)
    }

    /// `example.org` of `https://Example.org:8080/reports`; nil for a path alone.
    var host: String? {
        guard !rawValue.hasPrefix("/"), let place = rawValue.range(of: "://") else { return nil }
        let authority = rawValue[place.upperBound...].prefix { $0 != "/" && $0 != "?" && $0 != "#" }
        let host = authority.split(separator: "@", omittingEmptySubsequences: false).last ?? authority
        // An IPv6 address stands in brackets and has colons of its own.
        let name = host.hasPrefix("[") ? host.prefix { $0 != "]" }.dropFirst() : host.prefix { $0 != ":" }
        return name.isEmpty ? nil : String(name.lowercased().unicodeScalars.prefix(255))
    }

    /// Addresses end up as links in reports, so those that a browser would run are refused.
    private static let runnable: Set<String> = ["javascript", "data", "vbscript", "blob"]

    /// RFC 3986, section 3.1.
    private static func hasSafeScheme(_ address: String) -> Bool {
        guard let colon = address.firstIndex(of: ":") else { return false }
        let scheme = address[..<colon].lowercased()
        let isScheme = scheme.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || [43, 45, 46].contains($0) }
        return isScheme && scheme.first?.isLetter == true && !runnable.contains(scheme)
    }
}

/// Where somebody came from. Browsers send an empty one for a visit without a referrer, so that is taken and kept as none.
struct Referrer: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(maxLength: PageAddress.maximumLength) }
    static func check(_ text: String) throws(TextProblem) -> String { text.isEmpty ? text : try PageAddress.check(text) }
    var address: String? { rawValue.isEmpty ? nil : rawValue }
    var host: String? { rawValue.isEmpty ? nil : PageAddress(checked: rawValue).host }
}

/// How long a page was looked at, in seconds: at most a day.
struct ViewSeconds: Sendable, Codable, Described {
    let value: Int
    static let maximum = 86_400
    static var schema: Schema { .integer(minimum: 0, maximum: maximum) }
    static var placeholder: ViewSeconds { ViewSeconds(value: 0) }

    init(value: Int) { self.value = value }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        value = try container.decode(Int.self)
        guard (0...Self.maximum).contains(value) else {
            let problem = TextProblem("out-of-range", "must be from 0 to \(Self.maximum)")
            throw DecodingError.dataCorrupted(
                .init(codingPath: container.codingPath, debugDescription: problem.detail, underlyingError: problem))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}
