package import Kafka
import Synchronization

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

    /// Those not dealt with, oldest first within each partition. The topic may be of any size: only these are kept in memory.
    /// Throws `KafkaFailure`.
    package func list() async throws -> [DeadLetter] {
        let open = Mutex<[String: DeadLetter]>([:])
        try await reader.scan(DeadLetter.topic(of: group)) { messages in
            open.withLock { open in
                for message in messages {
                    // What settles a letter comes after it in the same partition.
                    if let name = message.text(DeadLetter.Header.settles) { open[name] = nil }
                    if let letter = DeadLetter(message) { open[letter.name] = letter }
                }
            }
            return true
        }
        return open.withLock { $0.values.sorted { ($0.place.partition, $0.offset) < ($1.place.partition, $1.offset) } }
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
