import Foundation
import NIOCore
import NIOPosix

/// A mail server, and a provider of short messages, that keep everything and send nothing, on 127.0.0.1: for `make run` and for tests.
///
/// It speaks SMTP without TLS, takes any name and password, refuses `…@refused.test` (550) and `…@busy.test` (451),
/// and answers `GET /messages?to=<address>` over HTTP with a JSON array of `MailMessage`, oldest first. On the same port it speaks
/// Twilio's interface (`ShortMessageProvider` says which numbers fail) and answers `GET /sms?to=<number>`; `/` is a page for people.
/// Files are written on the event loop: the sink is for hundreds of mails, not for load.
package final class MailSink: Sendable {
    package let smtpPort: Int
    package let httpPort: Int
    /// For `TRIONEX_SMTP_URL`.
    package var smtpURL: String { "smtp://127.0.0.1:\(smtpPort)" }
    /// Where the mails can be read.
    package var httpURL: String { "http://127.0.0.1:\(httpPort)" }
    /// What notifications is told to send short messages here.
    package var shortMessageSettings: [String: String] { Self.shortMessageSettings(at: httpURL) }

    private let store: MailStore
    private let provider: ShortMessageProvider
    private let listeners: [any Channel]

    private init(store: MailStore, provider: ShortMessageProvider, smtp: any Channel, http: any Channel) {
        self.store = store
        self.provider = provider
        listeners = [smtp, http]
        smtpPort = smtp.localAddress?.port ?? 0
        httpPort = http.localAddress?.port ?? 0
    }

    /// Starts listening; port 0 takes any free one. With a directory the last 1,000 mails outlive the process.
    ///
    /// Throws a `StackFailure` when a port is in use.
    package static func start(smtpPort: Int = 0, httpPort: Int = 0, directory: String? = nil) async throws -> MailSink {
        if smtpPort != 0 { try Ports.require(smtpPort, for: "the mail sink (SMTP)") }
        if httpPort != 0 { try Ports.require(httpPort, for: "the mail sink (HTTP)") }
        let store = try MailStore(directory: directory)
        let smtp = try await listen(smtpPort) { SMTPHandler(store: store) }
        do {
            let provider = ShortMessageProvider()
            let http = try await listen(httpPort) { MailHTTPHandler(store: store, shortMessages: provider) }
            return MailSink(store: store, provider: provider, smtp: smtp, http: http)
        } catch {
            try? await smtp.close()
            throw error
        }
    }

    private static func listen(
        _ port: Int, _ handler: @escaping @Sendable () -> some ChannelInboundHandler
    ) async throws -> any Channel {
        try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.backlog, value: 64)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(handler()) }
            }
            .bind(host: "127.0.0.1", port: port).get()
    }

    /// The mails kept, oldest first; those to one address when there is one.
    package func messages(to address: String? = nil) -> [MailMessage] { store.messages(to: address) }

    /// The short messages kept, oldest first; those to one number when there is one. They do not outlive the process.
    package func shortMessages(to number: String? = nil) -> [ShortMessage] { provider.messages(to: number) }

    static func shortMessageSettings(at address: String) -> [String: String] {
        [
            "TRIONEX_SMS_URL": address, "TRIONEX_SMS_ACCOUNT": "AC" + String(repeating: "0", count: 32), "TRIONEX_SMS_TOKEN": "local",
            "TRIONEX_SMS_FROM": "+15005550006",
        ]
    }

    package func stop() async {
        for listener in listeners { try? await listener.close() }
    }
}

/// Bytes to lines to `SMTPSession`, and its replies back.
private final class SMTPHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let store: MailStore
    private var session = SMTPSession()
    private var received = ByteBuffer()

    init(store: MailStore) { self.store = store }

    func channelActive(context: ChannelHandlerContext) { say(SMTPSession.greeting, context) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        received.writeBuffer(&bytes)
        while let end = received.readableBytesView.firstIndex(of: 0x0a) {
            let line = Array(received.readableBytesView[..<end])
            received.moveReaderIndex(to: end + 1)
            switch session.receive(line.last == 0x0d ? line.dropLast() : line[...]) {
            case .silent: break
            case .reply(let text): say(text, context)
            case .replyAndClose(let text):
                say(text, context)
                context.close(promise: nil)
                return
            case .deliver(let mail, let reply):
                do {
                    try store.keep(mail)
                    say(reply, context)
                } catch {
                    say("452 4.3.1 the mail could not be stored", context)
                }
            }
        }
        received.discardReadBytes()
        if received.readableBytes > SMTPSession.lineLimit {
            say("500 5.5.2 line too long", context)
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func say(_ text: String, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text + "\r\n")), promise: nil)
    }
}
