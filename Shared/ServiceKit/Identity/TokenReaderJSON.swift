/// Reads JSON (RFC 8259) from bytes from front to back, strictly, and without making anything of what nobody asks for.
///
/// It is good for tokens: small documents of which a few members are wanted. Bytes that are read lie within the buffer, whatever is in it.
struct JSONCursor {
    struct Malformed: Error {}

    /// Objects and arrays within each other.
    static let maximumDepth = 16
    /// Digits of a whole number; more do not fit into 64 bits for certain.
    static let maximumDigits = 18

    /// What is between two quotation marks.
    struct Text {
        /// As they stand there, escapes included; valid UTF-8.
        let bytes: UnsafeRawBufferPointer
        let isEscaped: Bool

        /// Whether it is this one, written without escapes.
        static func == (text: Text, other: StaticString) -> Bool {
            guard text.bytes.count == other.utf8CodeUnitCount else { return false }
            return UnsafeRawBufferPointer(start: other.utf8Start, count: other.utf8CodeUnitCount).elementsEqual(text.bytes)
        }
    }

    private let bytes: UnsafeRawBufferPointer
    private var index = 0

    /// Throws when the bytes are no UTF-8. They must outlive the cursor and its texts.
    init(_ bytes: UnsafeRawBufferPointer) throws(Malformed) {
        self.bytes = bytes
        var position = 0
        while position + 8 <= bytes.count, bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self) & 0x8080_8080_8080_8080 == 0 {
            position += 8
        }
        while position < bytes.count, bytes[position] < 0x80 { position += 1 }
        guard position == bytes.count || String(validating: bytes[position...], as: UTF8.self) != nil else { throw Malformed() }
    }

    /// The byte that comes next; 0, which is nowhere allowed, at the end.
    private var next: UInt8 { index < bytes.count ? bytes[index] : 0 }

    private mutating func skipSpace() {
        while true {
            switch next {
            case 0x20, 0x09, 0x0A, 0x0D: index += 1
            default: return
            }
        }
    }

    private mutating func expect(_ byte: UInt8) throws(Malformed) {
        guard next == byte else { throw Malformed() }
        index += 1
    }

    // MARK: - Structure

    mutating func openObject() throws(Malformed) {
        skipSpace()
        try expect(UInt8(ascii: "{"))
    }

    /// The name of the next member, with the cursor before its value; nil behind the last. `isFirst` begins true.
    ///
    /// Names written with escapes are refused: no token of ours has any, and what is written in two ways can be read in two ways.
    mutating func member(_ isFirst: inout Bool) throws(Malformed) -> Text? {
        guard try hasNext(until: UInt8(ascii: "}"), &isFirst) else { return nil }
        let name = try text()
        guard !name.isEscaped else { throw Malformed() }
        skipSpace()
        try expect(UInt8(ascii: ":"))
        return name
    }

    mutating func openArray() throws(Malformed) {
        skipSpace()
        try expect(UInt8(ascii: "["))
    }

    /// Whether another element follows; the cursor is before it then.
    mutating func element(_ isFirst: inout Bool) throws(Malformed) -> Bool {
        try hasNext(until: UInt8(ascii: "]"), &isFirst)
    }

    private mutating func hasNext(until end: UInt8, _ isFirst: inout Bool) throws(Malformed) -> Bool {
        skipSpace()
        if next == end {
            index += 1
            return false
        }
        if !isFirst { try expect(UInt8(ascii: ",")) }
        isFirst = false
        return true
    }

    /// Throws unless nothing follows but white space.
    mutating func finish() throws(Malformed) {
        skipSpace()
        guard index == bytes.count else { throw Malformed() }
    }

    // MARK: - Values

    /// Whether the value is `null`, which is read then.
    mutating func null() throws(Malformed) -> Bool {
        skipSpace()
        guard next == UInt8(ascii: "n") else { return false }
        try literal("null")
        return true
    }

    mutating func text() throws(Malformed) -> Text {
        skipSpace()
        try expect(UInt8(ascii: "\""))
        let start = index
        var isEscaped = false
        while true {
            let byte = next
            if byte == UInt8(ascii: "\"") { break }
            guard byte >= 0x20 else { throw Malformed() }
            index += 1
            if byte == UInt8(ascii: "\\") {
                isEscaped = true
                try skipEscape()
            }
        }
        defer { index += 1 }
        return Text(bytes: UnsafeRawBufferPointer(rebasing: bytes[start..<index]), isEscaped: isEscaped)
    }

    private mutating func skipEscape() throws(Malformed) {
        let kind = next
        index += 1
        switch kind {
        case UInt8(ascii: "u"):
            let unit = try hexadecimal()
            guard unit & 0xF800 == 0xD800 else { return }
            // The first half of a pair needs the second right behind it (RFC 8259, section 7).
            guard unit < 0xDC00 else { throw Malformed() }
            try expect(UInt8(ascii: "\\"))
            try expect(UInt8(ascii: "u"))
            guard try hexadecimal() & 0xFC00 == 0xDC00 else { throw Malformed() }
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"), UInt8(ascii: "n"),
            UInt8(ascii: "r"), UInt8(ascii: "t"):
            return
        default: throw Malformed()
        }
    }

    private mutating func hexadecimal() throws(Malformed) -> UInt16 {
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = Self.digit(next) else { throw Malformed() }
            unit = unit << 4 | UInt16(digit)
            index += 1
        }
        return unit
    }

    /// A hexadecimal digit of either case.
    static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x61...0x66: byte - 0x57
        case 0x41...0x46: byte - 0x37
        default: nil
        }
    }

    /// A whole number, written as one: no fraction, no exponent.
    mutating func integer() throws(Malformed) -> Int {
        skipSpace()
        let isNegative = next == UInt8(ascii: "-")
        if isNegative { index += 1 }
        let start = index
        var value = 0
        while case 0x30...0x39 = next {
            guard index - start < Self.maximumDigits else { throw Malformed() }
            value = value * 10 + Int(next - 0x30)
            index += 1
        }
        guard index > start, index == start + 1 || bytes[start] != 0x30 else { throw Malformed() }
        switch next {
        case UInt8(ascii: "."), UInt8(ascii: "e"), UInt8(ascii: "E"): throw Malformed()
        default: return isNegative ? -value : value
        }
    }

    /// Passes over one value of whatever kind.
    mutating func skip(depth: Int = 0) throws(Malformed) {
        guard depth < Self.maximumDepth else { throw Malformed() }
        skipSpace()
        var isFirst = true
        switch next {
        case UInt8(ascii: "\""): _ = try text()
        case UInt8(ascii: "{"):
            try openObject()
            while try member(&isFirst) != nil { try skip(depth: depth + 1) }
        case UInt8(ascii: "["):
            try openArray()
            while try element(&isFirst) { try skip(depth: depth + 1) }
        case UInt8(ascii: "t"): try literal("true")
        case UInt8(ascii: "f"): try literal("false")
        case UInt8(ascii: "n"): try literal("null")
        default: try skipNumber()
        }
    }

    private mutating func literal(_ word: StaticString) throws(Malformed) {
        for offset in 0..<word.utf8CodeUnitCount { try expect(word.utf8Start[offset]) }
    }

    private mutating func skipNumber() throws(Malformed) {
        if next == UInt8(ascii: "-") { index += 1 }
        if next == UInt8(ascii: "0") { index += 1 } else { try skipDigits() }
        if next == UInt8(ascii: ".") {
            index += 1
            try skipDigits()
        }
        guard next | 0x20 == UInt8(ascii: "e") else { return }
        index += 1
        if next == UInt8(ascii: "+") || next == UInt8(ascii: "-") { index += 1 }
        try skipDigits()
    }

    private mutating func skipDigits() throws(Malformed) {
        let start = index
        while case 0x30...0x39 = next { index += 1 }
        guard index > start else { throw Malformed() }
    }
}

extension JSONCursor.Text {
    /// What it says, with its escapes resolved.
    func string() throws(JSONCursor.Malformed) -> String {
        if !isEscaped {
            guard let string = String(validating: bytes, as: UTF8.self) else { throw JSONCursor.Malformed() }
            return string
        }
        var units: [UInt16] = []
        var plain = ""
        var index = 0
        func flush() {
            plain += String(decoding: units, as: UTF16.self)
            units = []
        }
        while index < bytes.count {
            let end = bytes[index...].firstIndex(of: UInt8(ascii: "\\")) ?? bytes.count
            if end > index {
                flush()
                guard let part = String(validating: bytes[index..<end], as: UTF8.self) else { throw JSONCursor.Malformed() }
                plain += part
            }
            guard end + 1 < bytes.count else { break }
            let (unit, length) = try Self.unit(bytes[(end + 1)...])
            units.append(unit)
            index = end + 1 + length
        }
        flush()
        return plain
    }

    /// What an escape stands for, and how long it is behind its backslash.
    private static func unit(_ escape: Slice<UnsafeRawBufferPointer>) throws(JSONCursor.Malformed) -> (UInt16, Int) {
        switch escape.first {
        case UInt8(ascii: "u"):
            var unit: UInt16 = 0
            for byte in escape.dropFirst().prefix(4) {
                guard let digit = JSONCursor.digit(byte) else { throw JSONCursor.Malformed() }
                unit = unit << 4 | UInt16(digit)
            }
            return (unit, 5)
        case UInt8(ascii: "b"): return (0x08, 1)
        case UInt8(ascii: "f"): return (0x0C, 1)
        case UInt8(ascii: "n"): return (0x0A, 1)
        case UInt8(ascii: "r"): return (0x0D, 1)
        case UInt8(ascii: "t"): return (0x09, 1)
        case let byte?: return (UInt16(byte), 1)
        case nil: throw JSONCursor.Malformed()
        }
    }
}
