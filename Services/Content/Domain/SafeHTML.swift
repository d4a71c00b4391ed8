import Contracts

/// HTML that is safe to show as it is: sanitized when it is decoded, so no handler ever holds what a client sent.
struct SafeHTML: ValidatedText {
    /// In UTF-8, before and after sanitizing. It keeps an event that carries the content below Kafka's usual 1 MB, even when
    /// JSON has to escape every other character.
    static let maximumBytes = 400_000

    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(maxLength: maximumBytes) }

    static func check(_ text: String) throws(TextProblem) -> String {
        try holdToLimit(text)
        guard !text.utf8.contains(0) else { throw TextProblem("control-character", "must not contain the NUL character") }
        let safe = try HTMLSanitizer.sanitize(text)
        try holdToLimit(safe)
        return safe
    }

    private static func holdToLimit(_ text: String) throws(TextProblem) {
        guard text.utf8.count <= maximumBytes else {
            throw TextProblem("too-long", "must have at most \(maximumBytes) bytes in UTF-8, also once special characters are escaped")
        }
    }
}
