import Glibc
import NIOCore

/// Finds the end of a body in what comes over a connection, and takes its framing off.
struct BodyReader {
    enum Step {
        case data(ByteBuffer)
        /// With the trailing field lines that may go on, each with its CRLF; nil without any.
        case end(trailers: ByteBuffer?)
        /// All that was there is used up.
        case more
        case malformed
    }

    /// Bytes of one chunk's size line, with its extensions.
    static let maximumSizeLine = 256
    /// Bytes of all extensions of one body: they mean nothing to us and cost their sender nothing.
    static let maximumExtensions = 16_384
    /// Bytes of all trailing fields, and their number.
    static let maximumTrailers = 8_192
    static let maximumTrailerFields = 32

    private enum State {
        case none
        case length(Int)
        case untilClose
        case chunkSize
        case chunkData(Int)
        case chunkEnd
        case trailers
        case ended
    }

    private var state: State
    private var extensionBytes = 0
    private var trailerBytes = 0
    private var trailerFields = 0
    private var trailers: ByteBuffer?

    init(_ framing: BodyFraming) {
        state =
            switch framing {
            case .none: .none
            case .length(let length): .length(length)
            case .chunked: .chunkSize
            case .untilClose: .untilClose
            }
    }

    var hasEnded: Bool { if case .ended = state { true } else { false } }
    /// Whether the end of the connection ends the body as it should.
    var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

    /// The bytes that are still to come, as far as that is known.
    var remaining: Int { if case .length(let left) = state { left } else { 0 } }

    /// Whether all bytes of a body of known length were told, so that only its end is left.
    var isComplete: Bool {
        switch state {
        case .length(0), .none: true
        default: false
        }
    }

    /// The next piece. After `.end` it is not called again.
    @inline(__always)
    mutating func next(_ buffer: inout ByteBuffer) -> Step {
        switch state {
        case .none, .ended:
            state = .ended
            return .end(trailers: nil)
        case .length(let left):
            if left == 0 {
                state = .ended
                return .end(trailers: nil)
            }
            let count = min(left, buffer.readableBytes)
            guard count > 0, let data = buffer.readSlice(length: count) else { return .more }
            state = .length(left - count)
            return .data(data)
        case .untilClose:
            guard buffer.readableBytes > 0, let data = buffer.readSlice(length: buffer.readableBytes) else { return .more }
            return .data(data)
        case .chunkSize, .chunkData, .chunkEnd, .trailers: return chunked(&buffer)
        }
    }

    private mutating func chunked(_ buffer: inout ByteBuffer) -> Step {
        while true {
            switch state {
            case .chunkSize:
                switch Self.line(&buffer, maximum: Self.maximumSizeLine) {
                case nil: return .more
                case .some(nil): return .malformed
                case .some(let line?):
                    guard let size = size(line) else { return .malformed }
                    state = size == 0 ? .trailers : .chunkData(size)
                }
            case .chunkData(let left):
                let count = min(left, buffer.readableBytes)
                guard count > 0, let data = buffer.readSlice(length: count) else { return .more }
                state = left == count ? .chunkEnd : .chunkData(left - count)
                return .data(data)
            case .chunkEnd:
                guard buffer.readableBytes >= 2 else {
                    let isWrong = buffer.readableBytes == 1 && buffer.getInteger(at: buffer.readerIndex) != UInt8(13)
                    return isWrong ? .malformed : .more
                }
                guard buffer.readInteger(as: UInt16.self) == 0x0D0A else { return .malformed }
                state = .chunkSize
            case .trailers:
                switch Self.line(&buffer, maximum: Self.maximumTrailers) {
                case nil: return .more
                case .some(nil): return .malformed
                case .some(let line?):
                    if line.readableBytes == 0 {
                        state = .ended
                        return .end(trailers: trailers)
                    }
                    guard keep(line) else { return .malformed }
                }
            default: return .malformed
            }
        }
    }

    /// A line without its CRLF; nil while it is not whole, and an inner nil when it can be none.
    private static func line(_ buffer: inout ByteBuffer, maximum: Int) -> ByteBuffer?? {
        let found = buffer.withUnsafeReadableBytes { bytes -> Int? in
            guard let base = bytes.baseAddress, let end = memchr(base, 10, min(bytes.count, maximum)) else { return nil }
            return base.distance(to: UnsafeRawPointer(end))
        }
        guard let found else { return buffer.readableBytes >= maximum ? .some(nil) : nil }
        guard found > 0, buffer.getInteger(at: buffer.readerIndex + found - 1) == UInt8(13), let line = buffer.readSlice(length: found - 1)
        else { return .some(nil) }
        buffer.moveReaderIndex(forwardBy: 2)
        return .some(line)
    }

    /// Up to fifteen hexadecimal digits, then nothing or extensions, which end here.
    private mutating func size(_ line: ByteBuffer) -> Int? {
        line.withUnsafeReadableBytes { bytes in
            var size = 0, digits = 0
            while digits < bytes.count, let digit = Self.hexDigit(bytes[digits]) {
                size = size << 4 | digit
                digits += 1
                if digits > 15 { return nil }
            }
            guard digits > 0 else { return nil }
            var rest = digits
            while rest < bytes.count, bytes[rest] == 0x20 || bytes[rest] == 0x09 { rest += 1 }
            guard rest < bytes.count else { return rest == digits ? size : nil }
            guard bytes[rest] == UInt8(ascii: ";"),
                ByteClass.isValue(bytes.baseAddress!.assumingMemoryBound(to: UInt8.self) + rest, bytes.count - rest)
            else { return nil }
            extensionBytes += bytes.count - digits
            return extensionBytes <= Self.maximumExtensions ? size : nil
        }
    }

    private static func hexDigit(_ byte: UInt8) -> Int? {
        switch byte {
        case 48...57: Int(byte) - 48
        case 65...70: Int(byte) - 55
        case 97...102: Int(byte) - 87
        default: nil
        }
    }

    /// Only fields that say nothing of framing, routing or credentials go on.
    private mutating func keep(_ line: ByteBuffer) -> Bool {
        trailerBytes += line.readableBytes + 2
        trailerFields += 1
        guard trailerBytes <= Self.maximumTrailers, trailerFields <= Self.maximumTrailerFields else { return false }
        let kind = line.withUnsafeReadableBytes { bytes -> FieldKind? in
            let base = bytes.baseAddress!.assumingMemoryBound(to: UInt8.self)
            var colon = 0
            while colon < bytes.count, ByteClass.isToken(base[colon]) { colon += 1 }
            guard colon > 0, colon < bytes.count, base[colon] == UInt8(ascii: ":"),
                ByteClass.isValue(base + colon + 1, bytes.count - colon - 1)
            else { return nil }
            let asked = FieldNames.request(base, colon), answered = FieldNames.response(base, colon)
            return asked.mayTrail && answered.mayTrail ? .other : .dropped
        }
        guard let kind else { return false }
        if kind == .other {
            if trailers == nil { trailers = ByteBufferAllocator().buffer(capacity: 256) }
            trailers?.writeImmutableBuffer(line)
            trailers?.writeStaticString("\r\n")
        }
        return true
    }
}
