import NIOCore
import Synchronization

/// An answer as it is kept: status, the field lines that went on to the client, and the body.
final class StoredAnswer: Sendable {
    /// What an answer costs beside its bytes: the object, its place in the tables.
    static let overhead = 512

    let status: Int
    /// `Name: value` and CRLF each, without those of framing, `Age` and `Date`.
    let lines: ByteBuffer
    /// The same for a 304: without those that tell of a body.
    let unchangedLines: ByteBuffer
    let body: ByteBuffer
    let freshness: CacheFreshness
    /// When its age was `freshness.initialAge`, by the clock that nobody sets.
    let receivedAt: UInt64
    /// As in the field.
    let entityTag: [UInt8]?
    let lastModifiedText: [UInt8]?
    let lastModified: Int?
    /// Whether another coding of the body would be smaller, as `Compression` judges.
    let isCompressible: Bool
    private let encodings = Mutex<[ContentCoding: ByteBuffer]>([:])

    init(status: Int, lines: ByteBuffer, body: ByteBuffer, freshness: CacheFreshness, receivedAt: UInt64) {
        self.status = status
        self.lines = lines
        self.body = body
        self.freshness = freshness
        self.receivedAt = receivedAt
        var unchanged = ByteBuffer()
        var entityTag: [UInt8]?
        var lastModified: [UInt8]?
        var content = Compression.Content(status: status, length: body.readableBytes)
        lines.withUnsafeReadableBytes { bytes in
            var rest = FieldLines(bytes)
            while let line = rest.next() {
                guard let base = line.name.baseAddress, !line.name.isEmpty else { continue }
                let kind = FieldNames.response(base.assumingMemoryBound(to: UInt8.self), line.name.count)
                switch kind {
                case .etag: entityTag = Array(line.value)
                case .lastModified: lastModified = Array(line.value)
                default: break
                }
                content.note(kind, line.value)
                if !Self.tellsOfBody(kind, line.name) { unchanged.writeBytes(line.whole) }
            }
        }
        // The 304 tells of what varies as the whole answer does.
        if content.isWorthIt { unchanged.writeStaticString(Compression.vary) }
        unchangedLines = unchanged
        self.entityTag = entityTag
        lastModifiedText = lastModified
        self.lastModified = lastModified.flatMap { $0.withUnsafeBytes { CacheDate.seconds($0) } }
        isCompressible = content.isWorthIt
    }

    /// What a 304 has no use for (RFC 9110, section 15.4.5).
    private static func tellsOfBody(_ kind: FieldKind, _ name: UnsafeRawBufferPointer) -> Bool {
        switch kind {
        case .contentType, .contentEncoding, .contentDisposition, .lastModified: true
        default: name.hasWordPrefix("content-language") || name.isWord("accept-ranges")
        }
    }

    /// Bytes that it takes up. What may be kept in other codings as well counts for them from the start.
    var cost: Int {
        lines.readableBytes + unchangedLines.readableBytes + body.readableBytes * (isCompressible ? 2 : 1) + Self.overhead
    }

    /// Seconds since the service made it (RFC 9111, section 4.2.3).
    func age(_ now: UInt64) -> Int {
        freshness.initialAge + (now > receivedAt ? Int((now - receivedAt) / Monotonic.second) : 0)
    }

    /// Whether it can be given without asking, for a request that says this.
    func isFresh(_ now: UInt64, _ control: CacheControl = CacheControl()) -> Bool {
        let age = age(now)
        if let most = control.maxAge, age > most { return false }
        return freshness.lifetime > age + (control.minFresh ?? 0)
    }

    /// Whether a stale one may be given while somebody asks anew.
    func mayBeUsedWhileRevalidating(_ now: UInt64, _ control: CacheControl = CacheControl()) -> Bool {
        let age = age(now)
        if let most = control.maxAge, age > most { return false }
        return control.minFresh == nil && age < freshness.lifetime + freshness.staleWhileRevalidate
    }

    /// Whether a stale one may be given because the service fails.
    func mayBeUsedForError(_ now: UInt64) -> Bool { age(now) < freshness.lifetime + freshness.staleIfError }

    /// Whether it is of any use to anybody from now on.
    func isWorthKeeping(_ now: UInt64) -> Bool {
        let longest = max(freshness.staleWhileRevalidate, freshness.staleIfError)
        return entityTag != nil || lastModified != nil || age(now) < freshness.lifetime + longest
    }

    /// The lines by which the service is asked whether it still is what it was.
    var validators: [UInt8] {
        var lines: [UInt8] = []
        if let entityTag { lines += Array("If-None-Match: ".utf8) + entityTag + [13, 10] }
        if let lastModifiedText { lines += Array("If-Modified-Since: ".utf8) + lastModifiedText + [13, 10] }
        return lines
    }

    /// The body in a coding, made at the first wish for it; nil when the coding does not make it smaller.
    func body(in coding: ContentCoding) -> ByteBuffer? {
        guard isCompressible else { return nil }
        if let known = encodings.withLock({ $0[coding] }) { return known.readableBytes == 0 ? nil : known }
        let made = Compressor.whole(body, coding)
        let isSmaller = made.map { $0.readableBytes < body.readableBytes } ?? false
        encodings.withLock { $0[coding] = isSmaller ? made : ByteBuffer() }
        return isSmaller ? made : nil
    }

    /// The head of this answer with the fields of a 304 instead of those of the same names (RFC 9111, section 4.3.4).
    func freshened(by head: ResponseHead) -> ResponseHead? {
        var merged = ByteBuffer(string: "HTTP/1.1 \(status) OK\r\n")
        var names: [[UInt8]] = []
        for index in 0..<head.count {
            let line = head.lines[index]
            switch line.kind {
            case .contentEncoding, .contentType, .setCookie: continue
            case .age, .date: break
            default: if !line.goesOn { continue }
            }
            names.append(head.with(line.name) { $0.lowercased })
            head.with(Place(Int(line.name.start), Int(line.end))) { _ = merged.writeBytes($0) }
        }
        lines.withUnsafeReadableBytes { bytes in
            var rest = FieldLines(bytes)
            while let line = rest.next() {
                if !names.contains(where: { line.name.isSame(as: $0) }) { merged.writeBytes(line.whole) }
            }
        }
        merged.writeStaticString("\r\n")
        let whole = ResponseHead(limits: .standard)
        guard (try? whole.parse(&merged)) == true else { return nil }
        return whole
    }
}

extension ResponseHead {
    /// The lines that are kept with an answer.
    func keptLines() -> ByteBuffer {
        var kept = ByteBuffer()
        for index in 0..<count where lines[index].goesOn {
            let line = lines[index]
            if line.kind == .age || line.kind == .setCookie { continue }
            with(Place(Int(line.name.start), Int(line.end))) { _ = kept.writeBytes($0) }
        }
        return kept
    }
}

/// A kept answer for one request.
struct CacheHit: Sendable {
    let answer: StoredAnswer
    let age: Int
    /// The client has it already: 304 with `answer.unchangedLines`.
    let isUnchanged: Bool
    let status: CacheStatus
}
