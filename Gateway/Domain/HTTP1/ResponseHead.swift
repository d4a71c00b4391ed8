import Glibc

/// The head of an answer.
final class ResponseHead: MessageHead {
    private(set) var status = 0
    private(set) var isHTTP10 = false

    override func reset() {
        super.reset()
        status = 0
        isHTTP10 = false
    }

    override func kind(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind { FieldNames.response(name, count) }

    /// `HTTP/1.1 SP status SP reason`; the reason is nobody's concern (RFC 9112, section 4).
    override func firstLine(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(HeadRefusal) {
        guard end - start >= 12, memcmp(bytes + start, "HTTP/1.", 7) == 0, bytes[start + 8] == 0x20 else { throw .malformedLine }
        guard end - start == 12 || bytes[start + 12] == 0x20, bytes[start + 7] &- 48 < 10 else { throw .malformedLine }
        isHTTP10 = bytes[start + 7] == UInt8(ascii: "0")
        for index in 9...11 {
            let digit = bytes[start + index] &- 48
            guard digit < 10 else { throw .malformedLine }
            status = status * 10 + Int(digit)
        }
        guard (100...599).contains(status) else { throw .malformedLine }
    }

    override func finish(_ bytes: UnsafePointer<UInt8>) throws(HeadRefusal) {
        // Who speaks HTTP/1.0 knows no chunks: somebody else wrote that (RFC 9112, section 6.1).
        if isChunked, has(.contentLength) || isHTTP10 { throw .ambiguousLength }
        dropNamedFields(bytes)
    }

    var isInterim: Bool { status < 200 && status != 101 }
    var keepsAlive: Bool { isHTTP10 ? saysKeepAlive && !saysClose : !saysClose }

    /// RFC 9112, section 6.3.
    func framing(toHead isHead: Bool) -> BodyFraming {
        if isHead || status < 200 || status == 204 || status == 304 { return .none }
        if isChunked { return .chunked }
        if has(.contentLength) { return contentLength > 0 ? .length(contentLength) : .none }
        return .untilClose
    }
}
