import NIOCore

#if canImport(Glibc)
    import Glibc
#endif

/// Writes a line of JSON into memory that is there already, byte by byte. What does not fit is left out; callers leave room for all of it.
struct LineWriter {
    private let base: UnsafeMutablePointer<UInt8>
    private let capacity: Int
    private(set) var count = 0

    init(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        self.base = base
        self.capacity = capacity
    }

    @inline(__always)
    mutating func put(_ byte: UInt8) {
        guard count < capacity else { return }
        base[count] = byte
        count &+= 1
    }

    @inline(__always)
    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let start = bytes.baseAddress, bytes.count <= capacity &- count else { return }
        memcpy(base + count, start, bytes.count)
        count &+= bytes.count
    }

    @inline(__always)
    mutating func put(_ text: StaticString) {
        put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    @inline(__always)
    mutating func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    /// Decimal digits.
    mutating func put(_ number: UInt64) {
        if number < 10 { return put(48 &+ UInt8(truncatingIfNeeded: number)) }
        var digits = 1, limit: UInt64 = 10
        while digits < 20, number >= limit {
            digits &+= 1
            let (next, isTooLarge) = limit.multipliedReportingOverflow(by: 10)
            if isTooLarge { break }
            limit = next
        }
        guard digits <= capacity &- count else { return }
        var rest = number, place = count &+ digits
        count = place
        while digits > 0 {
            place &-= 1
            digits &-= 1
            base[place] = 48 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
    }

    /// Exactly three decimal digits of a number below 1,000.
    mutating func put(milliseconds number: UInt64) {
        put(48 &+ UInt8(truncatingIfNeeded: number / 100 % 10))
        put(48 &+ UInt8(truncatingIfNeeded: number / 10 % 10))
        put(48 &+ UInt8(truncatingIfNeeded: number % 10))
    }

    /// A text that came from outside: escaped (RFC 8259, section 7), and made valid UTF-8 where it is not.
    mutating func put(escaped text: UnsafeRawBufferPointer) {
        var index = 0
        while index < text.count {
            let start = index
            while index < text.count, JSONText.isPlain(text[index]) { index &+= 1 }
            put(UnsafeRawBufferPointer(rebasing: text[start..<index]))
            guard index < text.count else { return }
            index &+= putSpecial(text, at: index)
        }
    }

    /// The beginning of it, if it is longer than the limit in bytes.
    @inline(__always)
    mutating func put(escaped text: String, limit: Int) {
        let isPut: Void? = text.utf8.withContiguousStorageIfAvailable {
            put(escaped: JSONText.prefix(UnsafeRawBufferPointer($0), limit))
        }
        if isPut == nil { put(escaped: Array(text.utf8.prefix(limit))) }
    }

    mutating func put(escaped bytes: [UInt8]) { bytes.withUnsafeBytes { put(escaped: $0) } }

    /// Writes what stands for the character there, and answers how many bytes it has.
    private mutating func putSpecial(_ text: UnsafeRawBufferPointer, at index: Int) -> Int {
        let byte = text[index]
        switch byte {
        case UInt8(ascii: "\""): put(#"\""#)
        case UInt8(ascii: "\\"): put(#"\\"#)
        case 0x0A: put(#"\n"#)
        case 0x0D: put(#"\r"#)
        case 0x09: put(#"\t"#)
        case 0..<0x20:
            put(#"\u00"#)
            put(HexDigits.small[Int(byte >> 4)])
            put(HexDigits.small[Int(byte & 15)])
        default:
            let length = JSONText.scalarLength(text, at: index)
            if length == 0 {
                put("\u{FFFD}")
                return 1
            }
            put(UnsafeRawBufferPointer(rebasing: text[index..<(index + length)]))
            return length
        }
        return 1
    }
}

/// What may stand in a text of JSON as it is.
enum JSONText {
    /// Printable ASCII that needs no escape.
    @inline(__always)
    static func isPlain(_ byte: UInt8) -> Bool { byte >= 0x20 && byte < 0x80 && byte != UInt8(ascii: "\"") && byte != UInt8(ascii: "\\") }

    /// The number of bytes of the character beyond ASCII that begins there; 0 when none does (RFC 3629, section 4).
    static func scalarLength(_ text: UnsafeRawBufferPointer, at index: Int) -> Int {
        func follows(_ offset: Int, _ range: ClosedRange<UInt8> = 0x80...0xBF) -> Bool {
            index + offset < text.count && range.contains(text[index + offset])
        }
        switch text[index] {
        case 0xC2...0xDF: return follows(1) ? 2 : 0
        case 0xE0: return follows(1, 0xA0...0xBF) && follows(2) ? 3 : 0
        case 0xED: return follows(1, 0x80...0x9F) && follows(2) ? 3 : 0
        case 0xE1...0xEC, 0xEE...0xEF: return follows(1) && follows(2) ? 3 : 0
        case 0xF0: return follows(1, 0x90...0xBF) && follows(2) && follows(3) ? 4 : 0
        case 0xF1...0xF3: return follows(1) && follows(2) && follows(3) ? 4 : 0
        case 0xF4: return follows(1, 0x80...0x8F) && follows(2) && follows(3) ? 4 : 0
        default: return 0
        }
    }

    /// The text, cut to so many bytes without cutting a character in two.
    static func prefix(_ text: UnsafeRawBufferPointer, _ limit: Int) -> UnsafeRawBufferPointer {
        guard text.count > limit else { return text }
        var end = limit
        // At most three bytes go on with a character.
        while end > max(0, limit - 3), text[end] & 0xC0 == 0x80 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: text[..<end])
    }

    /// Whether there is anything in it that looks like a token or one of our keys, as `JSONLog` sees it.
    static func mayHoldSecret(_ text: UnsafeRawBufferPointer) -> Bool { holds(text, "eyJ", rare: "J") || holds(text, "trx_", rare: "_") }

    /// Looks for the last letter of the word, which is rare, and then at what stands before it.
    private static func holds(_ text: UnsafeRawBufferPointer, _ word: StaticString, rare: Unicode.Scalar) -> Bool {
        guard let base = text.baseAddress else { return false }
        let length = word.utf8CodeUnitCount
        var start = 0
        while start < text.count, let found = memchr(base + start, Int32(rare.value), text.count - start) {
            let end = UnsafeRawPointer(found) - base + 1
            if end >= length, memcmp(base + end - length, word.utf8Start, length) == 0 { return true }
            start = end
        }
        return false
    }

    /// The words of a text without those that look like a token or a key.
    static func masked(_ text: UnsafeRawBufferPointer) -> [UInt8] {
        var masked: [UInt8] = []
        for (index, word) in text.split(separator: 0x20, omittingEmptySubsequences: false).enumerated() {
            if index > 0 { masked.append(0x20) }
            let bytes = UnsafeRawBufferPointer(rebasing: word)
            if mayHoldSecret(bytes) { masked += "[hidden]".utf8 } else { masked += bytes }
        }
        return masked
    }
}
