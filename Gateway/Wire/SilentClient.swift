import NIOCore

/// Nobody: what is fetched for the cache alone is answered to this.
final class SilentClient: ClientSide {
    let connection: ConnectionFacts
    private let loop: Loop
    weak var exchange: Exchange?

    init(_ connection: ConnectionFacts, _ loop: Loop) {
        self.connection = connection
        self.loop = loop
    }

    var out: ByteBuffer {
        get { loop.out }
        _modify { yield &loop.out }
    }
    var isWritable: Bool { true }
    func sendInterim(_ status: Int) {}
    func sendHead(_ status: Int, length: Int?, hasBody: Bool) {}
    func sendBody(_ bytes: ByteBuffer) {}
    func sendEnd(trailers: ByteBuffer?) {}
    func flush() {}
    func readMore() {}
    func endTunnel() {}
    func abort() {}
    func switchProtocols() -> Bool { false }
}
