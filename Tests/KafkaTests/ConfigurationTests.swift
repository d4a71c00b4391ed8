import Kafka
import Testing

@Suite("Kafka settings")
struct ConfigurationTests {
    private func problems(
        brokers: String = "127.0.0.1:9092", security: KafkaSecurity = KafkaSecurity(), extra: [String: String] = [:]
    ) -> [String] {
        KafkaConfiguration(brokers: brokers, clientID: "tests", security: security, extra: extra).problems
    }

    @Test("Usual settings have no problems", arguments: ["127.0.0.1:9092", "a.example:9092, b.example:9093", "[::1]:9092", "broker"])
    func usual(brokers: String) { #expect(problems(brokers: brokers).isEmpty) }

    @Test("Wrong broker addresses are named", arguments: ["", "a:9092,", "a:port", "a:0", "a:65536"])
    func brokers(brokers: String) { #expect(problems(brokers: brokers).count >= 1) }

    @Test("TLS and SASL settings pass through")
    func security() {
        let security = KafkaSecurity(wire: .saslTLS, saslMechanism: "SCRAM-SHA-512", username: "trionex", password: "secret")
        #expect(problems(security: security).isEmpty)
        #expect(problems(extra: ["security.protocol": "SASL_SSL", "sasl.mechanism": "PLAIN"]).isEmpty)
    }

    @Test("Security settings that contradict each other are all named")
    func contradictions() {
        #expect(problems(security: KafkaSecurity(wire: .saslTLS)).count == 1)
        #expect(problems(security: KafkaSecurity(wire: .saslTLS, saslMechanism: "PLAIN", username: "u")).count == 1)
        #expect(problems(security: KafkaSecurity(username: "u", password: "p", authority: "-----BEGIN CERTIFICATE-----")).count == 2)
        #expect(problems(security: KafkaSecurity(wire: .ssl, certificate: "-----BEGIN CERTIFICATE-----")).count >= 1)
    }

    @Test("Unknown properties and bad values are refused by name, and secrets are not repeated")
    func properties() {
        #expect(problems(extra: ["no.such.setting": "1"]).first?.contains("no.such.setting") == true)
        #expect(problems(extra: ["linger.ms": "soon"]).count == 1)
        #expect(!problems(extra: ["no.such.password": "hunter2"]).joined().contains("hunter2"))
    }

    @Test(
        "Properties that would break a promise of the platform are refused, and those that keep it pass",
        arguments: [
            "enable.idempotence=false", "acks=1", "request.required.acks=0", "enable.auto.commit=true", "enable.auto.offset.store=true",
        ])
    func promises(property: String) {
        let parts = property.split(separator: "=").map(String.init)
        #expect(problems(extra: [parts[0]: parts[1]]).contains { $0.hasPrefix("\(parts[0]) must stay") })
        #expect(problems(extra: ["enable.idempotence": "true", "acks": "-1", "enable.auto.commit": "false"]).isEmpty)
    }

    @Test("Clients with settings that cannot work are not made")
    func refused() {
        let configuration = KafkaConfiguration(brokers: "", clientID: "tests")
        #expect(throws: KafkaFailure.self) { try KafkaProducer(configuration, logger: quiet) }
        #expect(throws: KafkaFailure.self) { try KafkaConsumer(configuration, group: "g", topics: ["t"], logger: quiet) }
        let good = KafkaConfiguration(brokers: "127.0.0.1:9092", clientID: "tests")
        #expect(throws: KafkaFailure.self) { try KafkaConsumer(good, group: "g", topics: [], logger: quiet) }
    }
}
