import Foundation

#if canImport(Glibc)
    import Glibc
#endif

/// Takes a token in compact form (RFC 7515, section 7.1) apart, byte by byte and without copies: it runs on event loops, once for each token
/// not seen before.
struct TokenReader {
    /// Characters of a header; ours have about 100.
    static let maximumHeaderCharacters = 1_024
    /// Bytes of a key id; ours are thumbprints of 43.
    static let maximumKeyIDBytes = 256

    /// What the token says it was signed with, what was said, and the signature; all still in base64url.
    let header: UnsafeRawBufferPointer
    let payload: UnsafeRawBufferPointer
    let signature: UnsafeRawBufferPointer
    /// Header, point and payload: what was signed.
    let signed: UnsafeRawBufferPointer

    /// Nil unless the token has three parts, none of them empty, and a header of sensible length.
    init?(_ token: UnsafeRawBufferPointer) {
        guard let first = Self.point(in: token, from: 0), let second = Self.point(in: token, from: first + 1), first > 0,
            first <= Self.maximumHeaderCharacters, second > first + 1, second + 1 < token.count,
            Self.point(in: token, from: second + 1) == nil
        else { return nil }
        header = UnsafeRawBufferPointer(rebasing: token[..<first])
        payload = UnsafeRawBufferPointer(rebasing: token[(first + 1)..<second])
        signature = UnsafeRawBufferPointer(rebasing: token[(second + 1)...])
        signed = UnsafeRawBufferPointer(rebasing: token[..<second])
    }

    private static func point(in token: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < token.count, let base = token.baseAddress,
            let found = memchr(base + start, Int32(UInt8(ascii: ".")), token.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    func hasHeader(_ other: [UInt8]) -> Bool {
        guard header.count == other.count, let base = header.baseAddress else { return false }
        return memcmp(base, other, other.count) == 0
    }

    /// The key id of a header that says RS256 and asks for nothing that must be understood (`crit`). `none`, HMAC and every other
    /// algorithm end here, before any key is touched.
    var keyID: String? {
        Self.decoding(header) { try? Self.keyID(of: $0) } ?? nil
    }

    /// What the claims say; nil when they are not those of a token of ours.
    var claims: TokenClaims? {
        Self.decoding(payload) { try? TokenClaims(json: $0) } ?? nil
    }

    /// Hands over the bytes that the text stands for. Nil when it is no base64url without padding, or not the only way to write
    /// these bytes (RFC 4648, sections 3.5 and 5).
    static func decoding<Result>(_ text: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result) -> Result? {
        withUnsafeTemporaryAllocation(byteCount: text.count / 4 * 3 + 3, alignment: 8) { space in
            guard let count = decode(text, into: space) else { return nil }
            return body(UnsafeRawBufferPointer(rebasing: space[..<count]))
        }
    }

    private static func keyID(of json: UnsafeRawBufferPointer) throws(JSONCursor.Malformed) -> String? {
        var cursor = try JSONCursor(json)
        var algorithm: JSONCursor.Text?
        var keyID: JSONCursor.Text?
        var isFirst = true
        try cursor.openObject()
        while let name = try cursor.member(&isFirst) {
            if name == "alg" {
                guard algorithm == nil else { throw JSONCursor.Malformed() }
                algorithm = try cursor.text()
            } else if name == "kid" {
                guard keyID == nil else { throw JSONCursor.Malformed() }
                keyID = try cursor.text()
            } else if name == "crit" {
                throw JSONCursor.Malformed()
            } else {
                try cursor.skip()
            }
        }
        try cursor.finish()
        guard let algorithm, algorithm == "RS256", let keyID, (1...maximumKeyIDBytes).contains(keyID.bytes.count) else { return nil }
        return try keyID.string()
    }

    // MARK: - base64url

    private static let invalid: UInt8 = 0xFF
    /// The six bits that each character stands for.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: invalid, count: 256)
        for (value, character) in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8.enumerated() {
            values[Int(character)] = UInt8(value)
        }
        return values
    }()

    /// The number of bytes written. `space` has room for three bytes for every four characters begun.
    static func decode(_ text: UnsafeRawBufferPointer, into space: UnsafeMutableRawBufferPointer) -> Int? {
        let rest = text.count % 4
        precondition(space.count >= text.count / 4 * 3 + (rest == 0 ? 0 : 3), "no room for the decoded bytes")
        guard rest != 1 else { return nil }
        return values.withUnsafeBufferPointer { values in
            var (read, written) = (0, 0)
            var seen: UInt8 = 0
            while read + 4 <= text.count {
                let (a, b) = (values[Int(text[read])], values[Int(text[read + 1])])
                let (c, d) = (values[Int(text[read + 2])], values[Int(text[read + 3])])
                seen |= a | b | c | d
                space[written] = a << 2 | b >> 4
                space[written + 1] = b << 4 | c >> 2
                space[written + 2] = c << 6 | d
                read += 4
                written += 3
            }
            if rest >= 2 {
                let (a, b) = (values[Int(text[read])], values[Int(text[read + 1])])
                let c = rest == 3 ? values[Int(text[read + 2])] : 0
                seen |= a | b | c
                space[written] = a << 2 | b >> 4
                if rest == 3 { space[written + 1] = b << 4 | c >> 2 }
                // The bits beyond the last byte are zero, or the same bytes could be written in several ways.
                guard rest == 3 ? c & 0x03 == 0 : b & 0x0F == 0 else { return nil }
                written += rest - 1
            }
            // Only what is no value has a bit above the sixth.
            return seen < 0x40 ? written : nil
        }
    }
}
