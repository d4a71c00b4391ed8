import CRdKafka
import Foundation
package import Logging
import Synchronization

/// Looks at topics and groups from outside, for operators: no group is joined and nothing is committed but by `rewind`.
/// Each call opens a connection of its own and throws `KafkaFailure`.
package struct KafkaReader: Sendable {
    static let answerMilliseconds: CInt = 10_000
    static let pollMilliseconds: CInt = 200
    /// A broker that says nothing for so long while records are missing is away.
    static let silenceLimit: Duration = .seconds(15)
    private static let rewindLimit: Duration = .seconds(30)

    private let configuration: KafkaConfiguration
    private let logger: Logger

    package init(_ configuration: KafkaConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// How far a group is behind in one partition.
    package struct Lag: Sendable {
        package let place: TopicPartition
        /// Nil when the group has never committed there.
        package let committed: Int64?
        /// The oldest record that there still is.
        package let start: Int64
        package let end: Int64
        package var records: Int64 { max(0, end - max(committed ?? start, start)) }
    }

    /// The partitions of a topic; empty when there is none of that name.
    package func partitions(of topic: String) async throws -> [TopicPartition] {
        try await withClient(group: "trionex-reader") { try Self.partitions(of: topic, $0) }
    }

    package func lag(of group: String, topics: [String]) async throws -> [Lag] {
        try await withClient(group: group) { client in
            let places = try topics.flatMap { try Self.partitions(of: $0, client) }
            guard !places.isEmpty else { return [] }
            let committed = try withPartitionList(places.map { ($0, Int64(RD_KAFKA_OFFSET_INVALID)) }) { list in
                try Self.check(rd_kafka_committed(client, list, Self.answerMilliseconds), "asking for offsets")
                return Dictionary(uniqueKeysWithValues: list.map { $0.elements.map { ($0.place, $0.offset) } } ?? [])
            }
            return try places.map { place in
                let offset = committed[place].flatMap { $0 >= 0 ? $0 : nil }
                let ends = try Self.ends(of: place, client)
                return Lag(place: place, committed: offset, start: ends.low, end: ends.high)
            }
        }
    }

    /// All that a topic holds just now, in the order of each partition. For small topics: it is kept in memory.
    package func read(_ topic: String) async throws -> [KafkaMessage] {
        let found = Mutex<[KafkaMessage]>([])
        try await scan(topic) { messages in
            found.withLock { $0 += messages }
            return true
        }
        return found.withLock { $0 }.sorted { ($0.partition, $0.offset) < ($1.partition, $1.offset) }
    }

    /// Lets a group begin anew at the oldest records. It joins the group for that, so no other member may be running: then not all
    /// partitions come to it within `rewindLimit`, and it throws `.refused`.
    package func rewind(_ group: String, topics: [String]) async throws {
        let starts = try await withClient(group: group) { client in
            try topics.flatMap { try Self.partitions(of: $0, client) }.map { ($0, try Self.ends(of: $0, client).low) }
        }
        guard !starts.isEmpty else { return }
        let consumer = try KafkaConsumer(configuration, group: group, topics: topics, logger: logger)
        let deadline = ContinuousClock.now + Self.rewindLimit
        while Set(consumer.assigned) != Set(starts.map(\.0)) {
            guard ContinuousClock.now < deadline, (try? await Task.sleep(for: .milliseconds(50))) != nil else {
                await consumer.close()
                throw KafkaFailure.refused(code: "GROUP_IN_USE", reason: "\(group) has other members: stop them first")
            }
        }
        let result: Result<Void, any Error>
        do {
            result = .success(try await consumer.rewind(to: starts))
        } catch {
            result = .failure(error)
        }
        await consumer.close()
        try result.get()
    }

    // MARK: - On a thread of its own

    func withClient<T: Sendable>(group: String, _ body: @escaping @Sendable (OpaquePointer) throws -> T) async throws -> T {
        let (configuration, logger) = (configuration, logger)
        return try await BlockingThread.run("kafka-reader") {
            let observer = KafkaObserver(configuration.security, logger: logger)
            let settings = configuration.consumerSettings(group: group, fromBeginning: true) + [("allow.auto.create.topics", "false")]
            let conf = try KafkaConfiguration.make(settings)
            observer.attach(to: conf)
            let handle = try KafkaHandle(RD_KAFKA_CONSUMER, conf)
            observer.serveTokens(of: handle)
            rd_kafka_poll_set_consumer(handle.pointer)
            defer {
                rd_kafka_consumer_close(handle.pointer)
                rd_kafka_destroy(handle.pointer)
                withExtendedLifetime(observer) {}
            }
            return try body(handle.pointer)
        }
    }

    static func partitions(of topic: String, _ client: OpaquePointer) throws -> [TopicPartition] {
        guard let handle = rd_kafka_topic_new(client, topic, nil) else { throw KafkaFailure(rd_kafka_last_error(), "asking for \(topic)") }
        defer { rd_kafka_topic_destroy(handle) }
        var answer: UnsafePointer<rd_kafka_metadata>?
        try check(rd_kafka_metadata(client, 0, handle, &answer, answerMilliseconds), "asking for \(topic)")
        guard let answer else { return [] }
        defer { rd_kafka_metadata_destroy(answer) }
        guard answer.pointee.topic_cnt > 0, let found = answer.pointee.topics else { return [] }
        return (0..<Int(found.pointee.partition_cnt)).map { TopicPartition(topic, found.pointee.partitions[$0].id) }
    }

    static func ends(of place: TopicPartition, _ client: OpaquePointer) throws -> (low: Int64, high: Int64) {
        var low: Int64 = 0
        var high: Int64 = 0
        let error = rd_kafka_query_watermark_offsets(client, place.topic, place.partition, &low, &high, answerMilliseconds)
        try check(error, "asking for the ends of \(place)")
        return (low, high)
    }

    static func check(_ error: rd_kafka_resp_err_t, _ doing: String) throws {
        if error.isError { throw KafkaFailure(error, doing) }
    }
}
