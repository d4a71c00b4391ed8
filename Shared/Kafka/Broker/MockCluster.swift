import CRdKafka
import Foundation

struct BrokerFailure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// librdkafka's mock cluster. Its functions lock for themselves, so any thread may give it commands.
final class MockCluster: @unchecked Sendable {  // two pointers that never change, to objects that lock for themselves
    /// How long `topics` waits for the cluster to list itself.
    private static let metadataMilliseconds: CInt = 5_000

    private let client: OpaquePointer
    private let cluster: OpaquePointer
    let brokers: Int

    init(brokers: Int, firstPort: UInt16) throws {
        self.brokers = brokers
        var sentence = [CChar](repeating: 0, count: 512)
        let conf = rd_kafka_conf_new()
        // At the end the library would complain that its own brokers are gone.
        rd_kafka_conf_set_log_cb(conf, nil)
        guard let client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, &sentence, sentence.count) else {
            rd_kafka_conf_destroy(conf)
            throw BrokerFailure("the Kafka library does not start")
        }
        guard let cluster = try FixedPorts.from(firstPort, count: brokers, { rd_kafka_mock_cluster_new(client, CInt(brokers)) }) else {
            rd_kafka_destroy(client)
            throw BrokerFailure("the mock cluster does not start")
        }
        self.client = client
        self.cluster = cluster
        rd_kafka_brokers_add(client, bootstrap)
    }

    deinit {
        rd_kafka_mock_cluster_destroy(cluster)
        rd_kafka_destroy(client)
    }

    /// `127.0.0.1:29092`, separated by commas when there are several brokers.
    var bootstrap: String { rd_kafka_mock_cluster_bootstraps(cluster).map { String(cString: $0) } ?? "" }

    func createTopic(_ name: String, partitions: Int) throws {
        // The mock refuses more replicas than brokers.
        try check(rd_kafka_mock_topic_create(cluster, name, CInt(partitions), CInt(min(3, brokers))), "topic \(name)")
    }

    /// What the command has to say, one item a line; empty for most.
    func obey(_ command: BrokerCommand) throws -> [String] {
        switch command {
        case .down(let broker): try check(rd_kafka_mock_broker_set_down(cluster, broker), "down")
        case .up(let broker): try check(rd_kafka_mock_broker_set_up(cluster, broker), "up")
        case .delay(let broker, let milliseconds): try check(rd_kafka_mock_broker_set_rtt(cluster, broker, milliseconds), "rtt")
        case .leader(let topic, let partition, let broker):
            try check(rd_kafka_mock_partition_set_leader(cluster, topic, partition, broker), "leader")
        case .coordinator(let group, let broker):
            try check(rd_kafka_mock_coordinator_set(cluster, "group", group, broker), "coordinator")
        case .topic(let name, let partitions): try createTopic(name, partitions: Int(partitions))
        case .errors(let apiKey, let code, let count):
            var errors = [rd_kafka_resp_err_t](repeating: rd_kafka_resp_err_t(code), count: count)
            rd_kafka_mock_push_request_errors_array(cluster, apiKey, count, &errors)
        case .topics: return try topics()
        case .quit: break
        }
        return []
    }

    private func topics() throws -> [String] {
        var metadata: UnsafePointer<rd_kafka_metadata>?
        try check(rd_kafka_metadata(client, 1, nil, &metadata, Self.metadataMilliseconds), "topics")
        guard let metadata else { return [] }
        defer { rd_kafka_metadata_destroy(metadata) }
        return (0..<Int(metadata.pointee.topic_cnt)).map { index in
            let topic = metadata.pointee.topics[index]
            return "\(String(cString: topic.topic)) \(topic.partition_cnt)"
        }.sorted()
    }

    private func check(_ error: rd_kafka_resp_err_t, _ doing: String) throws {
        guard error != RD_KAFKA_RESP_ERR_NO_ERROR else { return }
        throw BrokerFailure("\(doing): \(String(cString: rd_kafka_err2str(error)))")
    }
}
