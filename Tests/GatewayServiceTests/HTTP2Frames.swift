import CNghttp2
import Foundation

/// A client of HTTP/2 that speaks in frames, good ones and bad ones. Fields are sent as literals; those of answers are read by
/// the library's HPACK.
final class FrameClient {
    struct Frame {
        static let data: UInt8 = 0, headers: UInt8 = 1, priority: UInt8 = 2, reset: UInt8 = 3, settings: UInt8 = 4, ping: UInt8 = 6
        static let goAway: UInt8 = 7, windowUpdate: UInt8 = 8, continuation: UInt8 = 9
        let type: UInt8
        let flags: UInt8
        let stream: UInt32
        let payload: [UInt8]

        var number: UInt32 { payload.prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
        var endsStream: Bool { flags & 1 != 0 && (type == Frame.data || type == Frame.headers) }
    }

    struct Answer {
        var interim: [Int] = []
        var status = 0
        var fields: [(name: String, value: String)] = []
        var body: [UInt8] = []
        var trailers: [(name: String, value: String)] = []
        /// The code of RST_STREAM.
        var reset: UInt32?
        var isWhole = false

        var text: String { String(decoding: body, as: UTF8.self) }
        func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
        var isDone: Bool { isWhole || reset != nil }
    }

    let socket: RawSocket
    private var buffer: [UInt8] = []
    private var inflater: OpaquePointer?
    private(set) var answers: [UInt32: Answer] = [:]
    private(set) var settings: [UInt16: UInt32] = [:]
    private(set) var pings = 0
    /// Bytes of window that the peer gave back, by stream; 0 is the connection.
    private(set) var windows: [UInt32: Int] = [:]
    /// The codes of GOAWAY, and the last stream that each said was taken.
    private(set) var goAways: [(last: UInt32, code: UInt32)] = []
    private(set) var hasEnded = false

    /// - Parameter window: SETTINGS_INITIAL_WINDOW_SIZE, for answers; that of the connection is the same.
    /// - Parameter acknowledges: whether the peer's SETTINGS are taken note of before anything else is sent.
    init(port: Int, window: UInt32 = 1 << 24, receiveBuffer: Int32? = nil, acknowledges: Bool = true) async throws {
        socket = try RawSocket(port: port, receiveBuffer: receiveBuffer)
        nghttp2_hd_inflate_new(&inflater)
        try await socket.send(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8))
        try await send(Frame.settings, payload: [0, 4] + Self.bytes(window))
        if window > 65_535 { try await send(Frame.windowUpdate, payload: Self.bytes(window - 65_535)) }
        guard acknowledges else { return }
        // The peer's limits hold from our word for them.
        while settings.isEmpty, try await next() != nil {}
        try await send(Frame.settings, flags: 1)
    }

    deinit { nghttp2_hd_inflate_del(inflater) }

    // MARK: Sending

    static func bytes(_ number: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: number >> (24 - 8 * $0)) } }

    static func frame(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) -> [UInt8] {
        Array(bytes(UInt32(payload.count)).dropFirst()) + [type, flags] + bytes(stream) + payload
    }

    func send(_ type: UInt8, flags: UInt8 = 0, stream: UInt32 = 0, payload: [UInt8] = []) async throws {
        try await socket.send(Self.frame(type, flags: flags, stream: stream, payload: payload))
    }

    /// Literal fields without indexing and without Huffman coding (RFC 7541, section 6.2.2).
    static func block(_ fields: [(String, String)]) -> [UInt8] {
        func text(_ text: String) -> [UInt8] {
            let bytes = Array(text.utf8)
            var length: [UInt8] = []
            if bytes.count < 127 {
                length = [UInt8(bytes.count)]
            } else {
                length = [127]
                var rest = bytes.count - 127
                while rest >= 128 {
                    length.append(UInt8(rest % 128 + 128))
                    rest /= 128
                }
                length.append(UInt8(rest))
            }
            return length + bytes
        }
        return fields.flatMap { [0] + text($0.0) + text($0.1) }
    }

    static func request(_ path: String, method: String = "GET", _ more: [(String, String)] = []) -> [(String, String)] {
        [(":method", method), (":scheme", "http"), (":authority", "edge.test"), (":path", path)] + more
    }

    func request(
        _ stream: UInt32, _ path: String, method: String = "GET", _ more: [(String, String)] = [], body: [UInt8]? = nil, ends: Bool = true
    ) async throws {
        let block = Self.block(Self.request(path, method: method, more))
        try await send(Frame.headers, flags: body == nil && ends ? 5 : 4, stream: stream, payload: block)
        if let body { try await data(stream, body, ends: ends) }
    }

    /// In frames of at most 16 KiB, without regard for the window.
    func data(_ stream: UInt32, _ body: [UInt8], ends: Bool = true) async throws {
        var at = 0
        repeat {
            let end = min(at + 16_384, body.count)
            try await send(Frame.data, flags: ends && end == body.count ? 1 : 0, stream: stream, payload: Array(body[at..<end]))
            at = end
        } while at < body.count
    }

    // MARK: Receiving

    /// The next frame, already noted; nil when none came in time or the connection ended.
    @discardableResult
    func next(patience: Duration = .seconds(10)) async throws -> Frame? {
        while true {
            if let frame = take() {
                note(frame)
                return frame
            }
            guard let part = try await socket.receive(patience: patience) else { return nil }
            if part.isEmpty {
                hasEnded = true
                return nil
            }
            buffer += part
        }
    }

    private func take() -> Frame? {
        guard buffer.count >= 9 else { return nil }
        let length = buffer[..<3].reduce(0) { $0 << 8 | Int($1) }
        guard buffer.count >= 9 + length else { return nil }
        let stream = buffer[5..<9].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let frame = Frame(type: buffer[3], flags: buffer[4], stream: stream, payload: Array(buffer[9..<(9 + length)]))
        buffer.removeFirst(9 + length)
        return frame
    }

    private func note(_ frame: Frame) {
        switch frame.type {
        case Frame.headers: headers(frame)
        case Frame.data: answers[frame.stream, default: Answer()].body += frame.payload
        case Frame.reset: answers[frame.stream, default: Answer()].reset = frame.number
        case Frame.ping where frame.flags & 1 == 1: pings += 1
        case Frame.windowUpdate: windows[frame.stream, default: 0] += Int(frame.number)
        case Frame.goAway:
            let code = frame.payload[4..<8].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            goAways.append((frame.number, code))
        case Frame.settings where frame.flags & 1 == 0:
            for at in stride(from: 0, to: frame.payload.count, by: 6) {
                let entry = frame.payload[at..<(at + 6)]
                settings[entry.prefix(2).reduce(0) { $0 << 8 | UInt16($1) }] = entry.suffix(4).reduce(0) { $0 << 8 | UInt32($1) }
            }
        default: break
        }
        if frame.endsStream { answers[frame.stream, default: Answer()].isWhole = true }
    }

    private func headers(_ frame: Frame) {
        let fields = inflate(frame.payload)
        var answer = answers[frame.stream] ?? Answer()
        if let status = fields.first(where: { $0.name == ":status" }).flatMap({ Int($0.value) }) {
            if status < 200 {
                answer.interim.append(status)
            } else {
                answer.status = status
            }
            answer.fields += fields
        } else {
            answer.trailers = fields
        }
        answers[frame.stream] = answer
    }

    private func inflate(_ block: [UInt8]) -> [(name: String, value: String)] {
        var fields: [(String, String)] = []
        block.withUnsafeBufferPointer { bytes in
            var at = 0
            while true {
                var field = nghttp2_nv()
                var flags: Int32 = 0
                let used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, bytes.baseAddress! + at, bytes.count - at, 1)
                guard used >= 0 else { return }
                at += used
                if flags & Int32(NGHTTP2_HD_INFLATE_EMIT.rawValue) != 0 {
                    let name = String(decoding: UnsafeBufferPointer(start: field.name, count: field.namelen), as: UTF8.self)
                    fields.append((name, String(decoding: UnsafeBufferPointer(start: field.value, count: field.valuelen), as: UTF8.self)))
                }
                if flags & Int32(NGHTTP2_HD_INFLATE_FINAL.rawValue) != 0 { break }
            }
            nghttp2_hd_inflate_end_headers(inflater)
        }
        return fields
    }

    /// Reads on until the answer is whole or reset, the connection ends, or nothing comes for `patience`.
    func answer(_ stream: UInt32, patience: Duration = .seconds(10)) async throws -> Answer {
        while answers[stream]?.isDone != true, try await next(patience: patience) != nil {}
        return answers[stream] ?? Answer()
    }

    /// Reads on until the connection ends; whether it did.
    func end(patience: Duration = .seconds(10)) async throws -> Bool {
        while try await next(patience: patience) != nil {}
        return hasEnded
    }
}
