import NIOCore

/// What answers one request of a client, told of it by its side of the exchange.
protocol ClientExchange: AnyObject {
    /// Whether `body` and `bodyEnd` may be called; when it turns true again, the side is told by `readMore`.
    var wantsBody: Bool { get }
    func begin(_ head: RequestHead)
    /// Instead of `begin`: the head cannot be taken.
    func refuse(_ refusal: HeadRefusal)
    func body(_ bytes: ByteBuffer)
    /// No more of the body is there for now: what was passed on is sent.
    func bodyFlush()
    /// Not called for a request without a body.
    func bodyEnd(trailers: ByteBuffer?)
    /// The client has not sent of the body for too long.
    func bodyTimedOut()
    func clientGone()
    func clientWritable()
}

/// Where the exchanges of one event loop come from.
protocol ExchangeSource: AnyObject {
    /// A head to be filled. Its exchange gives it back.
    func requestHead() -> RequestHead
    /// Gives back a head that no exchange has begun with.
    func giveBack(_ head: RequestHead)
    func clientExchange(for side: any ClientSide) -> any ClientExchange
}

extension Loop: ExchangeSource {
    func clientExchange(for side: any ClientSide) -> any ClientExchange { exchange(for: side) }
}
