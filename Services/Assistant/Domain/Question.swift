import Contracts
import Foundation

/// What a person asks: 1 to 5,000 characters, several lines.
struct Question: ValidatedText {
    static let maximumLength = 5000
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !trimmed.isEmpty else { throw TextProblem("empty", "must have at least 1 character") }
        guard trimmed.unicodeScalars.count <= maximumLength else {
            throw TextProblem("too-long", "must have at most \(maximumLength) characters")
        }
        let allowed: Set<Unicode.Scalar> = ["\t", "\n", "\r"]
        guard !trimmed.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && !allowed.contains($0) }) else {
            throw TextProblem("control-character", "must not contain control characters")
        }
        return trimmed
    }
}

/// How useful an answer was, from 1 to 5.
struct Rating: Codable, Described, Sendable, Equatable {
    static let range = 1...5
    let value: Int
    static var schema: Schema { .integer(minimum: range.lowerBound, maximum: range.upperBound) }
    static var placeholder: Rating { Rating(value: 1) }

    init(value: Int) { self.value = value }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        value = try container.decode(Int.self)
        guard Self.range.contains(value) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: container.codingPath, debugDescription: "must be from 1 to 5",
                    underlyingError: TextProblem("out-of-range", "must be from 1 to 5")))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}

/// What an exchange took. For providers that count no tokens themselves: an estimate, four tokens for three words.
struct TokenUsage: Codable, Sendable, Equatable {
    let promptTokens: Int
    let completionTokens: Int
    let totalTokens: Int

    init(promptTokens: Int, completionTokens: Int) {
        self.promptTokens = promptTokens
        self.completionTokens = completionTokens
        totalTokens = promptTokens + completionTokens
    }

    static func estimate(_ text: String) -> Int { (text.split(whereSeparator: \.isWhitespace).count * 4 + 2) / 3 }
}
