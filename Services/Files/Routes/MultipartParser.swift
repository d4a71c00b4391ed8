import Foundation

/// Reads `multipart/form-data` (RFC 7578) as it arrives, strictly, holding back no more than a delimiter or one part's head.
///
/// Refused on purpose, because no client of ours sends them and lenient readers disagree on them: text before the first or after
/// the last delimiter, bare line feeds and folded lines in a head, white space after a delimiter, a missing last delimiter.
struct MultipartParser {
    enum Event: Equatable {
        case part(PartHead)
        case body(Data)
        case endOfPart
    }

    /// RFC 2046, section 5.1.1.
    static let maximumBoundaryBytes = 70
    static let maximumHeadBytes = 8192
    static let maximumHeadLines = 16
    static let maximumParts = 16

    private enum State {
        /// Before the first delimiter, at the very beginning.
        case start
        case body
        /// Just after a delimiter: a line end goes on, two hyphens end it all.
        case afterDelimiter
        case head
        case end
    }

    /// CR LF, two hyphens, the boundary.
    private let delimiter: [UInt8]
    private var buffer: [UInt8] = []
    private var state = State.start
    private var parts = 0

    /// Nil for a boundary that RFC 2046 does not allow.
    init?(boundary: String) {
        let extra = "'()+_,-./:=? ".utf8
        let good = boundary.utf8.allSatisfy { byte in
            (48...57).contains(byte) || (65...90).contains(byte) || (97...122).contains(byte) || extra.contains(byte)
        }
        guard (1...Self.maximumBoundaryBytes).contains(boundary.utf8.count), good, boundary.last != " " else { return nil }
        delimiter = Array("\r\n--\(boundary)".utf8)
    }

    /// The boundary of a `multipart/form-data` content type; nil when it is another type or has none.
    static func boundary(of contentType: String) -> String? {
        guard contentType.utf8.count <= 512 else { return nil }
        var reader = ParameterReader(contentType)
        guard reader.token(alsoSlash: true)?.lowercased() == "multipart/form-data" else { return nil }
        var boundary: String?
        while let parameter = reader.next() {
            guard let (name, value) = parameter else { return nil }
            if name == "boundary" {
                guard boundary == nil else { return nil }
                boundary = value
            }
        }
        return boundary
    }

    /// Whether the last delimiter has been read.
    var isComplete: Bool { state == .end }

    /// Takes the next bytes and tells what they bring.
    mutating func feed(_ bytes: Data) throws(MultipartFailure) -> [Event] {
        buffer.append(contentsOf: bytes)
        var events: [Event] = []
        while try step(&events) {}
        return events
    }

    /// One step; false when more bytes are needed.
    private mutating func step(_ events: inout [Event]) throws(MultipartFailure) -> Bool {
        switch state {
        case .start: try readStart()
        case .body: readBody(&events)
        case .afterDelimiter: try readAfterDelimiter()
        case .head: try readHead(&events)
        case .end: try readEnd()
        }
    }

    private mutating func readStart() throws(MultipartFailure) -> Bool {
        // The first delimiter has no line end before it; some clients send one.
        let skipped = buffer.starts(with: [13, 10]) ? 2 : 0
        let expected = delimiter[2...]
        let seen = buffer[skipped...].prefix(expected.count)
        guard expected.starts(with: seen) else { throw .malformed }
        guard seen.count == expected.count else { return false }
        buffer.removeFirst(skipped + expected.count)
        state = .afterDelimiter
        return true
    }

    private mutating func readAfterDelimiter() throws(MultipartFailure) -> Bool {
        guard buffer.count >= 2 else { return false }
        switch (buffer[0], buffer[1]) {
        case (13, 10):
            parts += 1
            guard parts <= Self.maximumParts else { throw .tooManyParts }
            state = .head
        case (45, 45): state = .end
        default: throw .malformed
        }
        buffer.removeFirst(2)
        return true
    }

    private mutating func readHead(_ events: inout [Event]) throws(MultipartFailure) -> Bool {
        guard let end = Self.firstIndex(of: [13, 10, 13, 10], in: buffer, limit: Self.maximumHeadBytes) else {
            if buffer.count >= Self.maximumHeadBytes { throw .headTooLarge }
            return false
        }
        events.append(.part(try PartHead(buffer[..<end])))
        buffer.removeFirst(end + 4)
        state = .body
        return true
    }

    private mutating func readBody(_ events: inout [Event]) -> Bool {
        let (found, safe) = scan()
        if safe > 0 { events.append(.body(Data(buffer[..<safe]))) }
        guard found else {
            buffer.removeFirst(safe)
            return false
        }
        buffer.removeFirst(safe + delimiter.count)
        events.append(.endOfPart)
        state = .afterDelimiter
        return true
    }

    private mutating func readEnd() throws(MultipartFailure) -> Bool {
        // One line end may follow; anything else would be read differently by somebody.
        guard [13, 10].starts(with: buffer) else { throw .malformed }
        return false
    }

    /// Where the delimiter begins, or how many bytes surely do not belong to one that has not wholly arrived.
    private func scan() -> (found: Bool, safe: Int) {
        buffer.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return (false, 0) }
            var from = 0
            while from < bytes.count, let hit = memchr(base + from, 13, bytes.count - from) {
                let at = base.distance(to: UnsafeRawPointer(hit))
                let length = min(delimiter.count, bytes.count - at)
                let matches = delimiter.withUnsafeBytes { wanted in
                    wanted.baseAddress.map { memcmp(base + at, $0, length) == 0 } ?? false
                }
                if matches { return (length == delimiter.count, at) }
                from = at + 1
            }
            return (false, bytes.count)
        }
    }

    private static func firstIndex(of wanted: [UInt8], in bytes: [UInt8], limit: Int) -> Int? {
        let end = min(bytes.count, limit)
        guard end >= wanted.count else { return nil }
        return (0...end - wanted.count).first { bytes[$0..<$0 + wanted.count].elementsEqual(wanted) }
    }
}

/// The head of one part.
struct PartHead: Equatable {
    /// The field.
    let name: String
    /// Nil for a field that is not a file.
    let fileName: String?
    let contentType: String?

    init(name: String, fileName: String?, contentType: String?) {
        self.name = name
        self.fileName = fileName
        self.contentType = contentType
    }

    /// Header lines joined by CR LF, without the empty line.
    init(_ bytes: ArraySlice<UInt8>) throws(MultipartFailure) {
        guard let text = String(validating: bytes, as: UTF8.self) else { throw .malformed }
        let lines = text.components(separatedBy: "\r\n")
        guard lines.count <= MultipartParser.maximumHeadLines else { throw .headTooLarge }
        var fields: [String: String] = [:]
        for line in lines {
            guard let colon = line.firstIndex(of: ":"), HTTPToken.isToken(line[..<colon]) else { throw .malformed }
            let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
            guard !value.unicodeScalars.contains(where: { $0.value < 32 && $0 != "\t" || $0.value == 127 }) else { throw .malformed }
            guard fields.updateValue(value, forKey: line[..<colon].lowercased()) == nil else { throw .malformed }
        }
        guard let text = fields["content-disposition"], let disposition = ContentDisposition(text, inForm: true),
            disposition.type == "form-data", let name = disposition.name
        else { throw .malformed }
        self.init(name: name, fileName: disposition.fileName, contentType: fields["content-type"])
    }
}
