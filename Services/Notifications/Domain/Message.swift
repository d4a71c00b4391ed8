import Contracts
import Foundation

/// What is said, ready to be shown: a subject on one line, and the same body as text and as HTML.
struct Message: Sendable, Equatable {
    let subject: String
    let text: String
    let html: String

    /// Somebody's own words: escaped, so that none of them is HTML.
    static func plain(subject: Title, body: BodyText) -> Message {
        Message(
            subject: subject.rawValue, text: body.rawValue,
            html: MarkupText.page(title: subject.rawValue, body: "<p>\(MarkupText.paragraphs(body.rawValue))</p>"))
    }
}

/// The words of a message: 1 to 20,000 characters on several lines.
struct BodyText: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let maximumLength = 20_000
    static var schema: Schema { .string(minLength: 1, maxLength: maximumLength) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let plain = text.replacingOccurrences(of: "\r\n", with: "\n").trimmingCharacters(in: .whitespacesAndNewlines)
        if plain.isEmpty { throw TextProblem("empty", "must not be empty") }
        if plain.unicodeScalars.count > maximumLength { throw TextProblem("too-long", "must have at most \(maximumLength) characters") }
        if plain.unicodeScalars.contains(where: { $0.properties.generalCategory == .control && $0 != "\n" && $0 != "\t" }) {
            throw TextProblem("control-character", "must not contain control characters other than line ends and tabs")
        }
        return plain
    }
}

/// Text inside HTML.
enum MarkupText {
    /// For element content and quoted attributes alike.
    static func escape(_ text: String) -> String {
        var escaped = ""
        escaped.reserveCapacity(text.utf8.count)
        for character in text.unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }

    /// Escaped, with an empty line as a new paragraph and a line end as a line break.
    static func paragraphs(_ text: String) -> String {
        escape(text).replacingOccurrences(of: "\n\n", with: "</p><p>").replacingOccurrences(of: "\n", with: "<br>")
    }

    /// The frame of every mail. `body` is HTML already, `title` is not; `language` is what screen readers pronounce it in.
    static func page(title: String, body: String, language: String = "en") -> String {
        """
        <!doctype html>
        <html lang="\(language)"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
        <title>\(escape(title))</title></head>
        <body style="margin:0;padding:24px;background:#f5f5f7;font-family:-apple-system,'Segoe UI',Roboto,sans-serif;color:#1d1d1f">
        <div style="max-width:560px;margin:0 auto;padding:24px;background:#ffffff;border-radius:8px;line-height:1.5">
        \(body)
        </div></body></html>
        """
    }
}
