import Foundation

/// A letter that is ready: what a mail says, and what a short message says where the letter has one.
struct RenderedLetter: Sendable, Equatable {
    let message: Message
    /// For the channel sms; nil when the letter goes by mail only.
    let short: String?
}

/// The words of one letter in one language. They are said once: text and HTML are both made from them, so neither can miss a part.
struct LetterWords: Sendable {
    /// Nothing here holds markup: all of it, values included, is escaped where it becomes HTML.
    enum Part: Sendable {
        case paragraph(TemplateText)
        /// Something to follow: what it does, and the value that holds the link. Left out where there is no such value.
        case action(String, link: String)
        /// A secret to be typed in. Left out where there is no such value.
        case code(String, value: String)
        /// Labelled values, a line each; those that are missing are left out.
        case facts([(label: String, value: String)])
        /// For whom the letter was not meant, and the like.
        case aside(TemplateText)
    }

    let subject: TemplateText
    let parts: [Part]
    let short: TemplateText?

    init(_ subject: String, short: String? = nil, _ parts: [Part]) {
        self.subject = TemplateText(subject)
        self.parts = parts
        self.short = short.map { TemplateText($0) }
    }

    func fill(_ values: [String: String], in language: LetterLanguage) -> RenderedLetter {
        let title = subject.fill { values[$0] }
        let text = parts.compactMap { $0.text(values) }.joined(separator: "\n\n")
        let heading = "<h1 style=\"font-size:20px;line-height:1.3;margin:0 0 16px\">\(MarkupText.escape(title))</h1>"
        let markup = ([heading] + parts.compactMap { $0.markup(values) }).joined(separator: "\n")
        return RenderedLetter(
            message: Message(
                subject: title, text: text, html: MarkupText.page(title: title, body: markup, language: language.rawValue)),
            short: short?.fill { values[$0] })
    }

    /// The names of the values that stand anywhere in it, for the test that each is a parameter.
    var places: [String] {
        subject.places + (short?.places ?? [])
            + parts.flatMap { part -> [String] in
                switch part {
                case .paragraph(let text), .aside(let text): text.places
                case .action(_, let value), .code(_, let value): [value]
                case .facts(let facts): facts.map(\.value)
                }
            }
    }
}

extension LetterWords.Part {
    /// Written in a way that a string literal can be a paragraph's template.
    static func say(_ text: String) -> LetterWords.Part { .paragraph(TemplateText(text)) }
    static func quietly(_ text: String) -> LetterWords.Part { .aside(TemplateText(text)) }

    fileprivate func text(_ values: [String: String]) -> String? {
        switch self {
        case .paragraph(let template), .aside(let template): return template.fill { values[$0] }
        case .action(let label, let link): return values[link].map { "\(label):\n\($0)" }
        case .code(let label, let value): return values[value].map { "\(label):\n\n    \($0)" }
        case .facts(let facts):
            let lines = facts.compactMap { fact in values[fact.value].map { "\(fact.label): \($0)" } }
            return lines.isEmpty ? nil : lines.joined(separator: "\n")
        }
    }

    /// The link stands as text below the button too: some mail programs show no buttons, and some people do not trust them.
    fileprivate func markup(_ values: [String: String]) -> String? {
        switch self {
        case .paragraph(let template): return "<p>\(MarkupText.escape(template.fill { values[$0] }))</p>"
        case .aside(let template): return "<p style=\"color:#515154\">\(MarkupText.escape(template.fill { values[$0] }))</p>"
        case .action(let label, let link):
            guard let address = values[link].map(MarkupText.escape) else { return nil }
            let button = "display:inline-block;padding:12px 20px;border-radius:6px;background:#0b57d0;color:#ffffff;text-decoration:none"
            return """
                <p><a href="\(address)" style="\(button)">\(MarkupText.escape(label))</a></p>
                <p style="word-break:break-all"><a href="\(address)">\(address)</a></p>
                """
        case .code(let label, let value):
            guard let code = values[value].map(MarkupText.escape) else { return nil }
            let large = "font-family:monospace;font-size:28px;font-weight:bold"
            return "<p>\(MarkupText.escape(label)):<br><span style=\"\(large)\">\(code)</span></p>"
        case .facts(let facts):
            let lines = facts.compactMap { fact in
                values[fact.value].map { "<li>\(MarkupText.escape(fact.label)): \(MarkupText.escape($0))</li>" }
            }
            return lines.isEmpty ? nil : "<ul style=\"padding-left:20px\">\(lines.joined())</ul>"
        }
    }
}
