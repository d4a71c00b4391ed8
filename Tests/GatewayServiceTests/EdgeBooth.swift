import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import GatewayService

/// The listener with nothing behind it but exchanges that do as their path says: the protocols of the edge alone.
final class EdgeBooth: Sendable {
    /// What the exchanges were told, in order.
    final class Record: Sendable {
        private let lines = Mutex<[String]>([])
        var all: [String] { lines.withLock { $0 } }
        func note(_ line: String) { lines.withLock { $0.append(line) } }
    }

    let ports: Listener.Ports
    let listener: Listener
    let record: Record

    static func with<T>(
        _ edge: EdgeSettings = EdgeSettings(http2Cleartext: true), trusted: [String] = ["127.0.0.0/8"], connections: Int = 1_000,
        idleSeconds: Int = 60, drainSeconds: Int = 5, _ body: (EdgeBooth) async throws -> T
    ) async throws -> T {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let record = Record()
        let listener = try Listener(
            .init(
                host: "127.0.0.1", port: 0, edge: edge, trustedProxies: { trusted.compactMap { Network($0) } },
                maximumConnections: connections,
                headLimits: .standard, idleSeconds: idleSeconds, drainSeconds: drainSeconds),
            group: group,
            makers: .init(
                http1: { facts, _ in FactsHandler(facts) }, exchanges: { _ in BoothSource(record) }),
            logger: quiet)
        let booth = EdgeBooth(ports: try await listener.open(), listener: listener, record: record)
        let result: Result<T, any Error>
        do { result = .success(try await body(booth)) } catch { result = .failure(error) }
        await listener.drain()
        try await group.shutdownGracefully()
        return try result.get()
    }

    private init(ports: Listener.Ports, listener: Listener, record: Record) {
        self.ports = ports
        self.listener = listener
        self.record = record
    }

    var counters: EdgeCounters { listener.counters }
}

/// Says over HTTP/1.1 what the listener found out about the connection.
private final class FactsHandler: ChannelInboundHandler, Drainable {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let facts: ConnectionFacts
    private var context: ChannelHandlerContext?

    init(_ facts: ConnectionFacts) { self.facts = facts }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }
    func drain() { context?.close(promise: nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let text = "\(facts.peerText) \(facts.isEncrypted ? "https" : "http") \(facts.isTrusted ? "trusted" : "unknown")"
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: \(text.utf8.count)\r\n\r\n\(text)"
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: answer)), promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed = event { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}

private final class BoothSource: ExchangeSource {
    private let record: EdgeBooth.Record
    init(_ record: EdgeBooth.Record) { self.record = record }
    func requestHead() -> RequestHead { RequestHead(limits: .standard) }
    func giveBack(_ head: RequestHead) {}
    func clientExchange(for side: any ClientSide) -> any ClientExchange { BoothExchange(side, record) }
}

/// Answers by path: `/head` with the head as it was parsed, `/echo` with the body, `/count` with the body's length and its trailers,
/// `/bytes/N` with N bytes and a trailer, `/early` before the body, `/stuck` and `/never` not at all, `/abort` with half of an answer.
private final class BoothExchange: ClientExchange {
    private static let chunk = ByteBuffer(repeating: UInt8(ascii: "y"), count: 65_536)

    private let side: any ClientSide
    private let record: EdgeBooth.Record
    private(set) var wantsBody = true
    private var head: RequestHead?
    private var path = ""
    private var received = 0
    private var sent = 0
    private var total = 0
    private var isOver = false

    init(_ side: any ClientSide, _ record: EdgeBooth.Record) {
        self.side = side
        self.record = record
    }

    func begin(_ head: RequestHead) {
        self.head = head
        path = head.text(head.path)
        record.note("begin \(path)")
        switch path {
        case "/echo": open(200, length: nil)
        case "/count": break
        case "/early": answer(413, "too much")
        case "/never": break
        case "/stuck": wantsBody = false
        case "/hints":
            side.out.writeStaticString("HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n")
            side.sendInterim(103)
            answer(200, "hinted")
        case "/none":
            side.out.writeStaticString("HTTP/1.1 204 No Content\r\n")
            side.sendHead(204, length: nil, hasBody: false)
            end(nil)
        case "/abort":
            open(200, length: 1_000)
            side.sendBody(ByteBuffer(string: "half"))
            side.flush()
            isOver = true
            side.abort()
        case "/head": answer(200, String(buffer: head.bytes))
        default:
            guard let count = path.hasPrefix("/bytes/") ? Int(path.dropFirst(7)) : nil else { return answer(404, "nothing") }
            total = count
            open(200, length: total)
            pump()
        }
    }

    func refuse(_ refusal: HeadRefusal) {
        record.note("refuse \(refusal)")
        answer(refusal == .headTooLarge ? 431 : 400, "\(refusal)")
    }

    func body(_ bytes: ByteBuffer) {
        received += bytes.readableBytes
        if path == "/echo" {
            side.sendBody(bytes)
            wantsBody = side.isWritable
        }
    }

    func bodyFlush() { if path == "/echo" { side.flush() } }

    func bodyEnd(trailers: ByteBuffer?) {
        if path == "/echo" { return end(trailers) }
        if path == "/count" { answer(200, "\(received) \(trailers.map { String(buffer: $0) } ?? "-")") }
    }

    func bodyTimedOut() { if !isOver { answer(408, "slow") } }
    func clientGone() { record.note("gone \(path)") }

    func clientWritable() {
        if path == "/echo" {
            wantsBody = true
            side.readMore()
        } else {
            pump()
        }
    }

    private func pump() {
        while sent < total, side.isWritable, let part = Self.chunk.getSlice(at: 0, length: min(65_536, total - sent)) {
            sent += part.readableBytes
            side.sendBody(part)
        }
        record.note("sent \(sent)")
        if sent == total { end(ByteBuffer(string: "X-Sum: \(sent)\r\nConnection: close\r\n")) } else { side.flush() }
    }

    private func open(_ status: Int, length: Int?) {
        side.out.writeString("HTTP/1.1 \(status) Fine\r\nContent-Type: text/plain\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n")
        side.sendHead(status, length: length, hasBody: true)
    }

    private func answer(_ status: Int, _ text: String) {
        let isHead = head?.isMethod("HEAD") ?? false
        side.out.writeString("HTTP/1.1 \(status) Fine\r\nContent-Type:  text/plain \r\nX-Empty:\r\nKeep-Alive: 5\r\n")
        side.sendHead(status, length: text.utf8.count, hasBody: !isHead)
        if !isHead { side.sendBody(ByteBuffer(string: text)) }
        end(nil)
    }

    private func end(_ trailers: ByteBuffer?) {
        isOver = true
        side.sendEnd(trailers: trailers)
    }
}
