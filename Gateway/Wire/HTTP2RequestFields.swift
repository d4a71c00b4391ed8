import Glibc
import NIOCore

/// Writes the fields of an HTTP/2 request as the head of an HTTP/1.1 request, for the one parser that both versions share.
///
/// nghttp2 has held the fields against RFC 9113, section 8 before; what would change the meaning of the written head is refused here again,
/// so that no value can ever become a line, and no field the framing, whatever the library lets through.
struct HTTP2RequestFields {
    enum Outcome: Equatable {
        case head(ByteBuffer)
        /// The stream is reset, as for every malformed message (RFC 9113, section 8.1.1).
        case malformed
        case tooLarge
    }

    private static let overhead = 32

    private let maximumBytes: Int
    /// The bytes of the pseudo fields; the first line needs all of them at once.
    private var pseudo = ByteBuffer()
    private var method = 0..<0
    private var path = 0..<0
    private var authority = 0..<0
    private var hasScheme = false
    private var head = ByteBuffer()
    private var cookies = ByteBuffer()
    private var bytes = 0
    private var hasLine = false
    private var hasHost = false
    private var hasLength = false
    private var isMalformed = false

    init(maximumBytes: Int) { self.maximumBytes = maximumBytes }

    /// Begins another head in a buffer that may be used again.
    mutating func begin(into buffer: ByteBuffer) {
        head = buffer
        head.clear()
        pseudo.clear()
        cookies.clear()
        method = 0..<0
        path = 0..<0
        authority = 0..<0
        bytes = 0
        hasScheme = false
        hasLine = false
        hasHost = false
        hasLength = false
        isMalformed = false
    }

    /// Gives up a head that will not become whole.
    mutating func drop() {
        head = ByteBuffer()
        isMalformed = true
    }

    /// One field in the order of the client.
    mutating func add(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) {
        // As SETTINGS_MAX_HEADER_LIST_SIZE counts.
        bytes &+= nameCount &+ valueCount &+ Self.overhead
        guard !isMalformed, bytes <= maximumBytes else { return }
        guard nameCount > 0, ByteClass.isValue(value, valueCount) else {
            isMalformed = true
            return
        }
        if name[0] == UInt8(ascii: ":") {
            pseudoField(name, nameCount, value, valueCount)
        } else {
            if !hasLine { writeLine() }
            field(name, nameCount, value, valueCount)
        }
    }

    private mutating func pseudoField(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int
    ) {
        let start = pseudo.writerIndex
        switch nameCount {
        case 7 where Self.same(name, ":method") && method.isEmpty:
            pseudo.writeBytes(UnsafeRawBufferPointer(start: value, count: valueCount))
            method = start..<pseudo.writerIndex
        case 5 where Self.same(name, ":path") && path.isEmpty:
            pseudo.writeBytes(UnsafeRawBufferPointer(start: value, count: valueCount))
            path = start..<pseudo.writerIndex
        case 10 where Self.same(name, ":authority") && authority.isEmpty:
            pseudo.writeBytes(UnsafeRawBufferPointer(start: value, count: valueCount))
            authority = start..<pseudo.writerIndex
        case 7 where Self.same(name, ":scheme") && !hasScheme:
            hasScheme = true
            let isWeb = valueCount == 5 && Self.same(value, "https") || valueCount == 4 && Self.same(value, "http")
            if !isWeb { isMalformed = true }
        // `:protocol` is the extended CONNECT, which was not offered; `:status` is of answers.
        default: isMalformed = true
        }
        if hasLine { isMalformed = true }
    }

    private mutating func writeLine() {
        hasLine = true
        // CONNECT has neither path nor scheme, and is not for a gateway.
        guard !method.isEmpty, !path.isEmpty, hasScheme else {
            isMalformed = true
            return
        }
        let line = method.count + path.count + authority.count + 32
        let (method, path, authority) = (method, path, authority)
        let isGood = pseudo.withUnsafeReadableBytes { source -> Bool in
            let first = source[path.lowerBound]
            guard first == UInt8(ascii: "/") || first == UInt8(ascii: "*") && path.count == 1 else { return false }
            // A blank in one of them would make it two words of the line.
            for byte in source[..<max(method.upperBound, path.upperBound)] where byte <= 0x20 { return false }
            head.writeWithUnsafeMutableBytes(minimumWritableBytes: line) { target in
                var at = target.baseAddress!
                at = Self.copy(source, method, to: at)
                at = Self.copy(" ", to: at)
                at = Self.copy(source, path, to: at)
                at = Self.copy(" HTTP/1.1\r\n", to: at)
                if !authority.isEmpty {
                    at = Self.copy("host: ", to: at)
                    at = Self.copy(source, authority, to: at)
                    at = Self.copy("\r\n", to: at)
                }
                return target.baseAddress!.distance(to: at)
            }
            return true
        }
        if !isGood { isMalformed = true }
    }

    private mutating func field(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) {
        switch nameCount {
        case 4 where Self.same(name, "host"):
            guard !authority.isEmpty else {
                hasHost = true
                break
            }
            // Two names for the host must be one.
            let authority = authority
            let agrees = pseudo.withUnsafeReadableBytes { source in
                authority.count == valueCount && memcmp(source.baseAddress! + authority.lowerBound, value, valueCount) == 0
            }
            if !agrees { isMalformed = true }
            return
        case 6 where Self.same(name, "cookie"):
            // Several lines of it are one (RFC 9113, section 8.2.3).
            if cookies.readableBytes > 0 { cookies.writeStaticString("; ") }
            cookies.writeBytes(UnsafeRawBufferPointer(start: value, count: valueCount))
            return
        case 14 where Self.same(name, "content-length"): hasLength = true
        case 2 where Self.same(name, "te"):
            if valueCount != 8 || !Self.same(value, "trailers") { isMalformed = true }
        default:
            if Self.isOfConnection(name, nameCount) { isMalformed = true }
        }
        for index in 0..<nameCount where !ByteClass.isToken(name[index]) || (65...90).contains(name[index]) {
            isMalformed = true
            return
        }
        Self.write(name, nameCount, value, valueCount, to: &head)
    }

    /// The head, once all fields are there. `hasBody`: the stream goes on after them.
    mutating func finish(hasBody: Bool) -> Outcome {
        guard bytes <= maximumBytes else { return .tooLarge }
        if !hasLine { writeLine() }
        guard !isMalformed, !authority.isEmpty || hasHost else { return .malformed }
        if cookies.readableBytes > 0 {
            head.writeStaticString("cookie: ")
            head.writeImmutableBuffer(cookies)
            head.writeStaticString("\r\n")
        }
        // How HTTP/1.1 says that the end of a body is told by the framing.
        if hasBody, !hasLength { head.writeStaticString("transfer-encoding: chunked\r\n") }
        head.writeStaticString("\r\n")
        defer { head = ByteBuffer() }
        return .head(head)
    }

    // MARK: Bytes

    /// `name: value CRLF`.
    static func write(
        _ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int, to buffer: inout ByteBuffer
    ) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: nameCount &+ valueCount &+ 4) { target in
            let at = target.baseAddress!
            memcpy(at, name, nameCount)
            at.storeBytes(of: UInt8(ascii: ":"), toByteOffset: nameCount, as: UInt8.self)
            at.storeBytes(of: 0x20, toByteOffset: nameCount &+ 1, as: UInt8.self)
            if valueCount > 0 { memcpy(at + (nameCount &+ 2), value, valueCount) }
            at.storeBytes(of: 13, toByteOffset: nameCount &+ valueCount &+ 2, as: UInt8.self)
            at.storeBytes(of: 10, toByteOffset: nameCount &+ valueCount &+ 3, as: UInt8.self)
            return nameCount &+ valueCount &+ 4
        }
    }

    /// Fields of one HTTP/1.1 connection, which have no place in HTTP/2 (RFC 9113, section 8.2.2). `name` in lower case.
    @inline(__always)
    static func isOfConnection(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        switch count {
        case 7: same(name, "upgrade")
        case 10: same(name, "connection") || same(name, "keep-alive")
        case 16: same(name, "proxy-connection")
        case 17: same(name, "transfer-encoding")
        default: false
        }
    }

    @inline(__always)
    private static func same(_ bytes: UnsafePointer<UInt8>, _ text: StaticString) -> Bool {
        memcmp(bytes, text.utf8Start, text.utf8CodeUnitCount) == 0
    }

    @inline(__always)
    private static func copy(_ source: UnsafeRawBufferPointer, _ range: Range<Int>, to target: UnsafeMutableRawPointer)
        -> UnsafeMutableRawPointer
    {
        memcpy(target, source.baseAddress! + range.lowerBound, range.count)
        return target + range.count
    }

    @inline(__always)
    private static func copy(_ text: StaticString, to target: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
        memcpy(target, text.utf8Start, text.utf8CodeUnitCount)
        return target + text.utf8CodeUnitCount
    }
}
