import Foundation

/// One mail that the sink took, as `GET /messages` answers it.
package struct MailMessage: Codable, Sendable, Equatable {
    /// Grows with the time of arrival.
    package let id: String
    /// The sender of the envelope.
    package let from: String
    /// The recipients of the envelope, lowercased.
    package let to: [String]
    /// The subject, with its encoded words (RFC 2047) decoded.
    package let subject: String
    /// The Date header as it was sent; empty when there was none.
    package let date: String
    /// The text: the first text/plain part, else the first text/html part, with its transfer encoding undone.
    package let body: String

    init(id: String, from: String, to: [String], content: [UInt8]) {
        let part = MIMEPart(content)
        self.id = id
        self.from = from
        self.to = to
        subject = EncodedWords.decode(part.header("subject") ?? "")
        date = part.header("date") ?? ""
        body = (part.firstPart(of: "text/plain") ?? part.firstPart(of: "text/html") ?? part).text
    }
}

/// A message or one part of it: header fields and content (RFC 5322, RFC 2045).
struct MIMEPart {
    private let fields: [(name: String, value: String)]
    private let content: ArraySlice<UInt8>

    init(_ bytes: [UInt8]) { self.init(bytes[...], depth: 0) }

    private init(_ bytes: ArraySlice<UInt8>, depth: Int) {
        var fields: [(name: String, value: String)] = []
        var rest = bytes
        while let line = Self.nextLine(&rest), !line.isEmpty {
            let text = String(decoding: line, as: UTF8.self)
            if text.first == " " || text.first == "\t", let last = fields.indices.last {
                fields[last].value += " " + text.trimmingCharacters(in: .whitespaces)
            } else if let colon = text.firstIndex(of: ":") {
                fields.append((text[..<colon].lowercased(), text[text.index(after: colon)...].trimmingCharacters(in: .whitespaces)))
            }
        }
        self.fields = fields
        self.content = rest
        self.depth = depth
    }

    private let depth: Int
    private static let depthLimit = 8

    func header(_ name: String) -> String? { fields.first { $0.name == name }?.value }

    /// `text/plain`, lowercased, without parameters.
    private var mediaType: String {
        let value = header("content-type") ?? "text/plain"
        return (value.split(separator: ";").first.map(String.init) ?? value).trimmingCharacters(in: .whitespaces).lowercased()
    }

    private func parameter(_ name: String) -> String? {
        for pair in (header("content-type") ?? "").split(separator: ";").dropFirst() {
            let halves = pair.split(separator: "=", maxSplits: 1)
            if halves.count == 2, halves[0].trimmingCharacters(in: .whitespaces).lowercased() == name {
                return halves[1].trimmingCharacters(in: CharacterSet(charactersIn: " \"\t"))
            }
        }
        return nil
    }

    /// The first part of this type, in this part or those inside it.
    func firstPart(of type: String) -> MIMEPart? {
        if mediaType.hasPrefix("multipart/") { return parts.lazy.compactMap { $0.firstPart(of: type) }.first }
        return mediaType == type ? self : nil
    }

    private var parts: [MIMEPart] {
        guard depth < Self.depthLimit, let boundary = parameter("boundary") else { return [] }
        let delimiter = Array("--\(boundary)".utf8)
        let end = delimiter + Array("--".utf8)
        var found: [MIMEPart] = []
        var current: [UInt8]?
        var rest = content
        while let line = Self.nextLine(&rest) {
            let trimmed = Array(line.reversed().drop { $0 == 0x20 || $0 == 0x09 }.reversed())
            if trimmed == delimiter || trimmed == end {
                // The line break before a delimiter belongs to the delimiter.
                if let part = current { found.append(MIMEPart(part.dropLast(2)[...], depth: depth + 1)) }
                current = trimmed == end ? nil : []
                if trimmed == end { break }
            } else {
                current?.append(contentsOf: line + [0x0d, 0x0a])
            }
        }
        return found
    }

    /// The content as text.
    var text: String {
        let raw = String(decoding: content, as: UTF8.self)
        let bytes: [UInt8]
        switch header("content-transfer-encoding")?.lowercased() {
        case "base64": bytes = Data(base64Encoded: raw, options: .ignoreUnknownCharacters).map(Array.init) ?? Array(content)
        case "quoted-printable": bytes = QuotedPrintable.decode(content)
        default: bytes = Array(content)
        }
        let text = Charset.text(bytes, charset: parameter("charset"))
        return text.replacing("\r\n", with: "\n").trimmingCharacters(in: .newlines)
    }

    /// Takes a line off the front; nil at the end. Lines end with CR LF or LF.
    private static func nextLine(_ bytes: inout ArraySlice<UInt8>) -> ArraySlice<UInt8>? {
        guard !bytes.isEmpty else { return nil }
        let end = bytes.firstIndex(of: 0x0a) ?? bytes.endIndex
        let line = bytes[bytes.startIndex..<end]
        bytes = end < bytes.endIndex ? bytes[(end + 1)...] : []
        return line.last == 0x0d ? line.dropLast() : line
    }
}

/// Text in the character sets that mails of ours have; others are read as UTF-8.
private enum Charset {
    static func text(_ bytes: [UInt8], charset: String?) -> String {
        switch charset?.lowercased() {
        case "iso-8859-1", "latin1", "windows-1252": String(String.UnicodeScalarView(bytes.map { Unicode.Scalar($0) }))
        default: String(decoding: bytes, as: UTF8.self)
        }
    }
}

/// RFC 2045, section 6.7.
enum QuotedPrintable {
    static func decode(_ bytes: ArraySlice<UInt8>) -> [UInt8] {
        var decoded: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "=") else {
                decoded.append(byte)
                continue
            }
            if rest.starts(with: [0x0d, 0x0a]) {
                rest = rest.dropFirst(2)
            } else if rest.first == 0x0a {
                rest = rest.dropFirst()
            } else if let value = UInt8(String(decoding: rest.prefix(2), as: UTF8.self), radix: 16), rest.count > 1 {
                decoded.append(value)
                rest = rest.dropFirst(2)
            } else {
                decoded.append(byte)
            }
        }
        return decoded
    }
}

/// `=?utf-8?B?…?=` in header fields (RFC 2047).
enum EncodedWords {
    static func decode(_ text: String) -> String {
        var decoded = ""
        var rest = text[...]
        while let match = rest.firstMatch(of: /=\?([^?\s]+)\?([bBqQ])\?([^?\s]*)\?=(\s+(?==\?))?/) {
            decoded += rest[..<match.range.lowerBound]
            let bytes: [UInt8]
            if match.2.lowercased() == "b" {
                bytes = Data(base64Encoded: String(match.3)).map(Array.init) ?? Array(match.3.utf8)
            } else {
                bytes = QuotedPrintable.decode(Array(match.3.replacing("_", with: " ").utf8)[...])
            }
            decoded += Charset.text(bytes, charset: String(match.1))
            rest = rest[match.range.upperBound...]
        }
        return decoded + rest
    }
}
