import Contracts
import NIOCore

/// The content codings that the gateway makes (RFC 9110, section 8.4; RFC 7932; RFC 8878).
enum ContentCoding: UInt8, Sendable, CaseIterable {
    // In the order of preference where a client has none: the fastest for its size first.
    case zstd, brotli, gzip

    var name: StaticString {
        switch self {
        case .zstd: "zstd"
        case .brotli: "br"
        case .gzip: "gzip"
        }
    }
}

/// Which answers are compressed, and how.
///
/// An answer that holds a secret beside something a stranger can choose tells of the secret by its length when it is compressed
/// (the BREACH attack). So nothing that sets a cookie is, and nothing of auth's, whose answers hold tokens.
enum Compression {
    /// Below this the coding costs more than it saves.
    static let leastBytes = 1_000
    /// Beyond this a client that wants the bytes sooner is better served without.
    static let mostBytes = 33_554_432

    enum Decision: Sendable, Equatable {
        /// It goes as it is.
        case asIs
        /// It goes as it is, but another client would get it compressed: `Vary: Accept-Encoding` is due.
        case plain
        case encode(ContentCoding)
    }

    /// `acceptEncoding` is nil when the request has no such field. A 304 or the answer to a HEAD is told as a GET's would be:
    /// without a body there is nothing to encode, and `.plain` says that `Vary` is due.
    static func decide(_ content: Content, acceptEncoding: UnsafeRawBufferPointer?, hasBody: Bool) -> Decision {
        guard content.isWorthIt else { return .asIs }
        guard hasBody, let acceptEncoding, let coding = choose(acceptEncoding) else { return .plain }
        return .encode(coding)
    }

    /// What the answer's head says that matters here, gathered line by line.
    struct Content: Sendable {
        let status: Int
        let length: Int?
        private var isText = false
        private var isBarred = false

        init(status: Int, length: Int?) {
            self.status = status
            self.length = length
        }

        init(_ head: ResponseHead) {
            self.init(status: head.status, length: head.has(.contentLength) ? head.contentLength : nil)
            for index in 0..<head.count {
                let line = head.lines[index]
                switch line.kind {
                case .contentType, .contentEncoding, .setCookie, .cacheControl: head.with(line.value) { note(line.kind, $0) }
                default: break
                }
            }
        }

        mutating func note(_ kind: FieldKind, _ value: UnsafeRawBufferPointer) {
            switch kind {
            case .contentType: isText = Compression.isText(value)
            // `Set-Cookie`: see BREACH above.
            case .contentEncoding, .setCookie: isBarred = true
            case .cacheControl: if CacheControl(value).flags.contains(.noTransform) { isBarred = true }
            default: break
            }
        }

        var isWorthIt: Bool {
            guard isText, !isBarred else { return false }
            switch status {
            // Part of a body, or none: 206, 204, 304 and those that only go on.
            case ..<200, 204, 205, 206, 304: return false
            default: break
            }
            guard let length else { return true }
            return (leastBytes...mostBytes).contains(length)
        }
    }

    /// Whether answers of this route may hold secrets beside what a stranger can choose. The route is asked, and not the path, which
    /// can be written in many ways.
    static func mayHoldSecrets(_ route: Route) -> Bool { route.service == .auth }

    /// Types that shrink. Server-sent events do not wait for a block to be full, so they are left alone.
    static func isText(_ contentType: UnsafeRawBufferPointer) -> Bool {
        let end = contentType.firstIndex(of: UInt8(ascii: ";")) ?? contentType.endIndex
        let type = UnsafeRawBufferPointer(rebasing: contentType[..<end]).trimmed
        if type.isWord("application/json") || type.isWord("text/html") { return true }
        if type.hasWordPrefix("text/") { return !type.isWord("text/event-stream") }
        if type.hasWordPrefix("application/") {
            for word in texts where type.isWord(word) { return true }
        }
        return type.isWord("image/svg+xml") || type.hasWordSuffix("+json") || type.hasWordSuffix("+xml")
    }

    private static let texts: [StaticString] = [
        "application/javascript", "application/xml", "application/x-ndjson", "application/jwk-set+json", "application/yaml",
        "application/wasm", "application/x-javascript", "application/graphql",
    ]

    // MARK: Accept-Encoding

    /// The coding that the client likes best, ours where it likes several as much; nil for none (RFC 9110, section 12.5.3). When it
    /// forbids the plain body too and knows no coding of ours, it gets the plain one all the same: the section allows it.
    static func choose(_ acceptEncoding: UnsafeRawBufferPointer) -> ContentCoding? {
        var weights = (zstd: -1, brotli: -1, gzip: -1, identity: -1, others: -1)
        var rest = ListElements(acceptEncoding)
        while let element = rest.next() {
            let semicolon = element.firstIndex(of: UInt8(ascii: ";"))
            let name = UnsafeRawBufferPointer(rebasing: element[..<(semicolon ?? element.endIndex)]).trimmed
            let weight = semicolon.map { Self.weight(UnsafeRawBufferPointer(rebasing: element[($0 + 1)...])) } ?? 1_000
            switch name.count {
            case 1: if name.isWord("*") { weights.others = weight }
            case 2: if name.isWord("br") { weights.brotli = weight }
            case 4:
                if name.isWord("gzip") { weights.gzip = weight }
                if name.isWord("zstd") { weights.zstd = weight }
            case 6: if name.isWord("x-gzip") { weights.gzip = weight }
            case 8: if name.isWord("identity") { weights.identity = weight }
            default: break
            }
        }
        var best: (coding: ContentCoding, weight: Int)?
        for (coding, said) in [(ContentCoding.zstd, weights.zstd), (.brotli, weights.brotli), (.gzip, weights.gzip)] {
            let weight = said >= 0 ? said : weights.others
            if weight > max(best?.weight ?? 0, 0) { best = (coding, weight) }
        }
        // A plain body that is liked better, by its name.
        if let best, weights.identity > best.weight { return nil }
        return best?.coding
    }

    /// `q=0.5` as thousandths. A weight that cannot be read is 0: not wanted.
    private static func weight(_ parameters: UnsafeRawBufferPointer) -> Int {
        let text = parameters.trimmed
        guard text.hasWordPrefix("q=") else { return text.isEmpty ? 1_000 : 0 }
        let digits = UnsafeRawBufferPointer(rebasing: text.dropFirst(2)).trimmed
        guard let first = digits.first, first == UInt8(ascii: "0") || first == UInt8(ascii: "1"), digits.count <= 5 else { return 0 }
        var weight = Int(first - 48) * 1_000
        guard digits.count > 1 else { return weight }
        guard digits[1] == UInt8(ascii: ".") else { return 0 }
        var unit = 100
        for byte in digits.dropFirst(2) {
            let digit = byte &- 48
            guard digit < 10 else { return 0 }
            weight += Int(digit) * unit
            unit /= 10
        }
        return weight <= 1_000 ? weight : 0
    }

    // MARK: What changes in the head

    static let vary: StaticString = "Vary: Accept-Encoding\r\n"

    /// Fields that tell of the body as it was, and are left out of the head of an encoded one: its length, its ranges, its digests.
    /// The entity tag is not left out but weakened.
    static func dropsWhenEncoded(_ kind: FieldKind, _ name: UnsafeRawBufferPointer) -> Bool {
        kind == .contentLength || name.isWord("accept-ranges") || name.isWord("content-md5") || name.isWord("digest")
            || name.isWord("content-digest") || name.isWord("repr-digest")
    }

    /// Writes the fields that an encoded answer has, but for those that go on.
    static func write(_ coding: ContentCoding, to out: inout ByteBuffer) {
        switch coding {
        case .zstd: out.writeStaticString("Content-Encoding: zstd\r\nVary: Accept-Encoding\r\n")
        case .brotli: out.writeStaticString("Content-Encoding: br\r\nVary: Accept-Encoding\r\n")
        case .gzip: out.writeStaticString("Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n")
        }
    }

    /// Two bodies of one strong tag must be the same bytes (RFC 9110, section 8.8.3): an encoded one is only worth as much.
    static func writeWeak(_ entityTag: UnsafeRawBufferPointer, to out: inout ByteBuffer) {
        out.writeStaticString("ETag: ")
        if !entityTag.starts(with: [UInt8(ascii: "W"), UInt8(ascii: "/")]) { out.writeStaticString("W/") }
        out.writeBytes(entityTag)
        out.writeStaticString("\r\n")
    }

    /// Writes kept lines with what encoding changes in them: those left out, the tag weakened, the coding named.
    static func writeEncoded(_ lines: ByteBuffer, _ coding: ContentCoding, to out: inout ByteBuffer) {
        lines.withUnsafeReadableBytes { bytes in
            var rest = FieldLines(bytes)
            while let line = rest.next() {
                guard let base = line.name.baseAddress, !line.name.isEmpty else { continue }
                let kind = FieldNames.response(base.assumingMemoryBound(to: UInt8.self), line.name.count)
                if kind == .etag {
                    writeWeak(line.value, to: &out)
                } else if !dropsWhenEncoded(kind, line.name) {
                    out.writeBytes(line.whole)
                }
            }
        }
        write(coding, to: &out)
    }
}

extension UnsafeRawBufferPointer {
    func hasWordSuffix(_ word: StaticString) -> Bool {
        count >= word.utf8CodeUnitCount && UnsafeRawBufferPointer(rebasing: suffix(word.utf8CodeUnitCount)).isWord(word)
    }
}
