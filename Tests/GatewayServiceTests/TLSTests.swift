import Foundation
import Logging
import NIOCore
import NIOPosix
import NIOSSL
import NIOTLS
import Synchronization
import TestKit
import Testing

@testable import GatewayService

@Suite("TLS")
struct TLSTests {
    /// A folder with a certificate and its key, gone at the end.
    final class Files: Sendable {
        let folder: String
        var certificate: String { folder + "/certificate.pem" }
        var key: String { folder + "/key.pem" }

        init(_ pair: TestCertificate) throws {
            folder = FileManager.default.temporaryDirectory.path + "/trionex-tls-" + UUID().uuidString
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try write(pair)
        }

        deinit { try? FileManager.default.removeItem(atPath: folder) }

        func write(_ pair: TestCertificate) throws {
            try pair.key.write(toFile: key, atomically: true, encoding: .utf8)
            try pair.certificate.write(toFile: certificate, atomically: true, encoding: .utf8)
        }

        func edge(tls12: Bool = false, openingSeconds: Int = 5) -> EdgeSettings {
            EdgeSettings(
                tls: .init(port: 0, certificate: certificate, key: key, allowsTLS12: tls12), openingSeconds: openingSeconds)
        }
    }

    /// What a client saw of a connection.
    struct Seen: Sendable {
        var agreed: String?
        var version: TLSVersion?
        var certificate: [UInt8] = []
        var text = ""
    }

    static func configuration(
        protocols: [String] = [], _ change: (inout TLSConfiguration) -> Void = { _ in }
    ) -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.certificateVerification = .none
        configuration.applicationProtocols = protocols
        change(&configuration)
        return configuration
    }

    /// Connects, sends one request of HTTP/1.1 unless HTTP/2 was agreed on, and reads the answer. Throws where the handshake fails.
    static func visit(_ booth: EdgeBooth, _ configuration: TLSConfiguration = configuration()) async throws -> Seen {
        let context = try NIOSSLContext(configuration: configuration)
        let seen = NIOLockedSeen()
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                    try channel.pipeline.syncOperations.addHandler(Visitor(seen))
                }
            }
            .connect(host: "127.0.0.1", port: try #require(booth.ports.tls)).get()
        try await channel.closeFuture.get()
        return try seen.result()
    }

    final class NIOLockedSeen: Sendable {
        private let held = Mutex<(seen: Seen, error: (any Error)?)>((Seen(), nil))
        func change(_ body: @Sendable (inout Seen) -> Void) { held.withLock { body(&$0.seen) } }
        func fail(_ error: any Error) { held.withLock { $0.error = $0.error ?? error } }
        func result() throws -> Seen {
            try held.withLock { held in
                if let error = held.error { throw error }
                return held.seen
            }
        }
    }

    private final class Visitor: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        typealias OutboundOut = ByteBuffer
        private let seen: NIOLockedSeen
        private var isAgreed = false

        init(_ seen: NIOLockedSeen) { self.seen = seen }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case TLSUserEvent.handshakeCompleted(let agreed) = event else { return }
            isAgreed = true
            let handler = try? context.pipeline.syncOperations.handler(type: NIOSSLClientHandler.self)
            let version = handler?.tlsVersion
            let certificate = (try? handler?.peerCertificate?.toDERBytes()) ?? []
            seen.change {
                $0.agreed = agreed
                $0.version = version
                $0.certificate = certificate
            }
            let text =
                agreed == "h2" ? "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\u{4}\0\0\0\0\0" : "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
            context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: text)), promise: nil)
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            let bytes = unwrapInboundIn(data)
            let text = String(decoding: bytes.readableBytesView, as: UTF8.self)
            seen.change { $0.text += text }
            context.close(promise: nil)
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) {
            // TLS 1.3 tells a client of its refusal behind a handshake that looked good.
            if !isAgreed { seen.fail(error) }
            context.close(promise: nil)
        }

        func channelInactive(context: ChannelHandlerContext) {
            if !isAgreed { seen.fail(ChannelError.eof) }
        }
    }

    // MARK: Protocols

    @Test("HTTP/2 is agreed on where the client offers it, and HTTP/1.1 otherwise")
    func agreement() async throws {
        let files = try Files(TestCertificate(name: "first"))
        try await EdgeBooth.with(files.edge()) { booth in
            let two = try await Self.visit(booth, Self.configuration(protocols: ["h2", "http/1.1"]))
            #expect(two.agreed == "h2" && two.version == .tlsv13)
            // SETTINGS come first.
            #expect(Array(two.text.utf8).dropFirst(3).first == 4)
            let one = try await Self.visit(booth, Self.configuration(protocols: ["http/1.1"]))
            #expect(one.agreed == "http/1.1" && one.text.hasSuffix("127.0.0.1 https trusted"))
            let none = try await Self.visit(booth)
            #expect(none.agreed == nil && none.text.hasSuffix("127.0.0.1 https trusted"))
        }
    }

    @Test("TLS 1.2 is refused unless the settings allow it, and then only with forward secrecy and authenticated encryption")
    func versions() async throws {
        let files = try Files(TestCertificate(name: "first"))
        let old = Self.configuration { $0.maximumTLSVersion = .tlsv12 }
        try await EdgeBooth.with(files.edge()) { booth in
            await #expect(throws: (any Error).self) { try await Self.visit(booth, old) }
            try await eventually("it is counted") { booth.counters.failedHandshakes.load(ordering: .relaxed) == 1 }
        }
        try await EdgeBooth.with(files.edge(tls12: true)) { booth in
            let seen1 = try await Self.visit(booth, old)
            #expect(seen1.version == .tlsv12)
            let weak = Self.configuration {
                $0.maximumTLSVersion = .tlsv12
                $0.cipherSuiteValues = [.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, .TLS_RSA_WITH_AES_128_GCM_SHA256]
            }
            await #expect(throws: (any Error).self) { try await Self.visit(booth, weak) }
            let seen2 = try await Self.visit(booth)
            #expect(seen2.version == .tlsv13)
        }
    }

    // MARK: Openings

    @Test("Whoever does not finish the handshake in time, or says something else, is closed and counted")
    func openings() async throws {
        let files = try Files(TestCertificate(name: "first"))
        try await EdgeBooth.with(files.edge(openingSeconds: 1)) { booth in
            let port = try #require(booth.ports.tls)
            let silent = try RawSocket(port: port)
            let plain = try RawSocket(port: port)
            try await plain.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try await plain.receiveAll().ended)
            #expect(booth.counters.failedHandshakes.load(ordering: .relaxed) == 1)
            #expect(try await silent.receiveAll().ended)
            #expect(booth.counters.slowOpenings.load(ordering: .relaxed) == 1)
            let seen3 = try await Self.visit(booth)
            #expect(seen3.text.contains("https"))
        }
    }

    @Test("A PROXY header comes before the handshake")
    func behindProxy() async throws {
        let files = try Files(TestCertificate(name: "first"))
        let edge = EdgeSettings(tls: files.edge().tls, proxyProtocol: true, openingSeconds: 5)
        try await EdgeBooth.with(edge) { booth in
            let context = try NIOSSLContext(configuration: Self.configuration())
            let seen = NIOLockedSeen()
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: "127.0.0.1", port: try #require(booth.ports.tls)).get()
            try await channel.writeAndFlush(ByteBuffer(string: "PROXY TCP4 203.0.113.9 192.0.2.1 50000 443\r\n")).get()
            try await channel.eventLoop.submit {
                try channel.pipeline.syncOperations.addHandler(NIOSSLClientHandler(context: context, serverHostname: nil))
                try channel.pipeline.syncOperations.addHandler(Visitor(seen))
            }.get()
            try await channel.closeFuture.get()
            #expect(try seen.result().text.hasSuffix("203.0.113.9 https unknown"))
        }
    }

    // MARK: Certificates

    @Test("New files are taken over for new connections while old ones go on")
    func replaced() async throws {
        let first = try TestCertificate(name: "first"), second = try TestCertificate(name: "second", days: 60)
        let files = try Files(first)
        try await EdgeBooth.with(files.edge()) { booth in
            let certificates = try #require(booth.listener.certificates)
            let before = try await Self.visit(booth)
            let firstEnd = certificates.expires
            let watching = Task { await certificates.watch() }
            try files.write(second)
            try await eventually("the new one is shown") { try await Self.visit(booth).certificate != before.certificate }
            watching.cancel()
            #expect(certificates.expires > firstEnd)
            #expect(booth.counters.failedHandshakes.load(ordering: .relaxed) == 0)
        }
    }

    @Test("A pair that does not belong together, or is none, is refused, and the old one stays until a good one comes")
    func brokenPairs() throws {
        let first = try TestCertificate(name: "first"), second = try TestCertificate(name: "second", days: 60)
        let files = try Files(first)
        let tls = try #require(files.edge().tls)
        let certificates = try TLSCertificates(tls, logger: quiet)
        let end = certificates.expires
        #expect(certificates.refresh() == .none)
        try second.key.write(toFile: files.key, atomically: true, encoding: .utf8)
        #expect(certificates.refresh() == .refused("certificate and key do not belong together"))
        #expect(certificates.refresh() == .none)
        try "nonsense".write(toFile: files.certificate, atomically: true, encoding: .utf8)
        #expect(certificates.refresh() == .refused("the certificate file holds no certificate in PEM form"))
        try FileManager.default.removeItem(atPath: files.certificate)
        #expect(certificates.refresh() == .none)
        #expect(certificates.expires == end)
        try files.write(second)
        #expect(certificates.refresh() == .replaced(expires: certificates.expires))
        #expect(certificates.expires > end)
    }

    @Test("Without a usable pair the listener does not start, and says why without the key")
    func unusable() throws {
        let files = try Files(TestCertificate(name: "first"))
        let tls = try #require(files.edge().tls)
        try "nonsense".write(toFile: files.key, atomically: true, encoding: .utf8)
        let error = try #require(throws: TLSCertificates.Unusable.self) { try TLSCertificates(tls, logger: quiet) }
        #expect(error.description == "the key file holds no readable private key in PEM form")
        try FileManager.default.removeItem(atPath: files.key)
        #expect(throws: TLSCertificates.Unusable.self) { try TLSCertificates(tls, logger: quiet) }
    }
}
