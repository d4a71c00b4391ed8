import Crypto
import Foundation
import Logging
import NIOCore
import NIOSSL
import Synchronization

/// The certificate that clients are shown, read again when its files change.
///
/// New connections get the new one, those that are open go on with theirs. A pair that cannot be used is refused and logged, and the old
/// one stays: a broken roll-out of certificates takes nothing away.
final class TLSCertificates: Sendable {
    enum Change: Equatable {
        case none
        /// With the end of its time, in seconds since 1970.
        case replaced(expires: Int)
        case refused(String)
    }

    struct Unusable: Error, CustomStringConvertible {
        let description: String
    }

    private struct State {
        var context: NIOSSLContext
        /// Of what was read last, usable or not, so that each is judged and logged once.
        var seen: SHA256Digest
        var expires: Int
    }

    private let files: EdgeSettings.TLS
    private let state: Mutex<State>
    private let logger: Logger

    /// Throws `Unusable` where the files cannot be read, are no PEM, or do not belong together.
    init(_ files: EdgeSettings.TLS, logger: Logger) throws {
        self.files = files
        self.logger = logger
        let pair = try Self.read(files)
        let made = try Self.context(pair, files)
        state = Mutex(State(context: made.context, seen: pair.digest, expires: made.expires))
        logger.info("certificate loaded", metadata: ["expires": "\(made.expires)"])
    }

    /// For the next connection.
    var context: NIOSSLContext { state.withLock { $0.context } }
    /// The end of the certificate's time, in seconds since 1970.
    var expires: Int { state.withLock { $0.expires } }

    /// Looks at the files every second for as long as the task runs.
    func watch() async {
        while !Task.isCancelled {
            try? await Task.sleep(for: .seconds(1))
            if !Task.isCancelled { refresh() }
        }
    }

    /// Reads the files and takes them over where they are new and good.
    @discardableResult
    func refresh() -> Change {
        let pair: Pair
        do {
            pair = try Self.read(files)
        } catch {
            // A file that is just being replaced is there again a moment later; one that is gone for good shows at the next start.
            return .none
        }
        guard state.withLock({ $0.seen != pair.digest }) else { return .none }
        do {
            let made = try Self.context(pair, files)
            state.withLock { $0 = State(context: made.context, seen: pair.digest, expires: made.expires) }
            logger.notice("certificate replaced", metadata: ["expires": "\(made.expires)"])
            return .replaced(expires: made.expires)
        } catch {
            state.withLock { $0.seen = pair.digest }
            logger.error("the new certificate cannot be used, the old one stays", metadata: ["reason": "\(error)"])
            return .refused("\(error)")
        }
    }

    // MARK: Reading

    private struct Pair {
        let certificate: [UInt8]
        let key: [UInt8]
        let digest: SHA256Digest
    }

    private static func read(_ files: EdgeSettings.TLS) throws -> Pair {
        guard let certificate = FileManager.default.contents(atPath: files.certificate) else {
            throw Unusable(description: "the certificate file cannot be read")
        }
        guard let key = FileManager.default.contents(atPath: files.key) else { throw Unusable(description: "the key file cannot be read") }
        var hash = SHA256()
        hash.update(data: certificate)
        hash.update(data: [0])
        hash.update(data: key)
        return Pair(certificate: Array(certificate), key: Array(key), digest: hash.finalize())
    }

    private static func context(_ pair: Pair, _ files: EdgeSettings.TLS) throws -> (context: NIOSSLContext, expires: Int) {
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(pair.certificate), let leaf = chain.first else {
            throw Unusable(description: "the certificate file holds no certificate in PEM form")
        }
        guard let key = try? NIOSSLPrivateKey(bytes: pair.key, format: .pem) else {
            throw Unusable(description: "the key file holds no readable private key in PEM form")
        }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(key))
        configuration.minimumTLSVersion = files.allowsTLS12 ? .tlsv12 : .tlsv13
        configuration.cipherSuiteValues = suites
        configuration.applicationProtocols = ["h2", "http/1.1"]
        // Who does not answer our close_notify is not waited for.
        configuration.shutdownTimeout = .seconds(2)
        do {
            return (try NIOSSLContext(configuration: configuration), Int(leaf.notValidAfter))
        } catch {
            throw Unusable(description: "certificate and key do not belong together")
        }
    }

    /// Of TLS 1.2 only what has forward secrecy and authenticated encryption, as HTTP/2 demands (RFC 9113, section 9.2.2).
    /// Those of TLS 1.3 are all like that.
    private static let suites: [NIOTLSCipher] = [
        .TLS_AES_128_GCM_SHA256, .TLS_AES_256_GCM_SHA384, .TLS_CHACHA20_POLY1305_SHA256,
        .TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, .TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
        .TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, .TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
        .TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, .TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
    ]
}
