import Contracts

/// HTML that is safe to show as it is: sanitized when it is decoded, so no handler ever holds what a client sent.
struct SafeHTML: ValidatedText {
    /// As sent, in UTF-8, and as kept, in JSON: so the event that carries the content stays below the limit of events.
    static let maximumBytes = 400_000

    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(maxLength: maximumBytes) }

    static func check(_ text: String) throws(TextProblem) -> String {
        try holdToLimit(text.utf8.count)
        guard !text.utf8.contains(0) else { throw TextProblem("control-character", "must not contain the NUL character") }
        let safe = try HTMLSanitizer.sanitize(text)
        try holdToLimit(jsonBytes(safe))
        return safe
    }

    /// Quotes, backslashes and line ends take two bytes in JSON.
    private static func jsonBytes(_ text: String) -> Int {
        text.utf8.reduce(0) { $0 + ($1 < 0x20 || $1 == UInt8(ascii: "\"") || $1 == UInt8(ascii: "\\") ? 2 : 1) }
    }

    private static func holdToLimit(_ bytes: Int) throws(TextProblem) {
        guard bytes <= maximumBytes else {
            throw TextProblem("too-long", "must have at most \(maximumBytes) bytes, also once special characters are escaped")
        }
    }
}
