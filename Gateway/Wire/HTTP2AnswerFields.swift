import CNghttp2
import Glibc
import NIOCore

/// Makes the field lines of an answer into what nghttp2 takes. One of these serves all connections of an event loop: what it points to
/// is copied by the library before the next answer is begun.
final class HTTP2AnswerFields {
    /// Fields of one answer: those of the service, of which the parser bears a hundred, and ours.
    static let maximumFields = 256

    let fields: UnsafeMutablePointer<nghttp2_nv>
    private(set) var count = 0
    /// Three digits of the status, then up to twenty of the length.
    private let digits: UnsafeMutablePointer<UInt8>

    init() {
        fields = .allocate(capacity: Self.maximumFields)
        digits = .allocate(capacity: 24)
    }

    deinit {
        fields.deallocate()
        digits.deallocate()
    }

    /// `:status`, before all others.
    func begin(status: Int) {
        digits[0] = 48 &+ UInt8(truncatingIfNeeded: status / 100)
        digits[1] = 48 &+ UInt8(truncatingIfNeeded: status / 10 % 10)
        digits[2] = 48 &+ UInt8(truncatingIfNeeded: status % 10)
        count = 0
        add(":status", digits, 3)
    }

    /// Trailers have no `:status`.
    func beginTrailers() { count = 0 }

    func addLength(_ length: Int) {
        var at = 24, rest = length
        repeat {
            at &-= 1
            digits[at] = 48 &+ UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        } while rest > 0
        add("content-length", digits + at, 24 &- at)
    }

    /// The lines in `bytes`, each with its CRLF; the first is left out where it is that of the status.
    /// What `bytes` holds must stay where it is until the library has copied it.
    func add(_ bytes: UnsafeRawBufferPointer, skippingFirst: Bool) {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return }
        var at = 0
        let end = bytes.count
        if skippingFirst {
            guard let line = memchr(base, 10, end) else { return }
            at = base.distance(to: line.assumingMemoryBound(to: UInt8.self)) &+ 1
        }
        while at < end, let found = memchr(base + at, 10, end &- at) {
            let next = base.distance(to: found.assumingMemoryBound(to: UInt8.self)) &+ 1
            line(base, at, next)
            at = next
        }
    }

    private func line(_ base: UnsafePointer<UInt8>, _ start: Int, _ next: Int) {
        var end = next &- 1
        if end > start, base[end &- 1] == 13 { end &-= 1 }
        guard end > start, let found = memchr(base + start, 58, end &- start), count < Self.maximumFields else { return }
        let colon = base.distance(to: found.assumingMemoryBound(to: UInt8.self))
        let nameCount = colon &- start
        guard nameCount > 0, !Self.staysBehind(base + start, nameCount) else { return }
        var valueStart = colon &+ 1, valueEnd = end
        while valueStart < valueEnd, base[valueStart] == 0x20 || base[valueStart] == 0x09 { valueStart &+= 1 }
        while valueEnd > valueStart, base[valueEnd &- 1] == 0x20 || base[valueEnd &- 1] == 0x09 { valueEnd &-= 1 }
        let flags = Self.isFresh(base + start, nameCount) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE
        fields[count] = nghttp2_nv(
            name: UnsafeMutablePointer(mutating: base + start), value: UnsafeMutablePointer(mutating: base + valueStart),
            namelen: nameCount,
            valuelen: valueEnd &- valueStart, flags: UInt8(truncatingIfNeeded: flags.rawValue))
        count &+= 1
    }

    private func add(_ name: StaticString, _ value: UnsafeMutablePointer<UInt8>, _ valueCount: Int) {
        fields[count] = nghttp2_nv(
            name: UnsafeMutablePointer(mutating: name.utf8Start), value: value, namelen: name.utf8CodeUnitCount, valuelen: valueCount,
            flags: UInt8(truncatingIfNeeded: NGHTTP2_NV_FLAG_NONE.rawValue))
        count &+= 1
    }

    /// What belongs to an HTTP/1.1 connection, or is told in another way. In any case of letters.
    private static func staysBehind(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        switch count {
        case 7: same(name, "upgrade")
        case 10: same(name, "connection") || same(name, "keep-alive")
        case 14: same(name, "content-length")
        case 16: same(name, "proxy-connection")
        case 17: same(name, "transfer-encoding")
        default: false
        }
    }

    /// Fields that are different in each answer would only push others out of the table of HPACK.
    private static func isFresh(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        switch count {
        case 9: same(name, "ratelimit")
        case 11: same(name, "traceparent")
        case 12: same(name, "x-request-id")
        default: false
        }
    }

    @inline(__always)
    private static func same(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
        let wanted = text.utf8Start
        for index in 0..<text.utf8CodeUnitCount where bytes[index] | 0x20 != wanted[index] | 0x20 { return false }
        return true
    }
}
