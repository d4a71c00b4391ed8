import Glibc
import NIOCore

/// A request as a faulty upstream read it.
struct FaultRequest: Sendable {
    let method: String
    let target: String
    let path: String
    let query: [String: String]
    /// Names in lower case, in order.
    let fields: [(name: String, value: String)]

    /// The name after `/fault/`.
    var fault: Fault? { path.firstRange(of: "/fault/").flatMap { Fault(rawValue: String(path[$0.upperBound...])) } }

    func field(_ name: String) -> String? { fields.first { $0.name == name }?.value }
    func number(_ name: String, default standard: Int) -> Int { query[name].flatMap { Int($0) } ?? standard }

    init?(head: String) {
        var lines = head.split(separator: "\r\n", omittingEmptySubsequences: false)[...]
        let words = lines.popFirst()?.split(separator: " ") ?? []
        guard words.count == 3 else { return nil }
        method = String(words[0])
        target = String(words[1])
        let parts = target.split(separator: "?", maxSplits: 1)
        path = String(parts.first ?? "/")
        query = (parts.count > 1 ? parts[1] : "").split(separator: "&").reduce(into: [:]) { query, pair in
            let sides = pair.split(separator: "=", maxSplits: 1)
            query[String(sides[0])] = sides.count > 1 ? String(sides[1]) : ""
        }
        fields = lines.compactMap { line in
            guard let colon = line.firstIndex(of: ":") else { return nil }
            let value = line[line.index(after: colon)...]
            return (line[..<colon].lowercased(), value.drop { $0 == " " }.description)
        }
    }
}

/// One connection of a faulty upstream: reads requests strictly, writes whatever a script says.
final class FaultyConnection {
    /// The connection ended, or what came was no request.
    struct Ended: Error {}

    /// What becomes of the connection after an answer.
    enum After {
        case keep, close, reset
        /// It stays, and what comes is read and thrown away.
        case hang
        /// It stays, and nothing is read.
        case deaf
    }

    private enum Body {
        case none
        case length(Int)
        case chunked
    }

    let channel: any Channel
    let counters: FaultyUpstream.Counters
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var unread = ByteBuffer()
    private var body = Body.none
    /// Of the last chunked request body.
    private(set) var trailers: [String] = []
    /// On this connection, the present one included.
    private(set) var requests = 0

    init(
        _ channel: any Channel, _ inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        _ outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>, _ counters: FaultyUpstream.Counters
    ) {
        self.channel = channel
        self.inbound = inbound
        self.outbound = outbound
        self.counters = counters
    }

    func run() async throws {
        while let request = try await nextRequest() {
            counters.note(request)
            switch try await FaultScripts.answer(request, self) {
            case .keep: while try await bodyPart() != nil {}
            case .close: return
            case .reset:
                await Self.armReset(channel)
                return
            case .hang:
                while try await read() {}
                return
            case .deaf:
                try await channel.closeFuture.get()
                return
            }
        }
    }

    /// The next close sends RST (SO_LINGER of no time).
    static func armReset(_ channel: any Channel) async {
        try? await (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0)).get()
    }

    // MARK: - Reading

    /// False at the end of what the peer sends.
    private func read() async throws -> Bool {
        guard var part = try await inbound.next() else { return false }
        if unread.readableBytes == 0 {
            unread = part
        } else {
            unread.discardReadBytes()
            unread.writeBuffer(&part)
        }
        return true
    }

    private func line() async throws -> String {
        while true {
            if let end = unread.readableBytesView.firstIndex(of: UInt8(ascii: "\n")) {
                let text = unread.readString(length: end - unread.readerIndex + 1) ?? ""
                guard text.hasSuffix("\r\n") else { throw Ended() }
                return String(text.dropLast())
            }
            guard try await read() else { throw Ended() }
        }
    }

    /// Nil when the peer closed between requests.
    private func nextRequest() async throws -> FaultRequest? {
        if unread.readableBytes == 0, try await !read() { return nil }
        var head = ""
        while true {
            let line = try await line()
            if line.isEmpty { break }
            head += head.isEmpty ? line : "\r\n" + line
        }
        guard let request = FaultRequest(head: head) else { throw Ended() }
        requests += 1
        trailers = []
        if request.field("transfer-encoding") != nil {
            body = .chunked
        } else {
            body = .length(request.field("content-length").flatMap { Int($0) } ?? 0)
        }
        return request
    }

    /// A part of the request's body, decoded; nil at its end. Throws when the connection ended before.
    func bodyPart() async throws -> ByteBuffer? {
        do {
            switch body {
            case .none: return nil
            case .length(let left):
                guard left > 0 else {
                    body = .none
                    return nil
                }
                if unread.readableBytes == 0, try await !read() { throw Ended() }
                let part = unread.readSlice(length: min(left, unread.readableBytes)) ?? ByteBuffer()
                body = .length(left - part.readableBytes)
                counters.note(received: part.readableBytes)
                return part
            case .chunked: return try await chunk()
            }
        } catch {
            counters.noteBroken()
            throw error
        }
    }

    private func chunk() async throws -> ByteBuffer? {
        let sizeLine = try await line()
        guard let size = Int(sizeLine.prefix { $0 != ";" }, radix: 16) else { throw Ended() }
        if size == 0 {
            while case let line = try await line(), !line.isEmpty { trailers.append(line) }
            body = .none
            return nil
        }
        while unread.readableBytes < size + 2 { guard try await read() else { throw Ended() } }
        let part = unread.readSlice(length: size) ?? ByteBuffer()
        unread.moveReaderIndex(forwardBy: 2)
        counters.note(received: size)
        return part
    }

    /// Exactly so many bytes of whatever comes, for protocols after an upgrade.
    func bytes(_ count: Int) async throws -> [UInt8] {
        while unread.readableBytes < count { guard try await read() else { throw Ended() } }
        return unread.readBytes(length: count) ?? []
    }

    // MARK: - Writing

    /// Waits while the peer does not read.
    func write(_ text: String) async throws { try await write(ByteBuffer(string: text)) }

    func write(_ buffer: ByteBuffer) async throws {
        // Through the channel rather than the writer, which takes any amount before the event loop has looked at the socket.
        try await channel.writeAndFlush(buffer).get()
        counters.note(sent: buffer.readableBytes)
    }

    /// A whole answer with a length.
    func answer(_ status: String = "200 OK", _ fields: [String] = [], _ text: String) async throws {
        let head = ["HTTP/1.1 \(status)", "Content-Length: \(text.utf8.count)"] + fields
        try await write(head.joined(separator: "\r\n") + "\r\n\r\n" + text)
    }

    /// No more will come from here, though more may be sent here (FIN one way).
    func endOutput() { outbound.finish() }
}
