import CRdKafka

/// Where the brokers are and how to speak to them.
package struct KafkaConfiguration: Sendable {
    /// `host:port`, several separated by commas. Some suffice: the rest is learned from them.
    package var brokers: String
    /// Shown in the brokers' logs and metrics.
    package var clientID: String
    package var security: KafkaSecurity
    /// Other settings of librdkafka by their own names; these win over ours.
    package var extra: [String: String]
    /// How long a record may wait for its delivery before `send` gives up.
    package var deliveryTimeout: Duration = .seconds(300)
    /// How long the producer gathers records before it sends a batch.
    package var linger: Duration = .milliseconds(5)
    /// How long a broker may hold a fetch open when there is nothing new. The local broker does not answer
    /// early, so this is also how late news can be there; on a real cluster it only sets the pace of idling.
    package var fetchWait: Duration = .milliseconds(20)
    /// How long a consumer may be silent before its partitions go to others.
    package var sessionTimeout: Duration = .seconds(10)
    /// How long handling may take between two calls of `next` before the group gives the partitions to others.
    package var maximumPollInterval: Duration = .seconds(300)

    package init(brokers: String, clientID: String, security: KafkaSecurity = KafkaSecurity(), extra: [String: String] = [:]) {
        self.brokers = brokers
        self.clientID = clientID
        self.security = security
        self.extra = extra
    }

    /// Every setting that cannot work, one sentence each; empty when all can. Secrets are never repeated.
    package var problems: [String] {
        var problems = Self.problems(brokers: brokers) + security.problems
        let conf = rd_kafka_conf_new()
        defer { rd_kafka_conf_destroy(conf) }
        for (name, value) in clientSettings { problems += Self.set(conf, name, value).map { [$0] } ?? [] }
        return problems + Self.overruled(extra)
    }

    /// Settings that would break a promise of the platform: records of a key in their order, and confirmed by all replicas in sync; offsets
    /// committed by the program alone.
    private static func overruled(_ extra: [String: String]) -> [String] {
        let fixed: [(names: [String], value: String, because: String)] = [
            (["enable.idempotence"], "true", "else a retry can change the order of a key"),
            (["acks", "request.required.acks"], "all", "else a confirmed record can be lost with one broker"),
            (["enable.auto.commit"], "false", "else an event is skipped that was not handled"),
            (["enable.auto.offset.store"], "false", "else an event is skipped that was not handled"),
        ]
        return fixed.flatMap { setting in
            setting.names.compactMap { name in
                guard let value = extra[name], value != setting.value, !(name.hasSuffix("acks") && value == "-1") else { return nil }
                return "\(name) must stay \(setting.value), \(setting.because)"
            }
        }
    }

    private static func problems(brokers: String) -> [String] {
        let entries = brokers.split(separator: ",", omittingEmptySubsequences: false)
        return entries.compactMap { entry in
            let text = entry.trimmingPrefix(while: \.isWhitespace)
            guard !text.isEmpty else { return "brokers: an entry is empty; write host:port, several separated by commas" }
            guard let colon = text.lastIndex(of: ":") else { return nil }
            let port = text[text.index(after: colon)...].prefix { !$0.isWhitespace }
            return UInt16(port).map { $0 > 0 } == true || text.hasSuffix("]")
                ? nil : "brokers: \(text) does not end in a port from 1 to 65535"
        }
    }
}

// MARK: - As librdkafka wants it

extension KafkaConfiguration {
    /// Records waiting in the producer; `send` waits for room beyond it.
    static let producerQueueRecords = 100_000
    static let producerQueueKilobytes = 65_536
    /// Measured: twice the throughput of the default of 1 MB with the idempotent producer.
    static let producerBatchBytes = 131_072
    /// What the library may fetch ahead for a consumer.
    static let consumerPrefetchKilobytes = 16_384

    private var clientSettings: [(String, String)] {
        [
            ("bootstrap.servers", brokers), ("client.id", clientID), ("reconnect.backoff.ms", "50"),
            ("reconnect.backoff.max.ms", "1000"), ("socket.keepalive.enable", "true"), ("socket.nagle.disable", "true"),
            ("log.connection.close", "false"),
        ] + security.settings + extra.sorted { $0.key < $1.key }
    }

    var producerSettings: [(String, String)] {
        [
            ("enable.idempotence", "true"), ("acks", "all"), ("linger.ms", linger.millisecondsText),
            ("batch.size", "\(Self.producerBatchBytes)"), ("queue.buffering.max.messages", "\(Self.producerQueueRecords)"),
            ("queue.buffering.max.kbytes", "\(Self.producerQueueKilobytes)"), ("message.timeout.ms", deliveryTimeout.millisecondsText),
            ("retry.backoff.ms", "50"),
        ] + clientSettings
    }

    func consumerSettings(group: String, fromBeginning: Bool) -> [(String, String)] {
        [
            ("group.id", group), ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false"),
            // Not cooperative-sticky: librdkafka before 2.1 aborts the program in it (an assertion on the assignor's state).
            ("partition.assignment.strategy", "range,roundrobin"), ("auto.offset.reset", fromBeginning ? "earliest" : "latest"),
            ("session.timeout.ms", sessionTimeout.millisecondsText), ("heartbeat.interval.ms", (sessionTimeout / 4).millisecondsText),
            ("max.poll.interval.ms", maximumPollInterval.millisecondsText), ("fetch.wait.max.ms", fetchWait.millisecondsText),
            ("fetch.error.backoff.ms", "100"), ("queued.max.messages.kbytes", "\(Self.consumerPrefetchKilobytes)"),
            ("allow.auto.create.topics", "true"), ("topic.metadata.refresh.interval.ms", "30000"),
        ] + clientSettings
    }

    /// The library's own configuration object. Whoever makes a client of it gives it away; otherwise it is to be destroyed.
    static func make(_ settings: [(String, String)]) throws(KafkaFailure) -> OpaquePointer {
        guard let conf = rd_kafka_conf_new() else { throw .misconfigured(["out of memory"]) }
        let problems = settings.compactMap { name, value in set(conf, name, value) }
        guard problems.isEmpty else {
            rd_kafka_conf_destroy(conf)
            throw .misconfigured(problems)
        }
        return conf
    }

    /// Nil when it is accepted. The library repeats values in its sentences, so those of secrets get one of ours.
    private static func set(_ conf: OpaquePointer?, _ name: String, _ value: String) -> String? {
        var sentence = [CChar](repeating: 0, count: 512)
        guard rd_kafka_conf_set(conf, name, value, &sentence, sentence.count) != RD_KAFKA_CONF_OK else { return nil }
        return isSecret(name) ? "\(name): not accepted" : text(sentence)
    }

    /// Whether a setting's value must not be repeated anywhere.
    static func isSecret(_ name: String) -> Bool {
        ["password", "secret", "pem", "oauthbearer.config", "jaas"].contains { name.contains($0) }
    }

    /// What the library wrote into a buffer, up to its zero.
    static func text(_ buffer: [CChar]) -> String {
        String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension Duration {
    var millisecondsText: String { "\(milliseconds)" }
    var milliseconds: Int64 { components.seconds * 1_000 + components.attoseconds / 1_000_000_000_000_000 }
}
