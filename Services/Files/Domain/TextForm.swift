import Foundation

/// How the text of a content is found, by the media type that was declared. Content that is not what it says gives no text, or rubbish; it
/// does no harm.
enum TextForm: Sendable, Equatable {
    /// The content is its text: plain text, Markdown, CSV.
    case plain
    case json
    case html
    case pdf

    /// Nil for kinds whose text is not read.
    init?(_ type: MediaType) {
        switch type.text.prefix(while: { $0 != ";" }).trimmingCharacters(in: .whitespaces).lowercased() {
        case "text/plain", "text/markdown", "text/csv": self = .plain
        case "application/json": self = .json
        case "text/html": self = .html
        case "application/pdf": self = .pdf
        default: return nil
        }
    }

    /// Bytes of the content that are looked at. Of most kinds the beginning is enough; of a PDF all is needed, or nothing can be read.
    var maximumBytes: Int {
        switch self {
        case .plain: 800_000
        // An escaped character takes up to six bytes.
        case .json: 1_200_000
        case .html: 2_000_000
        case .pdf: 32_000_000
        }
    }
}
