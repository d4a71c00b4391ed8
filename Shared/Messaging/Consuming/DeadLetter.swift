import Contracts
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
        /// Each try: a JSON array of `{"at": …, "reason": …, "counts": …}`, oldest first; those of earlier deaths come first.
        static let history = "trionex_dlq_history"
        /// On a record that says: the dead letter at this place of the same topic is dealt with.
        static let settles = "trionex_dlq_settles"
        /// On a record published again: only this group handles it.
        static let replayFor = "trionex_replay_for"

        /// Those that a replay takes off again; the history stays, and grows should it die again.
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
    /// Each of its tries, the newest `Attempt.limit` of them, those before earlier replays included.
    package let history: [Attempt]
    /// As it was, its headers included.
    package let message: KafkaMessage

    /// `1:42`, how an operator names it.
    package var name: String { "\(place.partition):\(offset)" }

    /// The topic of a consumer group's dead letters.
    package static func topic(of group: String) -> String { group + ".dlq" }

    /// The group whose dead letters a topic holds; nil for other topics.
    package static func group(of topic: String) -> String? { topic.hasSuffix(".dlq") ? String(topic.dropLast(4)) : nil }

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
        history = Attempt.parse(message.text(Header.history))
        self.message = message
    }

    /// The record for the dead-letter topic. `history` ends with the try that was the last.
    static func record(of message: KafkaMessage, group: String, tries: Int, history: [Attempt]) -> KafkaRecord {
        let dropped = Header.ofDeath + [Header.replayFor, Header.history]
        let kept = message.headers.filter { !dropped.contains($0.name) }
        let last = history.last ?? Attempt(at: Date(timeIntervalSince1970: 0), reason: "", counts: true)
        let all = Attempt.parse(message.text(Header.history)) + history
        let added = [
            KafkaHeader(Header.reason, last.reason), KafkaHeader(Header.attempts, "\(tries)"), KafkaHeader(Header.topic, message.topic),
            KafkaHeader(Header.partition, "\(message.partition)"), KafkaHeader(Header.offset, "\(message.offset)"),
            KafkaHeader(Header.group, group), KafkaHeader(Header.time, Timestamp.text(last.at)),
            KafkaHeader(Header.history, Attempt.text(all)),
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
