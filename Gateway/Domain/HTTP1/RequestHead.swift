import Glibc

/// The head of a request.
final class RequestHead: MessageHead {
    private(set) var method = Place()
    /// Path and query as the client sent them, without scheme and authority.
    private(set) var target = Place()
    private(set) var path = Place()
    /// Without the question mark.
    private(set) var query = Place()
    private(set) var isHTTP10 = false
    /// `*`, of OPTIONS.
    private(set) var isAsterisk = false
    private var authority = Place()

    override func reset() {
        super.reset()
        method = Place()
        target = Place()
        path = Place()
        query = Place()
        authority = Place()
        isHTTP10 = false
        isAsterisk = false
    }

    var framing: BodyFraming { isChunked ? .chunked : contentLength > 0 ? .length(contentLength) : .none }
    var keepsAlive: Bool { isHTTP10 ? saysKeepAlive && !saysClose : !saysClose }
    var expectsContinue: Bool { has(.expect) && !isHTTP10 }
    /// Host and port as the client named them.
    var host: Place? { authority.isEmpty ? place(.host) : authority }

    override func kind(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind { FieldNames.request(name, count) }

    /// `method SP target SP HTTP/1.1` (RFC 9112, section 3), with one blank each.
    override func firstLine(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(HeadRefusal) {
        var at = start
        while at < end, ByteClass.isToken(bytes[at]) { at &+= 1 }
        guard at > start, at - start <= 24, at < end, bytes[at] == 0x20 else { throw .malformedLine }
        method = Place(start, at)
        let targetStart = at + 1
        at = targetStart
        while at < end, ByteClass.isTarget(bytes[at]) { at &+= 1 }
        guard at > targetStart else { throw .malformedLine }
        guard at < end, bytes[at] == 0x20 else { throw .malformedTarget }
        guard at - targetStart <= limits.target else { throw .targetTooLong }
        try version(bytes + at + 1, end - at - 1)
        try split(bytes, targetStart, at)
    }

    private func version(_ bytes: UnsafePointer<UInt8>, _ count: Int) throws(HeadRefusal) {
        guard count == 8, memcmp(bytes, "HTTP/", 5) == 0, bytes[6] == UInt8(ascii: "."), bytes[5] &- 48 < 10, bytes[7] &- 48 < 10 else {
            throw .malformedLine
        }
        guard bytes[5] == UInt8(ascii: "1") else { throw .unsupportedVersion }
        isHTTP10 = bytes[7] == UInt8(ascii: "0")
    }

    /// Origin form, absolute form, or the asterisk (RFC 9112, section 3.2). CONNECT's form is refused with its method.
    private func split(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(HeadRefusal) {
        var pathStart = start
        if bytes[start] != UInt8(ascii: "/") {
            if end - start == 1, bytes[start] == UInt8(ascii: "*") {
                isAsterisk = true
            } else {
                pathStart = try absolute(bytes, start, end)
            }
        }
        target = Place(pathStart, end)
        if let mark = memchr(bytes + pathStart, 63, end - pathStart) {
            let at = bytes.distance(to: mark.assumingMemoryBound(to: UInt8.self))
            path = Place(pathStart, at)
            query = Place(at + 1, end)
        } else {
            path = Place(pathStart, end)
            query = Place(end, end)
        }
    }

    private func absolute(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(HeadRefusal) -> Int {
        let all = UnsafeRawBufferPointer(start: bytes + start, count: end - start)
        let scheme = all.hasWordPrefix("http://") ? 7 : all.hasWordPrefix("https://") ? 8 : 0
        guard scheme > 0 else { throw .malformedTarget }
        var at = start + scheme
        while at < end, bytes[at] != UInt8(ascii: "/"), bytes[at] != UInt8(ascii: "?") { at &+= 1 }
        guard at < end, bytes[at] == UInt8(ascii: "/") else { throw .malformedTarget }
        authority = Place(start + scheme, at)
        guard Self.isHost(bytes + start + scheme, at - start - scheme) else { throw .malformedHost }
        return at
    }

    override func finish(_ bytes: UnsafePointer<UInt8>) throws(HeadRefusal) {
        if let host = place(.host) {
            guard Self.isHost(bytes + Int(host.start), host.count) else { throw .malformedHost }
            // Two names for the host: whoever believes the other one is fooled.
            if !authority.isEmpty,
                host.count != authority.count || memcmp(bytes + Int(host.start), bytes + Int(authority.start), host.count) != 0
            {
                throw .malformedHost
            }
        } else if !isHTTP10 {
            throw .malformedHost
        }
        if isChunked, has(.contentLength) || isHTTP10 { throw .ambiguousLength }
        if let expected = place(.expect),
            !UnsafeRawBufferPointer(start: bytes + Int(expected.start), count: expected.count).isWord("100-continue")
        {
            throw .unsupportedExpectation
        }
        dropNamedFields(bytes)
    }

    /// A name or an address and perhaps a port; nobody's name and password (RFC 9110, section 4.2.4).
    private static func isHost(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        guard (1...300).contains(count) else { return false }
        var nameEnd = 0
        if bytes[0] == UInt8(ascii: "[") {
            // An IPv6 address: colons stand between the brackets alone.
            while nameEnd < count, bytes[nameEnd] != UInt8(ascii: "]") { nameEnd += 1 }
            guard nameEnd > 2, nameEnd < count else { return false }
            for index in 1..<nameEnd where !ByteClass.isHost(bytes[index]) && bytes[index] != UInt8(ascii: ":") { return false }
            nameEnd += 1
        } else {
            while nameEnd < count, ByteClass.isHost(bytes[nameEnd]) { nameEnd += 1 }
            guard nameEnd > 0 else { return false }
        }
        if nameEnd == count { return true }
        guard bytes[nameEnd] == UInt8(ascii: ":"), count - nameEnd <= 6 else { return false }
        for index in (nameEnd + 1)..<count where bytes[index] &- 48 > 9 { return false }
        return true
    }

    /// Of a method that asks and changes nothing (RFC 9110, section 9.2.1).
    var isSafe: Bool { isMethod("GET") || isMethod("HEAD") || isMethod("OPTIONS") || isMethod("TRACE") }

    func isMethod(_ name: StaticString) -> Bool {
        guard method.count == name.utf8CodeUnitCount else { return false }
        return with(method) { memcmp($0.baseAddress!, name.utf8Start, $0.count) == 0 }
    }
}
