/// What `Cache-Control` says (RFC 9111, section 5.2; RFC 5861; RFC 8246), gathered from all field lines of that name.
///
/// A directive that names fields (`private="x"`, `no-cache="x"`) counts as the one that does not: stricter, and always right.
/// Seconds that cannot be read are 0, as section 4.2.1 asks for; of two that differ the shorter counts.
struct CacheControl: Sendable, Equatable {
    struct Flags: OptionSet, Sendable {
        let rawValue: UInt16
        static let isPublic = Flags(rawValue: 1)
        static let isPrivate = Flags(rawValue: 2)
        static let noStore = Flags(rawValue: 4)
        static let noCache = Flags(rawValue: 8)
        /// `must-revalidate` or `proxy-revalidate`: the same to a shared cache.
        static let mustRevalidate = Flags(rawValue: 16)
        static let noTransform = Flags(rawValue: 32)
        static let onlyIfCached = Flags(rawValue: 64)
    }

    /// 2³¹ seconds stand for all that is longer (RFC 9111, section 1.2.2).
    static let longest = 2_147_483_648

    var flags: Flags = []
    var maxAge: Int?
    var sharedMaxAge: Int?
    var minFresh: Int?
    var staleWhileRevalidate: Int?
    var staleIfError: Int?

    init() {}

    init(_ value: UnsafeRawBufferPointer) { read(value) }

    /// Adds the directives of one field line.
    mutating func read(_ value: UnsafeRawBufferPointer) {
        var rest = ListElements(value)
        while let element = rest.next() {
            let equals = element.firstIndex(of: UInt8(ascii: "="))
            let name = UnsafeRawBufferPointer(rebasing: element[..<(equals ?? element.endIndex)]).trimmed
            let argument = equals.map { UnsafeRawBufferPointer(rebasing: element[($0 + 1)...]).trimmed }
            directive(name, argument)
        }
    }

    private mutating func directive(_ name: UnsafeRawBufferPointer, _ argument: UnsafeRawBufferPointer?) {
        switch name.count {
        case 6: if name.isWord("public") { flags.insert(.isPublic) }
        case 7:
            if name.isWord("private") { flags.insert(.isPrivate) }
            if name.isWord("max-age") { Self.lower(&maxAge, argument) }
        case 8:
            if name.isWord("no-store") { flags.insert(.noStore) }
            if name.isWord("no-cache") { flags.insert(.noCache) }
            if name.isWord("s-maxage") { Self.lower(&sharedMaxAge, argument) }
        case 9: if name.isWord("min-fresh") { Self.lower(&minFresh, argument) }
        case 12: if name.isWord("no-transform") { flags.insert(.noTransform) }
        case 14:
            if name.isWord("only-if-cached") { flags.insert(.onlyIfCached) }
            if name.isWord("stale-if-error") { Self.lower(&staleIfError, argument) }
        case 15: if name.isWord("must-revalidate") { flags.insert(.mustRevalidate) }
        case 16: if name.isWord("proxy-revalidate") { flags.insert(.mustRevalidate) }
        case 22: if name.isWord("stale-while-revalidate") { Self.lower(&staleWhileRevalidate, argument) }
        default: break
        }
    }

    private static func lower(_ held: inout Int?, _ argument: UnsafeRawBufferPointer?) {
        let seconds = argument.flatMap(seconds) ?? 0
        held = min(held ?? longest, seconds)
    }

    /// `delta-seconds`, also quoted; nil when it is none.
    static func seconds(_ text: UnsafeRawBufferPointer) -> Int? {
        var digits = text
        if digits.count >= 2, digits.first == UInt8(ascii: "\""), digits.last == UInt8(ascii: "\"") {
            digits = UnsafeRawBufferPointer(rebasing: digits.dropFirst().dropLast())
        }
        guard !digits.isEmpty else { return nil }
        var seconds = 0
        for byte in digits {
            let digit = byte &- 48
            guard digit < 10 else { return nil }
            if seconds < longest { seconds = seconds * 10 + Int(digit) }
        }
        return min(seconds, longest)
    }
}

/// The parts of a list between commas, without blanks around them and without empty ones. A comma in quotes is no separator
/// (RFC 9110, section 5.6.1).
struct ListElements {
    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func next() -> UnsafeRawBufferPointer? {
        while position < bytes.count {
            let start = position
            var isQuoted = false
            while position < bytes.count {
                let byte = bytes[position]
                if isQuoted, byte == UInt8(ascii: "\\") {
                    position += 1
                } else if byte == UInt8(ascii: "\"") {
                    isQuoted.toggle()
                } else if byte == UInt8(ascii: ","), !isQuoted {
                    break
                }
                position += 1
            }
            position = min(position, bytes.count)
            let element = UnsafeRawBufferPointer(rebasing: bytes[start..<position]).trimmed
            position += 1
            if !element.isEmpty { return element }
        }
        return nil
    }
}
