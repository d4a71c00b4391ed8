import NIOCore

/// The `Cache-Status` field (RFC 9211): what the cache did with a request, for those who wonder.
enum CacheStatus: Sendable, Equatable {
    /// Why a request went on to the service.
    enum Forward: Sendable, Equatable {
        /// The request or its route asks for nothing of the cache.
        case bypass
        /// Not GET, not HEAD.
        case method
        /// Nothing is kept under this path.
        case missing
        /// Something is, but for other values of what it varies by.
        case varies
        /// What is kept is too old.
        case stale
        /// The request asked that the service be asked.
        case request
    }

    /// Seconds for which it remains fresh; negative for a stale one.
    case hit(ttl: Int)
    /// Somebody else's question to the service brought it.
    case collapsed(ttl: Int)
    case forwarded(Forward, stored: Bool)
    /// The service said that what is kept still is so.
    case revalidated

    /// Writes the whole line.
    func write(to out: inout ByteBuffer) {
        switch self {
        case .hit(let ttl):
            out.writeStaticString("Cache-Status: trionex; hit; ttl=")
            out.writeNumber(ttl)
        case .collapsed(let ttl):
            out.writeStaticString("Cache-Status: trionex; hit; collapsed; ttl=")
            out.writeNumber(ttl)
        case .revalidated: out.writeStaticString("Cache-Status: trionex; fwd=stale; fwd-status=304; stored")
        case .forwarded(let reason, let stored):
            switch reason {
            case .bypass: out.writeStaticString("Cache-Status: trionex; fwd=bypass")
            case .method: out.writeStaticString("Cache-Status: trionex; fwd=method")
            case .missing: out.writeStaticString("Cache-Status: trionex; fwd=uri-miss")
            case .varies: out.writeStaticString("Cache-Status: trionex; fwd=vary-miss")
            case .stale: out.writeStaticString("Cache-Status: trionex; fwd=stale")
            case .request: out.writeStaticString("Cache-Status: trionex; fwd=request")
            }
            if stored { out.writeStaticString("; stored") }
        }
        out.writeStaticString("\r\n")
    }

    /// For logs and metrics, bounded.
    var word: StaticString {
        switch self {
        case .hit(let ttl): ttl >= 0 ? "hit" : "stale"
        case .collapsed: "hit"
        case .revalidated: "revalidated"
        case .forwarded(_, true): "miss"
        case .forwarded(.missing, _), .forwarded(.varies, _), .forwarded(.stale, _): "miss"
        case .forwarded: "bypass"
        }
    }
}

extension ByteBuffer {
    /// Decimal digits, without making a text of them.
    mutating func writeNumber(_ number: Int) {
        if number < 0 { writeInteger(UInt8(ascii: "-")) }
        var rest = number.magnitude
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 20) { digits in
            var start = 20
            repeat {
                start -= 1
                digits[start] = UInt8(48 + rest % 10)
                rest /= 10
            } while rest > 0
            writeBytes(UnsafeRawBufferPointer(UnsafeBufferPointer(rebasing: digits[start..<20])))
        }
    }
}
