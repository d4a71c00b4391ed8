import DevStack
import Foundation
import Kafka
import Testing

@Suite("Publishing and reading")
struct PublishingTests {
    @Test("A record comes back with its key, value, headers, place and time")
    func roundTrip() async throws {
        let configuration = try await Brokers.configuration()
        let producer = try KafkaProducer(configuration, logger: quiet)
        let topic = freshTopic()
        let time = Date(timeIntervalSince1970: 1_795_000_000.123)
        let headers = [KafkaHeader("ce_id", "one"), KafkaHeader("empty", [UInt8]()), KafkaHeader("ce_id", [0xFF, 0x00])]
        let delivery = try await producer.send(
            KafkaRecord(topic: topic, key: Array("key".utf8), value: Array("value".utf8), headers: headers, timestamp: time))
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let message = try #require(await consumer.collect(1).first)
        #expect(message.key == Array("key".utf8))
        #expect(message.value == Array("value".utf8))
        #expect(message.headers == headers)
        #expect(message.header("ce_id") == [0xFF, 0x00])
        #expect(message.text("ce_id") == nil, "not UTF-8")
        #expect(message.place == TopicPartition(topic, delivery.partition))
        #expect(message.offset == delivery.offset)
        #expect(abs(try #require(message.timestamp).timeIntervalSince(time)) < 0.001)
        await consumer.close()
        await producer.shutdown()
    }

    @Test("Nothing and emptiness stay apart, for keys and for values")
    func nothingIsNotEmpty() async throws {
        let configuration = try await Brokers.configuration()
        let producer = try KafkaProducer(configuration, logger: quiet)
        let topic = freshTopic()
        _ = try await producer.send(KafkaRecord(topic: topic, key: nil, value: nil, partition: 0))
        _ = try await producer.send(KafkaRecord(topic: topic, key: Array("k".utf8), value: [], partition: 0))
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let messages = await consumer.collect(2)
        #expect(messages.map(\.value) == [nil, []])
        #expect(messages.map(\.key) == [nil, Array("k".utf8)])
        await consumer.close()
        await producer.shutdown()
    }

    @Test("Many records keep the order of each key and have one result each")
    func orderOfKeys() async throws {
        let configuration = try await Brokers.configuration()
        let producer = try KafkaProducer(configuration, logger: quiet)
        let topic = freshTopic()
        let records = (0..<5_000).map { KafkaRecord(topic: topic, key: Array("key \($0 % 7)".utf8), value: Array("\($0)".utf8)) }
        let results = await producer.send(records)
        #expect(results.count == records.count)
        #expect(results.allSatisfy { (try? $0.get()) != nil })
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let messages = await consumer.collect(5_000)
        #expect(messages.count == 5_000)
        for (key, ofKey) in Dictionary(grouping: messages, by: \.key) {
            let numbers = ofKey.compactMap { Int(String(decoding: $0.value ?? [], as: UTF8.self)) }
            #expect(numbers == numbers.sorted(), "\(String(decoding: key ?? [], as: UTF8.self))")
        }
        await consumer.close()
        await producer.shutdown()
    }

    @Test("A record beyond the size limit is refused alone")
    func oversized() async throws {
        let producer = try KafkaProducer(try await Brokers.configuration(), logger: quiet)
        let topic = freshTopic()
        let results = await producer.send([
            KafkaRecord(topic: topic, value: [1]), KafkaRecord(topic: topic, value: [UInt8](repeating: 0, count: 2_000_000)),
            KafkaRecord(topic: topic, value: [2]),
        ])
        #expect(results.count == 3)
        #expect(throws: Never.self) { try results[0].get() }
        #expect(throws: Never.self) { try results[2].get() }
        guard case .failure(.refused(let code, _)) = results[1] else {
            Issue.record("not refused: \(results[1])")
            return
        }
        #expect(code == "MSG_SIZE_TOO_LARGE")
        await producer.shutdown()
    }

    @Test("Without a broker a record fails as away after the delivery time, and a closed producer refuses")
    func brokerAway() async throws {
        var configuration = KafkaConfiguration(brokers: "127.0.0.1:1", clientID: "tests")
        configuration.deliveryTimeout = .milliseconds(1_200)
        let producer = try KafkaProducer(configuration, logger: quiet)
        let failure = await #expect(throws: KafkaFailure.self) { try await producer.send(KafkaRecord(topic: "t", value: [1])) }
        #expect(failure?.isWorthRetrying == true)
        await producer.shutdown()
        await #expect(throws: KafkaFailure.closed) { try await producer.send(KafkaRecord(topic: "t", value: [1])) }
    }

    @Test("Cancelling whoever waits for a delivery lets it go at once")
    func cancellation() async throws {
        let producer = try KafkaProducer(KafkaConfiguration(brokers: "127.0.0.1:1", clientID: "tests"), logger: quiet)
        let waiting = Task { await producer.send([KafkaRecord(topic: "t", value: [1])]) }
        try await Task.sleep(for: .milliseconds(100))
        waiting.cancel()
        #expect(await waiting.value == [.failure(.closed)])
        async let closed: Void = producer.shutdown()
        _ = await closed
    }

    @Test("Records sent while the broker is down arrive once it is up, in order and once each")
    func outage() async throws {
        let broker = try await Brokers.fresh()
        let producer = try KafkaProducer(Brokers.configuration(broker), logger: quiet)
        let topic = freshTopic()
        _ = try await producer.send(KafkaRecord(topic: topic, key: [1], value: Array("0".utf8)))
        try await broker.control("down 1")
        let sending = Task { await producer.send((1...200).map { KafkaRecord(topic: topic, key: [1], value: Array("\($0)".utf8)) }) }
        try await Task.sleep(for: .seconds(2))
        try await broker.control("up 1")
        #expect(await sending.value.allSatisfy { (try? $0.get()) != nil })
        let consumer = try KafkaConsumer(Brokers.configuration(broker), group: topic, topics: [topic], logger: quiet)
        let numbers = await consumer.collect(201).compactMap { Int(String(decoding: $0.value ?? [], as: UTF8.self)) }
        #expect(numbers == Array(0...200))
        await consumer.close()
        await producer.shutdown()
        await broker.stop()
    }
}
