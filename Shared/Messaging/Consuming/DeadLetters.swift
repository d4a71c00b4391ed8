import Foundation
package import Kafka

/// A message that could not be handled, with the reason, as it lies in the topic `trionex.<service>.<consumer>.dlq`.
package struct DeadLetter: Sendable {
    enum Header {
        static let reason = "trionex_dlq_reason"
        static let attempts = "trionex_dlq_attempts"
        static let topic = "trionex_dlq_topic"
        static let partition = "trionex_dlq_partition"
        static let offset = "trionex_dlq_offset"
        static let group = "trionex_dlq_group"
        static let time = "trionex_dlq_time"
        /// On a record that says: the dead letter at this place of the same topic is dealt with.
        static let settles = "trionex_dlq_settles"
        /// On a record published again: only this group handles it.
        static let replayFor = "trionex_replay_for"

        static let ofDeath = [reason, attempts, topic, partition, offset, group, time]
    }

    /// Where it lies in the dead-letter topic: partition and offset.
    package let place: TopicPartition
    package let offset: Int64
    package let reason: String
    package let attempts: Int
    /// Where it was read.
    package let origin: TopicPartition
    package let originOffset: Int64
    package let group: String
    package let diedAt: String
    /// As it was, its headers included.
    package let message: KafkaMessage

    /// `1:42`, how an operator names it.
    package var name: String { "\(place.partition):\(offset)" }

    /// The topic of a consumer group's dead letters.
    package static func topic(of group: String) -> String { group + ".dlq" }

    /// Nil for a record that is no dead letter.
    package init?(_ message: KafkaMessage) {
        guard let reason = message.text(Header.reason), let topic = message.text(Header.topic),
            let partition = message.text(Header.partition).flatMap({ Int32($0) }),
            let originOffset = message.text(Header.offset).flatMap({ Int64($0) }), let group = message.text(Header.group)
        else { return nil }
        place = message.place
        offset = message.offset
        self.reason = reason
        attempts = message.text(Header.attempts).flatMap { Int($0) } ?? 0
        origin = TopicPartition(topic, partition)
        self.originOffset = originOffset
        self.group = group
        diedAt = message.text(Header.time) ?? ""
        self.message = message
    }

    /// The record for the dead-letter topic.
    static func record(of message: KafkaMessage, group: String, reason: String, attempts: Int, time: String) -> KafkaRecord {
        let kept = message.headers.filter { !Header.ofDeath.contains($0.name) && $0.name != Header.replayFor }
        let added = [
            KafkaHeader(Header.reason, reason), KafkaHeader(Header.attempts, "\(attempts)"), KafkaHeader(Header.topic, message.topic),
            KafkaHeader(Header.partition, "\(message.partition)"), KafkaHeader(Header.offset, "\(message.offset)"),
            KafkaHeader(Header.group, group), KafkaHeader(Header.time, time),
        ]
        return KafkaRecord(topic: topic(of: group), key: message.key, value: message.value, headers: kept + added)
    }

    /// The message for its own topic again, to be handled by the group that failed and by no other.
    var again: KafkaRecord {
        let kept = message.headers.filter { !Header.ofDeath.contains($0.name) }
        return KafkaRecord(
            topic: origin.topic, key: message.key, value: message.value, headers: kept + [KafkaHeader(Header.replayFor, group)])
    }

    /// Says that it is dealt with. Kafka cannot delete one record, so a record of its own says so, in the same partition.
    var settlement: KafkaRecord {
        KafkaRecord(
            topic: place.topic, key: message.key, value: nil, headers: [KafkaHeader(Header.settles, name)], partition: place.partition)
    }
}

/// What an operator does with the dead letters of one consumer group.
package struct DeadLetterOffice: Sendable {
    package let group: String
    private let reader: KafkaReader
    private let producer: KafkaProducer

    package init(group: String, reader: KafkaReader, producer: KafkaProducer) {
        self.group = group
        self.reader = reader
        self.producer = producer
    }

    /// Those not dealt with, oldest first within each partition. Throws `KafkaFailure`.
    package func list() async throws -> [DeadLetter] {
        let messages = try await reader.read(DeadLetter.topic(of: group))
        let settled = Set(messages.compactMap { $0.text(DeadLetter.Header.settles) })
        return messages.compactMap(DeadLetter.init).filter { !settled.contains($0.name) }
    }

    /// Publishes it to its topic again, for this group alone, and then counts it as dealt with. A crash in between leaves it listed;
    /// a second replay does nothing, as the inbox has the event.
    package func replay(_ letter: DeadLetter) async throws {
        _ = try await producer.send(letter.again)
        _ = try await producer.send(letter.settlement)
    }

    /// Counts it as dealt with.
    package func drop(_ letter: DeadLetter) async throws {
        _ = try await producer.send(letter.settlement)
    }
}
