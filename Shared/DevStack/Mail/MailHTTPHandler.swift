import Foundation
import NIOCore

/// The sink over HTTP, one request a connection: a page with everything at `/`, `GET /messages?to=<address>`, `GET /sms?to=<number>`,
/// and the interface of a provider of short messages.
final class MailHTTPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let store: MailStore
    private let shortMessages: ShortMessageProvider
    private var received = ByteBuffer()
    private var answered = false

    init(store: MailStore, shortMessages: ShortMessageProvider) {
        self.store = store
        self.shortMessages = shortMessages
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !answered else { return }
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        switch SinkRequest.read(received.readableBytesView) {
        case .incomplete: return
        case .refused(let status): respond(.problem(status, "This is not a request that the sink takes."), context)
        case .complete(let request): respond(Self.answer(request, store, shortMessages), context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private static let places = "There are GET /messages?to=<address> and GET /sms?to=<number>."

    static func answer(_ request: SinkRequest, _ store: MailStore, _ shortMessages: ShortMessageProvider) -> SinkAnswer {
        if let answer = shortMessages.answer(request) { return answer }
        guard ["/", "/messages", "/sms"].contains(request.path) else { return .problem("404 Not Found", places) }
        guard request.method == "GET" else { return .problem("405 Method Not Allowed", places) }
        switch request.path {
        case "/sms":
            // `+` that was not percent-encoded is taken for one all the same: every number begins with it.
            let number = request.query["to"].map { $0.hasPrefix(" ") ? "+" + $0.dropFirst() : $0 }
            return .json(shortMessages.messages(to: number))
        case "/" where request.headers["accept"]?.contains("text/html") == true:
            return SinkAnswer(
                status: "200 OK", contentType: "text/html; charset=utf-8",
                body: MailPage.html(store.messages(to: nil), shortMessages.messages(to: nil)))
        default: return .json(store.messages(to: request.query["to"]))
        }
    }

    private func respond(_ answer: SinkAnswer, _ context: ChannelHandlerContext) {
        answered = true
        guard !answer.isLost else {
            context.close(promise: nil)
            return
        }
        let allow = answer.status.hasPrefix("405") ? "Allow: GET\r\n" : ""
        let head = """
            HTTP/1.1 \(answer.status)\r\nContent-Type: \(answer.contentType)\r\nContent-Length: \(answer.body.utf8.count)\r\n\
            \(allow)X-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n
            """
        let context = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.value.writeAndFlush(wrapOutboundOut(ByteBuffer(string: head + answer.body))).whenComplete { _ in
            context.value.close(promise: nil)
        }
    }
}

/// Everything that the sink has, newest first, for people.
enum MailPage {
    /// Mails and messages that are shown.
    static let shown = 50

    static func html(_ mails: [MailMessage], _ shortMessages: [ShortMessage]) -> String {
        let mails = mails.suffix(shown).reversed().map { mail in
            """
            <article><h3>\(escape(mail.subject))</h3><p>To \(escape(mail.to.joined(separator: ", "))) · \(escape(mail.date))</p>
            <pre>\(linked(escape(mail.body)))</pre></article>
            """
        }
        let messages = shortMessages.suffix(shown).reversed().map { message in
            "<article><h3>To \(escape(message.to))</h3><pre>\(escape(message.body))</pre></article>"
        }
        return """
            <!doctype html><html lang="en"><head><meta charset="utf-8"><title>Mails and short messages</title>
            <style>body{font-family:sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}pre{white-space:pre-wrap;background:#f5f5f7;\
            padding:1rem}</style></head>
            <body><h1>What the platform has sent</h1>
            <h2>Short messages</h2>\(messages.isEmpty ? "<p>None.</p>" : messages.joined())
            <h2>Mails</h2>\(mails.isEmpty ? "<p>None.</p>" : mails.joined())</body></html>
            """
    }

    private static func escape(_ text: String) -> String {
        text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;").replacing("\"", with: "&quot;")
    }

    /// Links of mails can be followed. The text is escaped already.
    private static func linked(_ text: String) -> String {
        text.replacing(/https?:\/\/[^\s<]+/) { "<a href=\"\($0.output)\">\($0.output)</a>" }
    }
}
