import DevStack
import Foundation
import Kafka
import Logging
import Synchronization
import TestKit
import Testing

/// Against a server that really checks: the local broker has no TLS and no accounts.
@Suite("Signing in to secured brokers")
struct SignInTests {
    private let account = SecuredBroker.Account()
    private let server: TestCertificate
    private let client: TestCertificate

    init() throws {
        server = try TestCertificate(name: "broker")
        client = try TestCertificate(name: "content")
    }

    /// Opens a client and gives what the broker saw once `condition` holds, with all that was logged.
    private func visit(
        _ broker: SecuredBroker, _ security: KafkaSecurity, until condition: ([SecuredBroker.Deed]) -> Bool
    ) async throws -> (deeds: [SecuredBroker.Deed], log: String) {
        let book = LogBook()
        let producer = try KafkaProducer(
            KafkaConfiguration(brokers: "127.0.0.1:\(broker.port)", clientID: "tests", security: security), logger: book.logger)
        #expect(await eventually { condition(broker.history) }, "saw \(broker.history)")
        await producer.shutdown()
        await broker.stop()
        return (broker.history, book.text)
    }

    private func asked(_ deeds: [SecuredBroker.Deed]) -> Bool { deeds.contains(.asked(3)) }

    @Test("By user and password over TLS, with each mechanism", arguments: ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
    func password(mechanism: String) async throws {
        let broker = try await SecuredBroker.start(account, tls: (server.certificate, server.key))
        let security = KafkaSecurity(
            wire: .saslTLS, saslMechanism: mechanism, username: account.user, password: account.password, authority: server.certificate)
        let (deeds, log) = try await visit(broker, security, until: asked)
        #expect(deeds.contains(.chose(mechanism)) && deeds.contains(.signedIn))
        #expect(!deeds.contains(.wasRefused))
        #expect(!log.contains(account.password))
    }

    @Test("A wrong password is refused, logged, and never written down", arguments: ["PLAIN", "SCRAM-SHA-512"])
    func wrongPassword(mechanism: String) async throws {
        let broker = try await SecuredBroker.start(account, tls: (server.certificate, server.key))
        let security = KafkaSecurity(
            wire: .saslTLS, saslMechanism: mechanism, username: account.user, password: "hunter2hunter2", authority: server.certificate)
        let (deeds, log) = try await visit(broker, security) { $0.contains(.wasRefused) }
        #expect(!deeds.contains(.signedIn))
        #expect(!log.contains("hunter2hunter2"))
    }

    @Test("By a certificate of its own")
    func mutualTLS() async throws {
        let broker = try await SecuredBroker.start(account, tls: (server.certificate, server.key), clients: client.certificate)
        let security = KafkaSecurity(
            wire: .ssl, authority: server.certificate, certificate: client.certificate, key: client.key)
        let (deeds, log) = try await visit(broker, security, until: asked)
        #expect(deeds.contains(.connected(certificate: true)))
        #expect(!log.contains("PRIVATE KEY"))
    }

    @Test("Without the certificate that the broker wants, or with a broker that another authority signed, nothing is asked")
    func untrusted() async throws {
        let strict = try await SecuredBroker.start(account, tls: (server.certificate, server.key), clients: client.certificate)
        let other = try await SecuredBroker.start(account, tls: (client.certificate, client.key))
        let security = KafkaSecurity(wire: .ssl, authority: server.certificate)
        for broker in [strict, other] {
            let producer = try KafkaProducer(
                KafkaConfiguration(brokers: "127.0.0.1:\(broker.port)", clientID: "tests", security: security), logger: quiet)
            await #expect(throws: KafkaFailure.self) { try await producer.ping() }
            #expect(!broker.history.contains(.asked(3)))
            await producer.shutdown()
            await broker.stop()
        }
    }

    @Test("By a token from a file, which is read again when it was exchanged")
    func token() async throws {
        let scratch = try ScratchDirectory("trionex-kafka-token")
        defer { scratch.remove() }
        var account = account
        account.token = jwt(expiresIn: 3_600)
        let broker = try await SecuredBroker.start(account, tls: (server.certificate, server.key))
        let path = scratch.path + "/token"
        // At first the one of yesterday lies there: the library asks again after a while.
        try jwt(expiresIn: -60).write(toFile: path, atomically: true, encoding: .utf8)
        let security = KafkaSecurity(
            wire: .saslTLS, saslMechanism: "OAUTHBEARER", tokenPath: path, authority: server.certificate)
        let token = account.token
        let exchange = Task {
            try await Task.sleep(for: .seconds(1))
            try token.write(toFile: path, atomically: true, encoding: .utf8)
        }
        let (deeds, log) = try await visit(broker, security, until: asked)
        try await exchange.value
        #expect(deeds.contains(.chose("OAUTHBEARER")) && deeds.contains(.signedIn))
        #expect(!log.contains(token))
    }

    private func jwt(expiresIn seconds: Int) -> String {
        func part(_ json: String) -> String {
            Data(json.utf8).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_").replacing("=", with: "")
        }
        return part(#"{"alg":"none"}"#) + "." + part(#"{"sub":"content","exp":\#(Int(Date().timeIntervalSince1970) + seconds)}"#) + ".sig"
    }
}

/// Keeps what is logged, to look for what must not be.
final class LogBook: Sendable {
    private let lines = Mutex<[String]>([])
    var text: String { lines.withLock { $0.joined(separator: "\n") } }

    var logger: Logger {
        var logger = Logger(label: "tests") { _ in Handler(book: self) }
        logger.logLevel = .trace
        return logger
    }

    private struct Handler: LogHandler {
        let book: LogBook
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            book.lines.withLock { $0.append("\(event.message) \(event.metadata ?? [:])") }
        }
    }
}
