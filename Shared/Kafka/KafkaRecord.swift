package import Foundation

/// One header of a record: a name and its bytes. Names may repeat.
package struct KafkaHeader: Sendable, Hashable {
    package let name: String
    package let value: [UInt8]

    package init(_ name: String, _ value: [UInt8]) {
        self.name = name
        self.value = value
    }

    package init(_ name: String, _ value: String) { self.init(name, Array(value.utf8)) }
}

/// A record to be published.
package struct KafkaRecord: Sendable, Hashable {
    package var topic: String
    /// Records of one key go to one partition and stay in order. Nil spreads them.
    package var key: [UInt8]?
    /// Nil is a tombstone.
    package var value: [UInt8]?
    package var headers: [KafkaHeader]
    /// Nil lets the key choose.
    package var partition: Int32?
    /// Nil is the time of sending.
    package var timestamp: Date?

    package init(
        topic: String, key: [UInt8]? = nil, value: [UInt8]?, headers: [KafkaHeader] = [], partition: Int32? = nil, timestamp: Date? = nil
    ) {
        self.topic = topic
        self.key = key
        self.value = value
        self.headers = headers
        self.partition = partition
        self.timestamp = timestamp
    }
}

/// Where a published record lies, once all in-sync replicas have it.
package struct Delivery: Sendable, Hashable {
    package let partition: Int32
    package let offset: Int64

    package init(partition: Int32, offset: Int64) {
        self.partition = partition
        self.offset = offset
    }
}

/// One partition of one topic.
package struct TopicPartition: Sendable, Hashable, CustomStringConvertible {
    package let topic: String
    package let partition: Int32

    package init(_ topic: String, _ partition: Int32) {
        self.topic = topic
        self.partition = partition
    }

    package var description: String { "\(topic)/\(partition)" }
}

/// A record received.
package struct KafkaMessage: Sendable, Hashable {
    package let place: TopicPartition
    package let offset: Int64
    package let key: [UInt8]?
    package let value: [UInt8]?
    package let headers: [KafkaHeader]
    /// When it was published, to the millisecond.
    package let timestamp: Date?
    /// Which assignment of the partition brought it: a commit under an assignment that has ended is ignored.
    package let assignment: Int

    package init(
        place: TopicPartition, offset: Int64, key: [UInt8]?, value: [UInt8]?, headers: [KafkaHeader], timestamp: Date?, assignment: Int
    ) {
        self.place = place
        self.offset = offset
        self.key = key
        self.value = value
        self.headers = headers
        self.timestamp = timestamp
        self.assignment = assignment
    }

    package var topic: String { place.topic }
    package var partition: Int32 { place.partition }

    /// The bytes of the last header of that name, which is the one that counts when names repeat.
    package func header(_ name: String) -> [UInt8]? { headers.last { $0.name == name }?.value }

    /// The header as text; nil when it is missing or not UTF-8.
    package func text(_ name: String) -> String? { header(name).flatMap { String(validating: $0, as: UTF8.self) } }
}

/// Up to where a partition has been handled: `offset` is the first one that has not been.
package struct KafkaPosition: Sendable, Hashable {
    package let place: TopicPartition
    package let offset: Int64
    /// Taken from the messages handled.
    package let assignment: Int

    package init(_ place: TopicPartition, offset: Int64, assignment: Int) {
        self.place = place
        self.offset = offset
        self.assignment = assignment
    }

    /// The position just after `message`.
    package init(after message: KafkaMessage) {
        self.init(message.place, offset: message.offset + 1, assignment: message.assignment)
    }
}
