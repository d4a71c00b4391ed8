import Foundation
import NIOCore

/// `GET /messages?to=<address>`, one request a connection (RFC 9112).
final class MailHTTPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The longest request head, in bytes.
    static let headLimit = 8 * 1024

    private let store: MailStore
    private var received = ByteBuffer()
    private var answered = false

    init(store: MailStore) { self.store = store }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !answered else { return }
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        let head = String(decoding: received.readableBytesView, as: UTF8.self)
        guard let end = head.range(of: "\r\n\r\n") else {
            if received.readableBytes > Self.headLimit { respond("431 Request Header Fields Too Large", json: "[]", context) }
            return
        }
        let (status, json) = Self.answer(String(head[..<end.lowerBound]), store: store)
        respond(status, json: json, context)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    static func answer(_ head: String, store: MailStore) -> (status: String, json: String) {
        let words = head.split(separator: "\r\n", maxSplits: 1).first?.split(separator: " ") ?? []
        guard words.count == 3, words[2].hasPrefix("HTTP/1."), let target = URLComponents(string: String(words[1])) else {
            return ("400 Bad Request", problem("This is not an HTTP/1.1 request."))
        }
        guard target.path == "/messages" || target.path == "/" else {
            return ("404 Not Found", problem("There is only GET /messages?to=<address>."))
        }
        guard words[0] == "GET" else { return ("405 Method Not Allowed", problem("There is only GET /messages?to=<address>.")) }
        let address = target.queryItems?.first { $0.name == "to" }?.value
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        guard let json = try? encoder.encode(store.messages(to: address)) else {
            return ("500 Internal Server Error", problem("The messages could not be written as JSON."))
        }
        return ("200 OK", String(decoding: json, as: UTF8.self))
    }

    private static func problem(_ detail: String) -> String { #"{"detail":"\#(detail)"}"# }

    private func respond(_ status: String, json: String, _ context: ChannelHandlerContext) {
        answered = true
        let allow = status.hasPrefix("405") ? "Allow: GET\r\n" : ""
        let head =
            "HTTP/1.1 \(status)\r\nContent-Type: application/json\r\nContent-Length: \(json.utf8.count)\r\n\(allow)Connection: close\r\n\r\n"
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.value.writeAndFlush(wrapOutboundOut(ByteBuffer(string: head + json))).whenComplete { _ in
            context.value.close(promise: nil)
        }
    }
}
