import NIOCore

/// What is known of a client's connection, for as long as it is open. Used on its event loop alone.
final class ConnectionFacts {
    /// The peer of the socket, or whom a trusted load balancer named by the PROXY protocol.
    let peer: NetworkAddress?
    /// As in `X-Forwarded-For` and the log.
    let peerText: String
    /// Whether the peer's `X-Forwarded-For` and `-Proto` count, and by which file that was found out; -1 when the connection was opened.
    var isTrusted: Bool
    var trustGeneration = -1
    let isEncrypted: Bool
    /// `HTTP/1.1` or `HTTP/2`.
    let version: StaticString
    /// Who the connection is from, where its peer is no trusted proxy: the same for all its requests.
    let direct: Visitor
    /// Whose token was shown last.
    var lastCaller: Identity?

    init(peer: NetworkAddress?, peerText: String, isTrusted: Bool, isEncrypted: Bool, version: StaticString) {
        self.peer = peer
        self.peerText = peerText
        self.isTrusted = isTrusted
        self.isEncrypted = isEncrypted
        self.version = version
        direct = Visitor(text: peerText, address: peer, isEncrypted: isEncrypted)
    }
}

/// Where a request comes from: the peer, or whom trusted proxies saw.
final class Visitor {
    let text: String
    let address: NetworkAddress?
    let isEncrypted: Bool
    /// Whose requests are counted together: the address, or the 64 bits of an IPv6 network.
    let limitSubject: String
    /// `X-Forwarded-For: …` and `X-Forwarded-Proto: …`, each with its CRLF.
    let forwardedLines: [UInt8]
    /// Of whoever shows no credential.
    private(set) lazy var buckets = HeldBuckets()
    /// Those of the address for callers, by their plan.
    var callerBuckets: [String: HeldBuckets] = [:]

    init(text: String, address: NetworkAddress?, isEncrypted: Bool) {
        self.text = text
        self.address = address
        self.isEncrypted = isEncrypted
        limitSubject = address?.limitSubject ?? text
        forwardedLines = Array("X-Forwarded-For: \(text)\r\nX-Forwarded-Proto: \(isEncrypted ? "https" : "http")\r\n".utf8)
    }
}

/// The client's side of one exchange: an HTTP/1.1 connection, or one stream of HTTP/2. Used on its event loop alone.
///
/// The side tells its exchange what comes: `begin` once with the head, `body` for what comes of a body while `wantsBody` is true,
/// `bodyEnd` once, `clientGone` when nothing can be answered any more, `clientWritable` when `isWritable` turned true.
protocol ClientSide: AnyObject {
    /// The head of an answer is written here in the form of HTTP/1.1, status line and field lines, without the fields of framing
    /// (`Content-Length`, `Transfer-Encoding`, `Connection`) and without the empty line. Taken by the next `send…`.
    var out: ByteBuffer { get set }
    var connection: ConnectionFacts { get }
    /// False while more than a bounded amount waits to be taken by the client.
    var isWritable: Bool { get }

    /// A 1xx answer, whose head is in `out`.
    func sendInterim(_ status: Int)
    /// The head in `out`. With `hasBody`, `length` nil says that the length is not known. Without, `length` is what a HEAD is told.
    func sendHead(_ status: Int, length: Int?, hasBody: Bool)
    func sendBody(_ bytes: ByteBuffer)
    /// The answer is whole; what was written is sent. Trailers are field lines, each with its CRLF.
    func sendEnd(trailers: ByteBuffer?)
    /// Sends what was written so far.
    func flush()
    /// The exchange's `wantsBody` turned true: goes on telling it of the body. Before the first byte of one that the client holds
    /// back until it is asked for (`Expect: 100-continue`), the side asks for it.
    func readMore()
    /// The answer cannot be finished: the client must see that it is broken.
    func abort()
    /// The other side of a tunnel is gone: what was written is sent, and then the connection ends.
    func endTunnel()
    /// The answer was 101: bytes go both ways from now on. False where that is not possible.
    func switchProtocols() -> Bool
}
