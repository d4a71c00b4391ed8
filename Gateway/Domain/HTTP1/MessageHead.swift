import Glibc
import NIOCore

/// A place in the bytes of a head.
struct Place: Sendable, Equatable {
    var start: Int32 = 0
    var end: Int32 = 0

    var count: Int { Int(end &- start) }
    var isEmpty: Bool { end == start }

    @inline(__always) init(_ start: Int, _ end: Int) {
        self.start = Int32(truncatingIfNeeded: start)
        self.end = Int32(truncatingIfNeeded: end)
    }
    init() {}
}

/// One field line of a head.
struct FieldLine {
    var name: Place
    var value: Place
    /// Behind its CRLF.
    var end: Int32
    var kind: FieldKind
    /// Whether it goes on to the other side.
    var goesOn: Bool
}

/// The first line and the fields of a message as places in its bytes: nothing is copied, nothing is made into text.
///
/// The object and its table are used again for the next message. `parse` may be called with ever more bytes of the same head;
/// it goes on at the line where it stopped.
class MessageHead {
    /// The bytes of the head, once it is whole.
    final var bytes = ByteBuffer()
    final let lines: UnsafeMutablePointer<FieldLine>
    final private(set) var count = 0
    /// The index of the last field of each kind, or -1.
    private final let positions: UnsafeMutablePointer<Int16>
    private final let capacity: Int
    private final var position = 0
    private final var firstLineEnd = 0
    final let limits: HeadLimits

    /// Where the field lines begin.
    final var fieldsStart: Int { firstLineEnd }
    final private(set) var contentLength = -1
    final private(set) var isChunked = false
    final private(set) var saysClose = false
    final private(set) var saysKeepAlive = false
    final private(set) var saysUpgrade = false
    /// Whether `Connection` names other fields.
    private final var namesFields = false
    /// What `Connection` has named so far.
    private final var options = 0

    init(limits: HeadLimits) {
        self.limits = limits
        capacity = limits.fields
        lines = .allocate(capacity: limits.fields)
        positions = .allocate(capacity: FieldKind.count)
        positions.initialize(repeating: -1, count: FieldKind.count)
    }

    deinit {
        lines.deallocate()
        positions.deallocate()
    }

    /// Makes it ready for another message.
    func reset() {
        bytes = ByteBuffer()
        count = 0
        position = 0
        firstLineEnd = 0
        contentLength = -1
        isChunked = false
        saysClose = false
        saysKeepAlive = false
        saysUpgrade = false
        namesFields = false
        options = 0
        positions.update(repeating: -1, count: FieldKind.count)
    }

    /// Takes the head off the front of the buffer once it is whole; answers whether it is. Throws `HeadRefusal`.
    final func parse(_ buffer: inout ByteBuffer) throws(HeadRefusal) -> Bool {
        let outcome = buffer.withUnsafeReadableBytes { raw -> Result<Int?, HeadRefusal> in
            guard let base = raw.baseAddress else { return .success(nil) }
            return scan(base.assumingMemoryBound(to: UInt8.self), raw.count)
        }
        switch outcome {
        case .failure(let refusal): throw refusal
        case .success(nil): return false
        case .success(let length?):
            // The length is that of bytes which are there.
            bytes = buffer.readSlice(length: length) ?? ByteBuffer()
            return true
        }
    }

    /// The length of the head, or nil while it is not whole.
    private final func scan(_ bytes: UnsafePointer<UInt8>, _ available: Int) -> Result<Int?, HeadRefusal> {
        let end = min(available, limits.bytes)
        do throws(HeadRefusal) {
            while true {
                guard let found = memchr(bytes + position, 10, end - position) else {
                    // However the bytes are split, the same is refused for the same reason.
                    if firstLineEnd == 0, end > limits.firstLine { throw HeadRefusal.targetTooLong }
                    if available >= limits.bytes { throw HeadRefusal.headTooLarge }
                    return .success(nil)
                }
                let lineEnd = bytes.distance(to: found.assumingMemoryBound(to: UInt8.self))
                if firstLineEnd == 0, lineEnd > limits.firstLine { throw HeadRefusal.targetTooLong }
                guard lineEnd > position, bytes[lineEnd - 1] == 13 else { throw HeadRefusal.malformedLine }
                if firstLineEnd == 0 {
                    try firstLine(bytes, position, lineEnd - 1)
                    firstLineEnd = lineEnd + 1
                } else if lineEnd - 1 == position {
                    try finish(bytes)
                    return .success(lineEnd + 1)
                } else {
                    try field(bytes, position, lineEnd - 1)
                }
                position = lineEnd + 1
            }
        } catch {
            return .failure(error)
        }
    }

    /// `start ..< end` without its CRLF.
    func firstLine(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(HeadRefusal) { throw .malformedLine }

    func kind(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind { .other }

    /// What can be said only of the whole.
    func finish(_ bytes: UnsafePointer<UInt8>) throws(HeadRefusal) {}

    private final func field(_ bytes: UnsafePointer<UInt8>, _ start: Int, _ end: Int) throws(HeadRefusal) {
        var colon = start
        while colon < end, ByteClass.isToken(bytes[colon]) { colon &+= 1 }
        // A blank before the colon, or a line folded into the one before, is read differently by different programs.
        guard colon > start, colon < end, bytes[colon] == UInt8(ascii: ":") else { throw .malformedField }
        var valueStart = colon + 1, valueEnd = end
        while valueStart < valueEnd, bytes[valueStart] == 0x20 || bytes[valueStart] == 0x09 { valueStart &+= 1 }
        while valueEnd > valueStart, bytes[valueEnd - 1] == 0x20 || bytes[valueEnd - 1] == 0x09 { valueEnd &-= 1 }
        guard ByteClass.isValue(bytes + valueStart, valueEnd - valueStart) else { throw .malformedField }
        guard count < capacity else { throw .tooManyFields }
        var kind = kind(bytes + start, colon - start)
        if kind == .other, memchr(bytes + start, 0x5F, colon - start) != nil, isDisguised(bytes + start, colon - start) { kind = .dropped }
        if kind != .other, kind != .dropped {
            if positions[Int(kind.rawValue)] >= 0, let refusal = kind.refusalOfSecond { throw refusal }
            positions[Int(kind.rawValue)] = Int16(truncatingIfNeeded: count)
        }
        var goesOn = true
        switch kind {
        case .dropped, .upgrade, .te, .expect, .forwardedFor, .forwardedProto, .requestID, .traceparent, .host, .date: goesOn = false
        case .connection:
            goesOn = false
            connection(UnsafeRawBufferPointer(start: bytes + valueStart, count: valueEnd - valueStart))
            guard options <= limits.options else { throw .tooManyOptions }
        case .contentLength:
            goesOn = false
            contentLength = try Self.length(bytes + valueStart, valueEnd - valueStart)
        case .transferEncoding:
            goesOn = false
            // Only this one coding, only once: anything else is the stuff that requests are smuggled in.
            guard UnsafeRawBufferPointer(start: bytes + valueStart, count: valueEnd - valueStart).isWord("chunked") else {
                throw .unsupportedTransferCoding
            }
            isChunked = true
        default: break
        }
        lines[count] = FieldLine(
            name: Place(start, colon), value: Place(valueStart, valueEnd), end: Int32(truncatingIfNeeded: end + 2), kind: kind,
            goesOn: goesOn)
        count &+= 1
    }

    /// Whether the name is one that means something, written with underscores: gateways of old (CGI, RFC 3875, section 4.1.18) take
    /// both for the same, and the service behind one would believe what was never looked at here.
    private final func isDisguised(_ name: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: count) { copy in
            guard let base = copy.baseAddress else { return false }
            for index in 0..<count { base[index] = name[index] == 0x5F ? 0x2D : name[index] }
            return kind(base, count) != .other
        }
    }

    private final func connection(_ value: UnsafeRawBufferPointer) {
        value.eachElement { element in
            options &+= 1
            if element.isWord("close") {
                saysClose = true
            } else if element.isWord("keep-alive") {
                saysKeepAlive = true
            } else if element.isWord("upgrade") {
                saysUpgrade = true
            } else {
                namesFields = true
            }
        }
    }

    /// At most fifteen digits: a petabyte.
    private static func length(_ bytes: UnsafePointer<UInt8>, _ count: Int) throws(HeadRefusal) -> Int {
        guard (1...15).contains(count) else { throw .ambiguousLength }
        var length = 0
        for index in 0..<count {
            let digit = bytes[index] &- 48
            guard digit < 10 else { throw .ambiguousLength }
            length = length &* 10 &+ Int(digit)
        }
        return length
    }

    /// Fields that `Connection` names end here (RFC 9110, section 7.6.1), but not those that a client could have us forget that way.
    final func dropNamedFields(_ bytes: UnsafePointer<UInt8>) {
        // "keep-alive" and "close" are all that most ever say.
        guard namesFields else { return }
        for line in 0..<count where lines[line].kind == .connection {
            let value = lines[line].value
            UnsafeRawBufferPointer(start: bytes + Int(value.start), count: value.count).eachElement { element in
                for other in 0..<count where lines[other].kind == .other && lines[other].name.count == element.count {
                    let name = UnsafeRawBufferPointer(start: bytes + Int(lines[other].name.start), count: element.count)
                    if zip(name, element).allSatisfy({ $0 | 0x20 == $1 | 0x20 }) { lines[other].goesOn = false }
                }
            }
        }
    }

    // MARK: Reading

    @inline(__always)
    final func index(of kind: FieldKind) -> Int? {
        let index = positions[Int(kind.rawValue)]
        return index < 0 ? nil : Int(index)
    }

    @inline(__always)
    final func has(_ kind: FieldKind) -> Bool { positions[Int(kind.rawValue)] >= 0 }

    /// The place of the value of the last field of this kind.
    @inline(__always)
    final func place(_ kind: FieldKind) -> Place? {
        let index = positions[Int(kind.rawValue)]
        return index < 0 ? nil : lines[Int(index)].value
    }

    final func isRepeated(_ kind: FieldKind) -> Bool {
        var found = 0
        for index in 0..<count where lines[index].kind == kind { found += 1 }
        return found > 1
    }

    /// The bytes of a value, for as long as the closure runs.
    @inline(__always)
    final func withValue<T>(_ kind: FieldKind, _ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T? {
        guard let place = place(kind) else { return nil }
        return try with(place, body)
    }

    @inline(__always)
    final func with<T>(_ place: Place, _ body: (UnsafeRawBufferPointer) throws -> T) rethrows -> T {
        try bytes.withUnsafeReadableBytes { try body(UnsafeRawBufferPointer(rebasing: $0[Int(place.start)..<Int(place.end)])) }
    }

    /// All values of a kind, joined by commas as RFC 9110, section 5.3 allows.
    final func allText(_ kind: FieldKind) -> String? {
        guard has(kind) else { return nil }
        return (0..<count).filter { lines[$0].kind == kind }.map { text(lines[$0].value) }.joined(separator: ",")
    }

    final func text(_ kind: FieldKind) -> String? { withValue(kind) { String(decoding: $0, as: UTF8.self) } }
    final func text(_ place: Place) -> String { with(place) { String(decoding: $0, as: UTF8.self) } }

    /// Takes a field off what goes on.
    final func drop(_ kind: FieldKind) {
        guard has(kind) else { return }
        for index in 0..<count where lines[index].kind == kind { lines[index].goesOn = false }
    }

    /// Writes the lines that go on, in runs of neighbours.
    final func writeFields(to out: inout ByteBuffer) {
        bytes.withUnsafeReadableBytes { source in
            var index = 0
            while index < count {
                guard lines[index].goesOn else {
                    index &+= 1
                    continue
                }
                let start = Int(lines[index].name.start)
                while index &+ 1 < count, lines[index &+ 1].goesOn { index &+= 1 }
                out.writeBytes(UnsafeRawBufferPointer(rebasing: source[start..<Int(lines[index].end)]))
                index &+= 1
            }
        }
    }
}
