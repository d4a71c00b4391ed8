import Foundation

/// A `Content-Disposition` (RFC 6266; RFC 7578 in form data), read strictly and written for any name.
struct ContentDisposition: Equatable, Sendable {
    static let maximumBytes = 2048
    let type: String
    /// The field's name in form data.
    let name: String?
    let fileName: String?

    /// Nil when it is not well formed, too long, or says one thing twice.
    init?(_ text: String, inForm: Bool = false) {
        guard text.utf8.count <= Self.maximumBytes else { return nil }
        var reader = ParameterReader(text)
        guard let type = reader.token() else { return nil }
        var parameters: [String: String] = [:]
        while let more = reader.next() {
            guard let (name, value) = more, parameters[name] == nil else { return nil }
            parameters[name] = inForm ? Self.unescapingForm(value) : value
        }
        guard reader.isAtEnd else { return nil }
        self.type = type.lowercased()
        name = parameters["name"]
        if let extended = parameters["filename*"] {
            guard let decoded = Self.decodeExtended(extended) else { return nil }
            fileName = decoded
        } else {
            fileName = parameters["filename"]
        }
    }

    /// Browsers write a quotation mark or line end in a name as an escape (HTML, multipart/form-data encoding algorithm).
    private static func unescapingForm(_ text: String) -> String {
        text.replacingOccurrences(of: "%22", with: "\"").replacingOccurrences(of: "%0D", with: "\r").replacingOccurrences(
            of: "%0A", with: "\n")
    }

    /// `UTF-8''na%C3%AFve.txt` (RFC 8187).
    private static func decodeExtended(_ text: String) -> String? {
        let parts = text.split(separator: "'", maxSplits: 2, omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0].lowercased() == "utf-8" else { return nil }
        return String(parts[2]).removingPercentEncoding
    }

    /// `attachment` with the name twice: in ASCII for old clients, and as it is.
    static func attachment(_ name: String) -> String {
        let plain = String(
            name.unicodeScalars.map { scalar -> Character in
                let safe = scalar.isASCII && scalar.value >= 32 && scalar.value != 127 && !["\"", "\\", "%"].contains(scalar)
                return safe ? Character(scalar) : "_"
            })
        let encoded = name.addingPercentEncoding(withAllowedCharacters: attributeCharacters) ?? ""
        return "attachment; filename=\"\(plain)\"; filename*=UTF-8''\(encoded)"
    }

    /// `attr-char` of RFC 8187, section 3.2.1.
    private static let attributeCharacters = CharacterSet(
        charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$&+-.^_`|~")
}

/// Reads `token *( ";" name "=" ( token / quoted-string ) )`, for Content-Disposition and for the boundary in Content-Type.
struct ParameterReader {
    private let bytes: [UInt8]
    private var index = 0

    init(_ text: String) { bytes = Array(text.utf8) }

    var isAtEnd: Bool { index == bytes.count }

    private mutating func skipSpace() {
        while index < bytes.count, bytes[index] == 32 || bytes[index] == 9 { index += 1 }
    }

    /// Letters of a token or, for a media type, of two tokens and their slash.
    mutating func token(alsoSlash: Bool = false) -> String? {
        skipSpace()
        let start = index
        while index < bytes.count, HTTPToken.isTokenByte(bytes[index]) || (alsoSlash && bytes[index] == UInt8(ascii: "/")) { index += 1 }
        return start == index ? nil : String(decoding: bytes[start..<index], as: UTF8.self)
    }

    /// Nil at the end; an inner nil when what follows is not a parameter.
    mutating func next() -> (name: String, value: String)?? {
        skipSpace()
        guard index < bytes.count else { return nil }
        guard bytes[index] == UInt8(ascii: ";") else { return .some(nil) }
        index += 1
        skipSpace()
        if index == bytes.count { return nil }
        guard let name = token(), index < bytes.count, bytes[index] == UInt8(ascii: "=") else { return .some(nil) }
        index += 1
        let value = index < bytes.count && bytes[index] == UInt8(ascii: "\"") ? quoted() : token()
        guard let value else { return .some(nil) }
        return (name.lowercased(), value)
    }

    /// Only a quotation mark and a backslash are escaped; any other backslash is a character of an old client's path.
    private mutating func quoted() -> String? {
        index += 1
        var text: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            if byte == UInt8(ascii: "\"") { return String(validating: text, as: UTF8.self) }
            if byte == UInt8(ascii: "\\"), index < bytes.count, [UInt8(ascii: "\""), UInt8(ascii: "\\")].contains(bytes[index]) {
                text.append(bytes[index])
                index += 1
            } else {
                text.append(byte)
            }
        }
        return nil
    }
}
