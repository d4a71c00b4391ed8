import CRdKafka
package import Foundation

/// Reading along and looking around, without a group.
extension KafkaReader {
    /// Messages handed over at once by `scan`.
    private static let burst = 500

    /// A topic's partitions, each with the offsets of its oldest record and of the next to come.
    package struct Extent: Sendable {
        package let topic: String
        package let partitions: [(place: TopicPartition, low: Int64, high: Int64)]
        /// Offsets, which are records unless the topic is compacted.
        package var records: Int64 { partitions.reduce(0) { $0 + $1.high - $1.low } }
    }

    /// The topics whose names begin so, in alphabetical order.
    package func topics(prefix: String) async throws -> [Extent] {
        try await withClient(group: "trionex-reader") { client in
            var answer: UnsafePointer<rd_kafka_metadata>?
            try Self.check(rd_kafka_metadata(client, 1, nil, &answer, Self.answerMilliseconds), "asking for the topics")
            guard let answer else { return [] }
            defer { rd_kafka_metadata_destroy(answer) }
            let names = (0..<Int(answer.pointee.topic_cnt)).map { String(cString: answer.pointee.topics[$0].topic) }
            return try names.filter { $0.hasPrefix(prefix) }.sorted().map { name in
                Extent(
                    topic: name,
                    partitions: try Self.partitions(of: name, client).map { place in
                        let ends = try Self.ends(of: place, client)
                        return (place, ends.low, ends.high)
                    })
            }
        }
    }

    /// The consumer groups that the brokers know, in alphabetical order; nil when they do not list groups, as the local one does not.
    package func groups() async throws -> [String]? {
        try await withClient(group: "trionex-reader") { client in
            var answer: UnsafePointer<rd_kafka_group_list>?
            let error = rd_kafka_list_groups(client, nil, &answer, Self.answerMilliseconds)
            guard let answer else {
                if error == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE || error == RD_KAFKA_RESP_ERR__TIMED_OUT { return nil }
                try Self.check(error, "asking for the groups")
                return nil
            }
            defer { rd_kafka_group_list_destroy(answer) }
            let names = (0..<Int(answer.pointee.group_cnt)).map { String(cString: answer.pointee.groups[$0].group) }
            return names.isEmpty && error.isError ? nil : names.sorted()
        }
    }

    /// The record at a place; nil when there is none there, or no more.
    package func message(at place: TopicPartition, offset: Int64) async throws -> KafkaMessage? {
        try await withClient(group: "trionex-reader") { client in
            guard try Self.partitions(of: place.topic, client).contains(place) else { return nil }
            let ends = try Self.ends(of: place, client)
            guard (ends.low..<ends.high).contains(offset) else { return nil }
            return try Self.record(at: place, offset, client)
        }
    }

    /// Hands over the records of a topic in the order of each partition, in small batches, on a thread of its own, until `body` returns
    /// false: from `since` on (or the oldest, or with `onlyNew` what comes next), to what is there now, or without end when it follows.
    /// A topic that does not exist has no records. Nothing is kept: it reads topics of any size. Cancelling ends it.
    package func scan(
        _ topic: String, since: Date? = nil, onlyNew: Bool = false, follow: Bool = false,
        _ body: @escaping @Sendable ([KafkaMessage]) throws -> Bool
    ) async throws {
        let cancelled = CancelFlag()
        try await withTaskCancellationHandler {
            try await withClient(group: "trionex-reader") { client in
                var ends: [TopicPartition: Int64] = [:]
                var starts: [(TopicPartition, Int64)] = []
                for place in try Self.partitions(of: topic, client) {
                    let (low, high) = try Self.ends(of: place, client)
                    let start = onlyNew ? high : try since.map { try Self.start(of: place, low, high, since: $0, client) } ?? low
                    guard start < high || follow else { continue }
                    starts.append((place, start))
                    ends[place] = high
                }
                guard !starts.isEmpty else { return }
                try withPartitionList(starts) { try Self.check(rd_kafka_assign(client, $0), "reading \(topic)") }
                try Self.poll(client, topic, follow ? nil : ends, cancelled) { messages in
                    let wanted = messages.filter { message in since.map { message.timestamp ?? .distantFuture >= $0 } ?? true }
                    return wanted.isEmpty ? true : try body(wanted)
                }
            }
        } onCancel: {
            cancelled.set()
        }
    }

    // MARK: - On the thread

    /// Where to begin for a time. A broker that cannot tell, as the local one, answers as if nothing were so new: the last record says
    /// whether that is so.
    private static func start(of place: TopicPartition, _ low: Int64, _ high: Int64, since: Date, _ client: OpaquePointer) throws -> Int64 {
        guard low < high else { return high }
        let milliseconds = Int64(since.timeIntervalSince1970 * 1_000)
        let found = try withPartitionList([(place, milliseconds)]) { list in
            try check(rd_kafka_offsets_for_times(client, list, answerMilliseconds), "asking for a time in \(place)")
            return list?.elements.first?.offset ?? -1
        }
        if found >= 0 { return found }
        let last = try record(at: place, high - 1, client)
        return last?.timestamp.map { $0 < since } == true ? high : low
    }

    private static func record(at place: TopicPartition, _ offset: Int64, _ client: OpaquePointer) throws -> KafkaMessage? {
        try withPartitionList([(place, offset)]) { try check(rd_kafka_assign(client, $0), "reading \(place)") }
        defer { rd_kafka_assign(client, nil) }
        var found: KafkaMessage?
        try poll(client, place.topic, [place: offset + 1], CancelFlag()) { messages in
            found = messages.first { $0.place == place && $0.offset == offset }
            return false
        }
        return found
    }

    /// Until the ends are reached, or without end when there are none given.
    private static func poll(
        _ client: OpaquePointer, _ topic: String, _ ends: [TopicPartition: Int64]?, _ cancelled: CancelFlag,
        _ body: ([KafkaMessage]) throws -> Bool
    ) throws {
        var missing = ends
        var messages: [KafkaMessage] = []
        var heardAt = ContinuousClock.now
        while missing?.isEmpty != true, !cancelled.isSet {
            let raw = rd_kafka_consumer_poll(client, messages.isEmpty ? pollMilliseconds : 0)
            defer { if let raw { rd_kafka_message_destroy(raw) } }
            if let raw, !raw.pointee.err.isError {
                heardAt = .now
                let message = KafkaMessage(raw, topic: topic, assignment: 0)
                if missing == nil || missing?[message.place].map({ message.offset < $0 }) == true { messages.append(message) }
                if let end = missing?[message.place], message.offset + 1 >= end { missing?[message.place] = nil }
            }
            if raw == nil || messages.count >= burst || missing?.isEmpty == true {
                if !messages.isEmpty, try !body(messages) { return }
                messages = []
            }
            if missing != nil, ContinuousClock.now - heardAt > silenceLimit { throw KafkaFailure.away("reading \(topic)") }
        }
    }
}
