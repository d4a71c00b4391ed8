import DevStack
import Foundation
import Kafka
import Testing

@Suite("Consumer groups")
struct GroupTests {
    private func publish(_ count: Int, to topic: String, _ configuration: KafkaConfiguration) async throws {
        let producer = try KafkaProducer(configuration, logger: quiet)
        let results = await producer.send(
            (0..<count).map { KafkaRecord(topic: topic, value: Array("\($0)".utf8), partition: Int32($0 % 4)) })
        for result in results { _ = try result.get() }
        await producer.shutdown()
    }

    @Test("A group goes on after its last commit, and lag counts what is not handled")
    func commits() async throws {
        let configuration = try await Brokers.configuration()
        let topic = freshTopic()
        try await publish(40, to: topic, configuration)
        let first = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let messages = await first.collect(40)
        #expect(messages.count == 40)
        let handled = messages.filter { $0.offset < 6 }
        let positions = Dictionary(grouping: handled, by: \.place).compactMap { $0.value.max { $0.offset < $1.offset } }
        try await first.commitAndWait(positions.map(KafkaPosition.init(after:)))
        #expect(await eventually { first.lag().values.reduce(0, +) == 16 })
        await first.close()
        #expect(await first.next() == nil)

        let reader = KafkaReader(configuration, logger: quiet)
        let lag = try await reader.lag(of: topic, topics: [topic])
        #expect(lag.map(\.committed) == [6, 6, 6, 6])
        #expect(lag.map(\.records) == [4, 4, 4, 4])

        let second = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let rest = await second.collect(16)
        #expect(rest.count == 16)
        #expect(rest.allSatisfy { $0.offset >= 6 })
        await second.close()

        try await reader.rewind(topic, topics: [topic])
        let third = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        #expect(await third.collect(40).count == 40)
        await third.close()
    }

    @Test("A new group without a past begins with what comes next, if told so")
    func fromTheEnd() async throws {
        let configuration = try await Brokers.configuration()
        let topic = freshTopic()
        try await publish(8, to: topic, configuration)
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], fromBeginning: false, logger: quiet)
        #expect(await eventually { consumer.assigned.count == 4 })
        try await Task.sleep(for: .milliseconds(500))
        try await publish(4, to: topic, configuration)
        let messages = await consumer.collect(4)
        #expect(messages.map(\.offset) == [2, 2, 2, 2])
        await consumer.close()
    }

    @Test("A second member takes over partitions; what the first held before is neither owned nor committed any more")
    func rebalance() async throws {
        let configuration = try await Brokers.configuration()
        let topic = freshTopic()
        try await publish(40, to: topic, configuration)
        let first = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let held = await first.collect(40)
        #expect(held.allSatisfy { first.owns($0) })
        let second = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        #expect(await eventually { first.assigned.count == 2 && second.assigned.count == 2 })
        #expect(Set(first.assigned).isDisjoint(with: second.assigned))
        #expect(held.allSatisfy { !first.owns($0) }, "all partitions were assigned anew")

        first.commit(held.map(KafkaPosition.init(after:)))
        // Both read from the last commit: from the beginning.
        let again = await first.collect(20)
        #expect(again.count == 20)
        #expect(again.allSatisfy { first.owns($0) })
        #expect(await second.collect(20).count == 20)
        let reader = KafkaReader(configuration, logger: quiet)
        #expect(try await reader.lag(of: topic, topics: [topic]).allSatisfy { $0.committed == nil })

        await first.close()
        #expect(await eventually { second.assigned.count == 4 })
        await second.close()
    }

    @Test("A consumer that is slow for long keeps its partitions and misses nothing")
    func backPressure() async throws {
        var configuration = try await Brokers.configuration()
        configuration.sessionTimeout = .seconds(6)
        configuration.maximumPollInterval = .seconds(6)
        let topic = freshTopic()
        try await publish(12_000, to: topic, configuration)
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        var messages = await consumer.collect(1)
        try await Task.sleep(for: .seconds(9))
        #expect(messages.allSatisfy { consumer.owns($0) }, "longer than the poll interval without a call of next")
        messages += await consumer.collect(12_000 - messages.count)
        #expect(messages.count == 12_000)
        for (place, ofPlace) in Dictionary(grouping: messages, by: \.place) {
            #expect(ofPlace.map(\.offset) == (0..<3_000).map(Int64.init), "\(place)")
        }
        await consumer.close()
    }

    @Test("Waiting for messages ends when the task is cancelled, and the consumer goes on")
    func cancellation() async throws {
        let configuration = try await Brokers.configuration()
        let topic = freshTopic()
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        let waiting = Task { await consumer.next() }
        try await Task.sleep(for: .milliseconds(50))
        waiting.cancel()
        #expect(await waiting.value == nil)
        try await publish(4, to: topic, configuration)
        #expect(await consumer.collect(4).count == 4)
        await consumer.close()
    }

    @Test("A consumer comes back by itself after its broker was down")
    func reconnects() async throws {
        let broker = try await Brokers.fresh()
        let configuration = Brokers.configuration(broker)
        let topic = freshTopic()
        try await publish(4, to: topic, configuration)
        let consumer = try KafkaConsumer(configuration, group: topic, topics: [topic], logger: quiet)
        #expect(await consumer.collect(4).count == 4)
        try await broker.control("down 1")
        try await Task.sleep(for: .seconds(1))
        try await broker.control("up 1")
        try await publish(4, to: topic, configuration)
        #expect(await consumer.collect(4, within: .seconds(40)).count >= 4)
        await consumer.close()
        await broker.stop()
    }
}
