import CRdKafka
import Foundation

extension KafkaMessage {
    /// Copies what the library lends, so that no message outlives the client that fetched it.
    init(_ message: UnsafePointer<rd_kafka_message_t>, topic: String, assignment: Int) {
        let raw = message.pointee
        var kind = RD_KAFKA_TIMESTAMP_NOT_AVAILABLE
        let milliseconds = rd_kafka_message_timestamp(message, &kind)
        self.init(
            place: TopicPartition(topic, raw.partition), offset: raw.offset,
            key: raw.key.map { Array(UnsafeRawBufferPointer(start: $0, count: raw.key_len)) },
            value: raw.payload.map { Array(UnsafeRawBufferPointer(start: $0, count: raw.len)) },
            headers: Self.headers(of: message),
            timestamp: kind == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? nil : Date(timeIntervalSince1970: Double(milliseconds) / 1_000),
            assignment: assignment)
    }

    private static func headers(of message: UnsafePointer<rd_kafka_message_t>) -> [KafkaHeader] {
        var list: OpaquePointer?
        guard rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
        let count = rd_kafka_header_cnt(list)
        return (0..<count).compactMap { index in
            var name: UnsafePointer<CChar>?
            var value: UnsafeRawPointer?
            var length = 0
            guard rd_kafka_header_get_all(list, index, &name, &value, &length) == RD_KAFKA_RESP_ERR_NO_ERROR, let name else { return nil }
            return KafkaHeader(String(cString: name), value.map { Array(UnsafeRawBufferPointer(start: $0, count: length)) } ?? [])
        }
    }
}

/// A list of partitions for the library, destroyed at the end of the call.
func withPartitionList<R>(_ places: [(TopicPartition, Int64)], _ body: (UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?) throws -> R)
    rethrows -> R
{
    let list = rd_kafka_topic_partition_list_new(CInt(clamping: places.count))
    defer { rd_kafka_topic_partition_list_destroy(list) }
    for (place, offset) in places {
        rd_kafka_topic_partition_list_add(list, place.topic, place.partition)?.pointee.offset = offset
    }
    return try body(list)
}

extension UnsafeMutablePointer<rd_kafka_topic_partition_list_t> {
    /// Its partitions with the offset of each; a negative offset says that there is none.
    var elements: [(place: TopicPartition, offset: Int64)] {
        (0..<Int(pointee.cnt)).map { index in
            let element = pointee.elems[index]
            return (TopicPartition(String(cString: element.topic), element.partition), element.offset)
        }
    }
}
