/// The segments of a path, found and hashed in one pass over its bytes.
///
/// What two programs could read differently is refused, not repaired: empty and dot segments, encoded slashes, dots and control
/// characters, backslashes, double encoding (OWASP ASVS 5.1.3; the classic ways around a prefix rule).
struct PathSegment {
    var start: Int32
    var length: Int32
    var hash: UInt32

    static let hashSeed: UInt32 = 2_166_136_261

    /// FNV-1a. The table is fixed, so nobody gains by collisions.
    static func hash(_ hash: UInt32, _ byte: UInt8) -> UInt32 { (hash ^ UInt32(byte)) &* 16_777_619 }
}

enum PathScan: Equatable {
    case segments(Int)
    /// There is a `%` in it: decode it first.
    case encoded
    case malformed
}

enum PathSegments {
    static let maximumBytes = 4_096

    /// Finds all segments, and keeps the first ones, as many as there is room for. `isDecoded`: the bytes were held against the rules for
    /// single bytes before.
    static func scan(_ path: UnsafeRawBufferPointer, isDecoded: Bool, into segments: UnsafeMutableBufferPointer<PathSegment>) -> PathScan {
        let end = path.count
        guard end > 0, end <= maximumBytes, path[0] == UInt8(ascii: "/") else { return .malformed }
        var count = 0, start = 1, index = 1
        var hash = PathSegment.hashSeed
        while true {
            if index == end || path[index] == UInt8(ascii: "/") {
                let length = index - start
                // A slash at the end adds nothing; anywhere else an empty segment is refused.
                if length == 0 { return index == end ? .segments(count) : .malformed }
                if path[start] <= UInt8(ascii: ";"), isDotOrNameless(path, start, length) { return .malformed }
                if count < segments.count { segments[count] = PathSegment(start: Int32(start), length: Int32(length), hash: hash) }
                count += 1
                if index == end { return .segments(count) }
                start = index + 1
                hash = PathSegment.hashSeed
            } else {
                let byte = path[index]
                if !isDecoded, !isPlain(byte) { return byte == UInt8(ascii: "%") ? .encoded : .malformed }
                hash = PathSegment.hash(hash, byte)
            }
            index += 1
        }
    }

    /// Decodes what is percent-encoded; nil where something is encoded that never has to be, or badly.
    /// `output` has room for as many bytes as the path has.
    static func decode(_ path: UnsafeRawBufferPointer, into output: UnsafeMutableRawBufferPointer) -> Int? {
        guard path.count <= maximumBytes else { return nil }
        var written = 0, index = 0
        while index < path.count {
            let byte = path[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < path.count, let high = digit(path[index + 1]), let low = digit(path[index + 2]) else { return nil }
                let decoded = high << 4 | low
                guard decoded > 0x1F, decoded != 0x7F, !isNeverEncoded(decoded) else { return nil }
                output[written] = decoded
                index += 3
            } else {
                guard isPlain(byte) else { return nil }
                output[written] = byte
                index += 1
            }
            written += 1
        }
        guard String(validating: UnsafeRawBufferPointer(output)[..<written], as: UTF8.self) != nil else { return nil }
        return written
    }

    /// May stand in a path as it is. `#` and `?` end a path, so they are not in one.
    private static func isPlain(_ byte: UInt8) -> Bool {
        byte > 0x20 && byte < 0x7F && byte != UInt8(ascii: "\\") && byte != UInt8(ascii: "%") && byte != UInt8(ascii: "#")
            && byte != UInt8(ascii: "?")
    }

    /// Encoded, these are an attempt to hide a separator, a dot segment or a second encoding.
    private static func isNeverEncoded(_ byte: UInt8) -> Bool {
        byte == UInt8(ascii: "/") || byte == UInt8(ascii: "\\") || byte == UInt8(ascii: ".") || byte == UInt8(ascii: "%")
    }

    /// Without its parameters (`;…`) nothing is left of it, or one or two dots.
    private static func isDotOrNameless(_ path: UnsafeRawBufferPointer, _ start: Int, _ length: Int) -> Bool {
        func endsAt(_ offset: Int) -> Bool { offset == length || path[start + offset] == UInt8(ascii: ";") }
        if endsAt(0) { return true }
        guard path[start] == UInt8(ascii: ".") else { return false }
        return endsAt(1) || (path[start + 1] == UInt8(ascii: ".") && endsAt(2))
    }

    private static func digit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}
