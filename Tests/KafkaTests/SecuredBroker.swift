import Crypto
import Foundation
import NIOCore
import NIOPosix
import NIOSSL
import Synchronization

/// As much of a Kafka broker as it takes to be signed in to: TLS, and SASL by PLAIN, SCRAM and OAUTHBEARER. The local broker has neither. What comes
/// after the sign-in is not answered.
final class SecuredBroker: Sendable {
    struct Account: Sendable {
        var user = "trionex"
        var password = "a password; with = and ;"
        var token = ""
    }

    /// What clients have done, in their order.
    enum Deed: Equatable, Sendable {
        case connected(certificate: Bool)
        case chose(String)
        case signedIn
        case wasRefused
        /// A request of an API behind the sign-in.
        case asked(Int16)
    }

    let port: Int
    private let channel: any Channel

    /// `tls` is the server's certificate and key in PEM; `clients` the authority of clients' certificates, when they must show one.
    static func start(_ account: Account, tls: (certificate: String, key: String)?, clients: String? = nil) async throws -> SecuredBroker {
        let seen = Seen()
        var context: NIOSSLContext?
        if let tls {
            var configuration = TLSConfiguration.makeServerConfiguration(
                certificateChain: try NIOSSLCertificate.fromPEMBytes(Array(tls.certificate.utf8)).map { .certificate($0) },
                privateKey: .privateKey(try NIOSSLPrivateKey(bytes: Array(tls.key.utf8), format: .pem)))
            if let clients {
                configuration.certificateVerification = .noHostnameVerification
                configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(Array(clients.utf8)))
            }
            context = try NIOSSLContext(configuration: configuration)
        }
        let secured = context
        let showsCertificate = clients != nil
        let channel = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    if let secured { try channel.pipeline.syncOperations.addHandler(NIOSSLServerHandler(context: secured)) }
                    try channel.pipeline.syncOperations.addHandlers([
                        ByteToMessageHandler(Frames()), SignIn(account, seen, showsCertificate: showsCertificate),
                    ])
                }
            }.bind(host: "127.0.0.1", port: 0).get()
        return SecuredBroker(channel, seen)
    }

    private let seen: Seen

    private init(_ channel: any Channel, _ seen: Seen) {
        self.channel = channel
        port = channel.localAddress?.port ?? 0
        self.seen = seen
    }

    var history: [Deed] { seen.deeds.withLock { $0 } }

    func stop() async { try? await channel.close() }

    final class Seen: Sendable {
        let deeds = Mutex<[Deed]>([])
        func add(_ deed: Deed) { deeds.withLock { $0.append(deed) } }
    }
}

/// Kafka's frames: a length of 32 bits, then so many bytes.
private struct Frames: ByteToMessageDecoder {
    typealias InboundOut = ByteBuffer

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        guard let length = buffer.getInteger(at: buffer.readerIndex, as: Int32.self), buffer.readableBytes >= 4 + Int(length) else {
            return .needMoreData
        }
        buffer.moveReaderIndex(forwardBy: 4)
        guard let frame = buffer.readSlice(length: Int(length)) else { return .needMoreData }
        context.fireChannelRead(wrapInboundOut(frame))
        return .continue
    }
}

/// The sign-in of one connection (Kafka protocol guide: ApiVersions 18, SaslHandshake 17, SaslAuthenticate 36).
private final class SignIn: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private static let illegalState: Int16 = 34, unsupportedVersion: Int16 = 35, authenticationFailed: Int16 = 58

    private let account: SecuredBroker.Account
    private let seen: SecuredBroker.Seen
    private let showsCertificate: Bool
    private var mechanism = ""
    private var scram: ScramServer?
    private var isSignedIn = false

    init(_ account: SecuredBroker.Account, _ seen: SecuredBroker.Seen, showsCertificate: Bool) {
        self.account = account
        self.seen = seen
        self.showsCertificate = showsCertificate
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var request = unwrapInboundIn(data)
        guard let api: Int16 = request.readInteger(), let version: Int16 = request.readInteger(),
            let correlation: Int32 = request.readInteger(), let client: Int16 = request.readInteger()
        else { return context.close(promise: nil) }
        request.moveReaderIndex(forwardBy: Int(max(0, client)))
        var answer = ByteBuffer()
        answer.writeInteger(correlation)
        switch api {
        case 18: versions(version, &answer, context)
        case 17: handshake(&request, &answer)
        case 36: authenticate(&request, &answer)
        default:
            seen.add(.asked(api))
            return context.close(promise: nil)
        }
        var frame = ByteBuffer()
        frame.writeInteger(Int32(answer.readableBytes))
        frame.writeBuffer(&answer)
        context.writeAndFlush(wrapOutboundOut(frame), promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func versions(_ version: Int16, _ answer: inout ByteBuffer, _ context: ChannelHandlerContext) {
        if version == 0 || version > 2 { seen.add(.connected(certificate: showsCertificate)) }
        answer.writeInteger(version > 2 ? Self.unsupportedVersion : 0)
        let known: [(Int16, Int16, Int16)] = [
            (0, 0, 7), (1, 0, 11), (2, 0, 1), (3, 0, 2), (8, 0, 2), (9, 0, 1), (10, 0, 1), (11, 0, 2), (12, 0, 1), (13, 0, 1), (14, 0, 1),
            (17, 0, 1), (18, 0, 2), (22, 0, 1), (36, 0, 0),
        ]
        answer.writeInteger(Int32(known.count))
        for (api, least, most) in known { answer.writeMultipleIntegers(api, least, most) }
        if version > 0, version <= 2 { answer.writeInteger(Int32(0)) }
    }

    private func handshake(_ request: inout ByteBuffer, _ answer: inout ByteBuffer) {
        mechanism = request.readInteger(as: Int16.self).flatMap { request.readString(length: Int($0)) } ?? ""
        seen.add(.chose(mechanism))
        answer.writeInteger(Int16(0))
        answer.writeInteger(Int32(1))
        answer.writeInteger(Int16(mechanism.utf8.count))
        answer.writeString(mechanism)
    }

    private func authenticate(_ request: inout ByteBuffer, _ answer: inout ByteBuffer) {
        let text = request.readInteger(as: Int32.self).flatMap { request.readString(length: Int($0)) } ?? ""
        if let reply = reply(to: text) {
            answer.writeMultipleIntegers(Int16(0), Int16(-1), Int32(reply.utf8.count))
            answer.writeString(reply)
        } else {
            seen.add(.wasRefused)
            let reason = "Authentication failed"
            answer.writeMultipleIntegers(Self.authenticationFailed, Int16(reason.utf8.count))
            answer.writeString(reason)
            answer.writeInteger(Int32(0))
        }
    }

    /// Nil refuses.
    private func reply(to text: String) -> String? {
        switch mechanism {
        case "PLAIN":
            // RFC 4616: who to act as, user and password, each after a zero.
            guard text.split(separator: "\0", omittingEmptySubsequences: false).dropFirst() == [account.user[...], account.password[...]]
            else { return nil }
        case "OAUTHBEARER":
            guard text.contains("auth=Bearer \(account.token)\u{1}") else { return nil }
        default:
            if scram == nil {
                scram = ScramServer(account, bits: mechanism.hasSuffix("512") ? 512 : 256)
                return scram?.challenge(text)
            }
            guard let proven = scram?.verify(text) else { return nil }
            seen.add(.signedIn)
            return proven
        }
        seen.add(.signedIn)
        return ""
    }
}

/// The server's half of SCRAM (RFC 5802).
private struct ScramServer {
    private static let rounds = 4_096
    private let account: SecuredBroker.Account
    private let bits: Int
    private let salt = Data((0..<16).map { _ in UInt8.random(in: 0...255) })
    private var clientFirst = ""
    private var serverFirst = ""

    init(_ account: SecuredBroker.Account, bits: Int) {
        self.account = account
        self.bits = bits
    }

    mutating func challenge(_ text: String) -> String? {
        // n,,n=user,r=nonce
        clientFirst = text.split(separator: ",", maxSplits: 2, omittingEmptySubsequences: false).last.map(String.init) ?? ""
        let fields = Self.fields(clientFirst)
        guard fields["n"] == account.user, let nonce = fields["r"] else { return nil }
        serverFirst = "r=\(nonce)server,s=\(salt.base64EncodedString()),i=\(Self.rounds)"
        return serverFirst
    }

    func verify(_ text: String) -> String? {
        let fields = Self.fields(text)
        guard let proof = fields["p"].flatMap({ Data(base64Encoded: $0) }), let end = text.range(of: ",p=") else { return nil }
        let message = Data("\(clientFirst),\(serverFirst),\(text[..<end.lowerBound])".utf8)
        let salted = salted()
        let clientKey = mac(Data("Client Key".utf8), salted)
        let signature = mac(message, hash(clientKey))
        guard Data(zip(clientKey, signature).map { $0 ^ $1 }) == proof else { return nil }
        return "v=\(mac(message, mac(Data("Server Key".utf8), salted)).base64EncodedString())"
    }

    private static func fields(_ text: String) -> [String: String] {
        let pairs = text.split(separator: ",").map { $0.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false) }
        return Dictionary(pairs.map { (String($0[0]), $0.count > 1 ? String($0[1]) : "") }, uniquingKeysWith: { first, _ in first })
    }

    private func salted() -> Data {
        let key = Data(account.password.utf8)
        var round = mac(salt + Data([0, 0, 0, 1]), key)
        var sum = round
        for _ in 1..<Self.rounds {
            round = mac(round, key)
            sum = Data(zip(sum, round).map { $0 ^ $1 })
        }
        return sum
    }

    private func mac(_ data: Data, _ key: Data) -> Data {
        bits == 512
            ? Data(HMAC<SHA512>.authenticationCode(for: data, using: SymmetricKey(data: key)))
            : Data(HMAC<SHA256>.authenticationCode(for: data, using: SymmetricKey(data: key)))
    }

    private func hash(_ data: Data) -> Data { bits == 512 ? Data(SHA512.hash(data: data)) : Data(SHA256.hash(data: data)) }
}
