import Contracts
import Foundation

/// A message with places for values. Values are escaped in its HTML, and none of them can end a header line.
struct Template: Sendable {
    /// What a value may be.
    enum Kind: Sendable {
        /// Up to 255 characters on one line: the only kind that a subject takes.
        case line
        /// Up to 5,000 characters on several lines.
        case paragraph
        /// An absolute http or https URL.
        case link
    }

    struct Parameter: Sendable {
        let name: String
        let kind: Kind
        let required: Bool
    }

    let name: TemplateName
    let parameters: [Parameter]
    let subject: TemplateText
    let text: TemplateText
    let html: TemplateText

    init(_ name: TemplateName, parameters: [Parameter], subject: String, text: String, html: String) {
        self.name = name
        self.parameters = parameters
        self.subject = TemplateText(subject)
        self.text = TemplateText(text)
        self.html = TemplateText(html)
    }

    /// Every bad value at once, each with its pointer below `/data`.
    func render(_ data: [String: JSONValue]) throws(ValidationFailure) -> Message {
        var values: [String: Value] = [:]
        var errors: [FieldError] = []
        for parameter in parameters {
            do throws(TextProblem) {
                if let text = try Self.text(data[parameter.name]) {
                    values[parameter.name] = Value(kind: parameter.kind, text: try parameter.kind.check(text))
                } else if parameter.required {
                    throw TextProblem("missing", "is required by the template \(name.rawValue)")
                }
            } catch {
                errors.append(FieldError(pointer: "/data/\(parameter.name)", code: error.code, detail: error.detail))
            }
        }
        let known = Set(parameters.map(\.name))
        for key in data.keys.sorted() where !known.contains(key) {
            let pointer = key.replacingOccurrences(of: "~", with: "~0").replacingOccurrences(of: "/", with: "~1")
            errors.append(
                FieldError(pointer: "/data/\(pointer)", code: "unknown-field", detail: "is not used by the template \(name.rawValue)"))
        }
        guard errors.isEmpty else { throw ValidationFailure(errors) }
        let title = subject.fill { values[$0]?.text }
        return Message(
            subject: title, text: text.fill { values[$0]?.text },
            html: MarkupText.page(
                title: title,
                body: html.fill { name in
                    values[name].map { $0.kind == .paragraph ? MarkupText.paragraphs($0.text) : MarkupText.escape($0.text) }
                }))
    }

    private struct Value {
        let kind: Kind
        let text: String
    }

    /// A text, number or flag as text; nil when there is none.
    private static func text(_ value: JSONValue?) throws(TextProblem) -> String? {
        switch value {
        case nil, .null: return nil
        case .string(let text): return text.isEmpty ? nil : text
        case .integer(let number): return String(number)
        case .number(let number): return String(number)
        case .bool(let flag): return flag ? "yes" : "no"
        case .array, .object: throw TextProblem("wrong-type", "must be a string, a number or true or false")
        }
    }
}

extension Template.Kind {
    fileprivate func check(_ text: String) throws(TextProblem) -> String {
        switch self {
        case .line: try Name.check(text)
        case .paragraph: try ShortText.check(text.replacingOccurrences(of: "\r\n", with: "\n"))
        case .link: try WebAddress.check(text)
        }
    }
}

/// Text with places: `{{name}}`, or `{{name|what stands there when there is no value}}`; what is between `{{#name}}` and
/// `{{/name}}` is left out when there is no value.
struct TemplateText: Sendable {
    private indirect enum Piece: Sendable {
        case literal(String)
        case place(String, fallback: String)
        case section(String, TemplateText)
    }

    private let pieces: [Piece]

    init(_ source: String) {
        var pieces: [Piece] = []
        var rest = source[...]
        while let opening = rest.range(of: "{{"), let closing = rest.range(of: "}}", range: opening.upperBound..<rest.endIndex) {
            pieces.append(.literal(String(rest[..<opening.lowerBound])))
            let tag = rest[opening.upperBound..<closing.lowerBound]
            rest = rest[closing.upperBound...]
            if tag.hasPrefix("#"), let end = rest.range(of: "{{/\(tag.dropFirst())}}") {
                pieces.append(.section(String(tag.dropFirst()), TemplateText(String(rest[..<end.lowerBound]))))
                rest = rest[end.upperBound...]
            } else {
                let parts = tag.split(separator: "|", maxSplits: 1, omittingEmptySubsequences: false)
                pieces.append(.place(String(parts[0]), fallback: parts.count > 1 ? String(parts[1]) : ""))
            }
        }
        pieces.append(.literal(String(rest)))
        self.pieces = pieces
    }

    /// Values are put in as they are and never read as templates again.
    func fill(_ value: (String) -> String?) -> String {
        pieces.map { piece -> String in
            switch piece {
            case .literal(let text): text
            case .place(let name, let fallback): value(name) ?? fallback
            case .section(let name, let inside): value(name) == nil ? "" : inside.fill(value)
            }
        }.joined()
    }

    /// The names of the places, for the test that each is a parameter.
    var places: [String] {
        pieces.flatMap { piece -> [String] in
            switch piece {
            case .literal: []
            case .place(let name, _): [name]
            case .section(let name, let inside): [name] + inside.places
            }
        }
    }
}
