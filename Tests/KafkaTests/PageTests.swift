import DevStack
import Foundation
import Kafka
import TestKit
import Testing

/// The page for operators, Shared/Kafka/README.md: what it names is what the programs take.
@Suite("The page on real clusters")
struct PageTests {
    private let page: String
    private let certificate: TestCertificate

    init() throws {
        page = try String(contentsOfFile: Repository.path("Shared/Kafka/README.md"), encoding: .utf8)
        certificate = try TestCertificate(name: "content")
    }

    private func blocks(_ kind: String) -> [String] {
        page.components(separatedBy: "```\(kind)\n").dropFirst().compactMap { $0.components(separatedBy: "```").first }
    }

    private func settings(_ block: String) -> [String: String] {
        Dictionary(
            block.split(separator: "\n").map { $0.split(separator: "=", maxSplits: 1).map(String.init) }.map { ($0[0], $0[1]) },
            uniquingKeysWith: { first, _ in first })
    }

    /// What a mounted file would hold.
    private func content(of setting: String) -> String? {
        switch setting {
        case "KAFKA_PASSWORD": "a password"
        case "KAFKA_CA", "KAFKA_CERTIFICATE": certificate.certificate
        case "KAFKA_KEY": certificate.key
        default: nil
        }
    }

    private func read(_ block: [String: String]) -> KafkaSettings {
        KafkaSettings(clientID: "tests") { setting in
            block["TRIONEX_\(setting.name)"] ?? (block["TRIONEX_\(setting.name)_FILE"] == nil ? nil : content(of: setting.name))
        }
    }

    @Test("Every set of settings it shows is accepted, and a client is made of it")
    func environments() throws {
        let blocks = blocks("env").map(settings)
        #expect(blocks.count >= 4)
        let known = Set(KafkaSettings.all.flatMap { ["TRIONEX_\($0.name)", "TRIONEX_\($0.name)_FILE"] })
        for block in blocks {
            #expect(Set(block.keys).isSubset(of: known), "\(block.keys)")
            let read = read(block)
            #expect(read.problems.isEmpty, "\(read.problems)")
            // The library parses certificates and mechanisms only now.
            #expect(throws: Never.self) { _ = try KafkaProducer(read.configuration, logger: quiet) }
            #expect(throws: Never.self) { _ = try KafkaConsumer(read.configuration, group: "g", topics: ["t"], logger: quiet) }
        }
    }

    @Test("Every property it shows is accepted, alone and together")
    func properties() throws {
        let block = try #require(blocks("properties").first)
        let together = KafkaSettings(clientID: "tests") { $0.name == "KAFKA_PROPERTIES" ? block : nil }
        #expect(together.problems.isEmpty, "\(together.problems)")
        #expect(together.configuration.extra.count == block.split(separator: "\n").count)
        for line in block.split(separator: "\n") {
            let alone = KafkaSettings(clientID: "tests") { $0.name == "KAFKA_PROPERTIES" ? String(line) : nil }
            #expect(alone.problems.isEmpty, "\(line): \(alone.problems)")
        }
    }

    @Test("What it says Debian's library cannot do is refused with a reason")
    func openID() {
        let read = KafkaSettings(clientID: "tests") { $0.name == "KAFKA_PROPERTIES" ? "sasl.oauthbearer.method=oidc" : nil }
        // A later library can, and then the page is to be changed.
        #expect(read.problems.count == 1)
        #expect(read.problems.first?.contains("oidc") == true || read.problems.first?.contains("OIDC") == true)
    }

    @Test(
        "Each wrong setting has a sentence of its own, without the secret in it",
        arguments: [
            (["KAFKA_SECURITY": "tls"], "plaintext, ssl"),
            (["KAFKA_SECURITY": "sasl_ssl"], "needs a SASL mechanism"),
            (["KAFKA_SECURITY": "sasl_ssl", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-1", "KAFKA_PASSWORD": "hunter2"], "is not one of"),
            (["KAFKA_SECURITY": "sasl_ssl", "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512", "KAFKA_PASSWORD": "hunter2"], "needs a user name"),
            (["KAFKA_SECURITY": "sasl_ssl", "KAFKA_SASL_MECHANISM": "OAUTHBEARER"], "needs the path"),
            (["KAFKA_PASSWORD": "hunter2", "KAFKA_USERNAME": "u"], "does not use SASL"),
            (["KAFKA_CA": "hunter2"], "does not use TLS"),
            (["KAFKA_SECURITY": "ssl", "KAFKA_CA": "hunter2"], "not in PEM form"),
            (["KAFKA_SECURITY": "ssl", "KAFKA_KEY": "-----BEGIN hunter2"], "given together"),
            (["KAFKA_PROPERTIES": "sasl.password hunter2"], "entry 1 is not name=value"),
            (["KAFKA_PROPERTIES": "no.such=hunter"], "no.such"),
        ])
    func wrong(settings: [String: String], sentence: String) {
        let read = KafkaSettings(clientID: "tests") { settings[$0.name] }
        #expect(read.problems.contains { $0.contains(sentence) }, "\(read.problems)")
        #expect(!read.problems.joined().contains("hunter2"))
    }

    @Test("A certificate that cannot be read is said when the client is made, without its text")
    func brokenCertificate() {
        let broken = "-----BEGIN CERTIFICATE-----\nhunter2\n-----END CERTIFICATE-----\n"
        let read = KafkaSettings(clientID: "tests") { ["KAFKA_SECURITY": "ssl", "KAFKA_CA": broken][$0.name] }
        let failure = #expect(throws: KafkaFailure.self) { _ = try KafkaProducer(read.configuration, logger: quiet) }
        #expect(failure.map { "\($0)".contains("hunter2") } == false)
    }

    @Test("Tools take the same from their environment, secrets from files, and say which file they cannot read")
    func environment() throws {
        let scratch = try ScratchDirectory("trionex-kafka-page")
        defer { scratch.remove() }
        try "a; password\n".write(toFile: scratch.path + "/password", atomically: true, encoding: .utf8)
        var environment = [
            "TRIONEX_KAFKA_SECURITY": "sasl_ssl", "TRIONEX_KAFKA_SASL_MECHANISM": "SCRAM-SHA-256", "TRIONEX_KAFKA_USERNAME": "operator",
            "TRIONEX_KAFKA_PASSWORD_FILE": scratch.path + "/password",
        ]
        let read = KafkaSettings(clientID: "tests", environment: environment, brokers: "b:9093")
        #expect(read.problems.isEmpty)
        #expect(read.configuration.brokers == "b:9093")
        #expect(read.configuration.security.password == "a; password")
        environment["TRIONEX_KAFKA_PASSWORD_FILE"] = scratch.path + "/gone"
        let without = KafkaSettings(clientID: "tests", environment: environment)
        #expect(without.problems.contains("TRIONEX_KAFKA_PASSWORD_FILE names a file that cannot be read"))
    }

    @Test("Values with ; stand on lines of their own, and comments and blanks are passed over")
    func lines() {
        let read = KafkaSettings(clientID: "tests") {
            $0.name == "KAFKA_PROPERTIES" ? "# how\n\n client.rack = a;b=c \nlinger.ms=1\n" : nil
        }
        #expect(read.configuration.extra == ["client.rack": "a;b=c", "linger.ms": "1"])
        let short = KafkaSettings(clientID: "tests") { $0.name == "KAFKA_PROPERTIES" ? "client.rack=a; linger.ms=1;" : nil }
        #expect(short.configuration.extra == ["client.rack": "a", "linger.ms": "1"])
    }
}
