import NIOCore

/// What a request asks of the cache: its head, kept by reference for as long as it waits, and what its fields say.
struct CacheQuestion: Sendable {
    /// Why a cache must not answer this request, nor keep its answer.
    enum Unfit: Sendable, Equatable {
        /// Neither GET nor HEAD.
        case method
        /// The request's `no-store`, a range, a precondition of a change, a body, an upgrade.
        case request
    }

    let isHead: Bool
    let unfit: Unfit?
    /// A credential is there. Where the gateway does not know whose it is, the service does: such an answer is nobody else's.
    let hasCredential: Bool
    let control: CacheControl
    /// `no-cache`, or `Pragma: no-cache` without `Cache-Control` (RFC 9111, section 5.4): only what the service has just said will do.
    let mustRevalidate: Bool
    private let head: ByteBuffer
    private let fieldsStart: Int
    private let targetPlace: Place
    private let ifNoneMatch: Place?
    private let ifModifiedSince: Int?

    init(_ request: RequestHead) {
        isHead = request.isMethod("HEAD")
        hasCredential = request.passesOn(.authorization) || request.passesOn(.apiKey)
        head = request.bytes
        fieldsStart = request.fieldsStart
        targetPlace = request.target
        var control = CacheControl()
        request.eachValue(.cacheControl) { control.read($0) }
        self.control = control
        let pragma = !request.has(.cacheControl) && request.withValue(.pragma) { $0.isWord("no-cache") } == true
        mustRevalidate = control.flags.contains(.noCache) || control.maxAge == 0 || pragma
        // Two lines of one name would have to be read together; such a request gets the whole answer.
        ifNoneMatch = request.isRepeated(.ifNoneMatch) ? nil : request.place(.ifNoneMatch)
        ifModifiedSince = request.withValue(.ifModifiedSince) { CacheDate.seconds($0) } ?? nil
        let isFitting =
            !control.flags.contains(.noStore) && !request.has(.range) && !request.has(.ifMatch) && !request.has(.upgrade)
            && !request.isChunked && request.contentLength <= 0
            && !request.lines(named: "if-unmodified-since") && !request.lines(named: "if-range")
        unfit = isHead || request.isMethod("GET") ? (isFitting ? nil : .request) : .method
    }

    /// Path and query.
    func withTarget<T>(_ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        try head.withUnsafeReadableBytes {
            try body(UnsafeRawBufferPointer(rebasing: $0[Int(targetPlace.start)..<Int(targetPlace.end)]))
        }
    }

    /// The values of all lines of a field, whose name is in lower case.
    func eachValue(of name: [UInt8], _ body: (UnsafeRawBufferPointer) -> Void) {
        head.withUnsafeReadableBytes { bytes in
            var lines = FieldLines(UnsafeRawBufferPointer(rebasing: bytes[fieldsStart...]))
            while let line = lines.next() {
                if line.name.isSame(as: name) { body(line.value) }
            }
        }
    }

    /// Whether the client has this very answer already (RFC 9110, section 13.2.2): then 304 is enough.
    func isAnswered(entityTag: UnsafeRawBufferPointer?, lastModified: Int?) -> Bool {
        if let ifNoneMatch {
            return head.withUnsafeReadableBytes { bytes in
                let condition = UnsafeRawBufferPointer(rebasing: bytes[Int(ifNoneMatch.start)..<Int(ifNoneMatch.end)])
                if condition.isWord("*") { return true }
                guard let wanted = entityTag.map(Self.opaque) else { return false }
                var tags = ListElements(condition)
                while let tag = tags.next() {
                    if Self.same(Self.opaque(tag), wanted) { return true }
                }
                return false
            }
        }
        guard let ifModifiedSince, let lastModified else { return false }
        return lastModified <= ifModifiedSince
    }

    /// Whether the request has a condition at all.
    var isConditional: Bool { ifNoneMatch != nil || ifModifiedSince != nil }

    /// A tag without its `W/`: the weak comparison.
    private static func opaque(_ tag: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        tag.starts(with: [UInt8(ascii: "W"), UInt8(ascii: "/")]) ? UnsafeRawBufferPointer(rebasing: tag.dropFirst(2)) : tag
    }

    private static func same(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        left.count == right.count && left.elementsEqual(right)
    }
}

/// The field lines of a head, `Name: value` and CRLF each; ends at the empty line or with the bytes.
struct FieldLines {
    struct Line {
        let name: UnsafeRawBufferPointer
        let value: UnsafeRawBufferPointer
        /// With its CRLF.
        let whole: UnsafeRawBufferPointer
    }

    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    init(_ bytes: UnsafeRawBufferPointer) { self.bytes = bytes }

    mutating func next() -> Line? {
        let start = position
        guard start < bytes.count, let end = bytes[start...].firstIndex(of: 10), end > start, bytes[end - 1] == 13, end - 1 > start,
            let colon = bytes[start..<end].firstIndex(of: UInt8(ascii: ":"))
        else { return nil }
        position = end + 1
        return Line(
            name: UnsafeRawBufferPointer(rebasing: bytes[start..<colon]),
            value: UnsafeRawBufferPointer(rebasing: bytes[(colon + 1)..<(end - 1)]).trimmed,
            whole: UnsafeRawBufferPointer(rebasing: bytes[start...end]))
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are the name, which is in lower case, whatever the case of their letters.
    func isSame(as name: [UInt8]) -> Bool {
        guard count == name.count else { return false }
        for index in 0..<count {
            let byte = self[index]
            guard byte == name[index] || (byte | 0x20 == name[index] && (0x41...0x5A).contains(byte)) else { return false }
        }
        return true
    }

    /// A copy with small letters.
    var lowercased: [UInt8] { map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 } }
}

extension MessageHead {
    /// The values of all lines of this kind, also of those that do not go on.
    func eachValue(_ kind: FieldKind, _ body: (UnsafeRawBufferPointer) -> Void) {
        guard has(kind) else { return }
        for index in 0..<count where lines[index].kind == kind { with(lines[index].value, body) }
    }

    /// Whether a field of this kind is there and goes on.
    func passesOn(_ kind: FieldKind) -> Bool { has(kind) && (0..<count).contains { lines[$0].kind == kind && lines[$0].goesOn } }

    /// Whether there is a line of this name, for names that have no kind of their own.
    func lines(named name: StaticString) -> Bool {
        for index in 0..<count where lines[index].name.count == name.utf8CodeUnitCount {
            if with(lines[index].name, { $0.isWord(name) }) { return true }
        }
        return false
    }
}
