import DevStack
import Foundation
import Kafka
import Testing

@Suite("Refusals and errors of brokers")
struct RefusalTests {
    /// Sends numbered records in many small batches while the broker answers some requests with an error.
    /// Returns the numbers that were confirmed, and those that the topic holds, in its order.
    private func play(
        _ command: String, settings: [String: String] = [:]
    ) async throws -> (confirmed: [Int], held: [Int]) {
        let broker = try await Brokers.fresh()
        let topic = freshTopic()
        try await broker.control("topic \(topic) 1")
        var configuration = Brokers.configuration(broker)
        configuration.linger = .milliseconds(0)
        configuration.extra = settings
        let producer = try KafkaProducer(configuration, logger: quiet)
        _ = try await producer.send(KafkaRecord(topic: topic, value: Array("0".utf8), partition: 0))
        try await broker.control("rtt 1 20")
        var confirmed: [Int] = [0]
        var number = 1
        for round in 0..<40 {
            if round % 8 == 2 { try await broker.control(command) }
            let numbers = Array(number..<number + 25)
            number += 25
            let results = await withTaskGroup(of: [(Int, Bool)].self) { group in
                for part in stride(from: 0, to: numbers.count, by: 5) {
                    let some = Array(numbers[part..<part + 5])
                    group.addTask {
                        let records = some.map { KafkaRecord(topic: topic, value: Array("\($0)".utf8), partition: 0) }
                        return zip(some, await producer.send(records)).map { ($0, (try? $1.get()) != nil) }
                    }
                }
                return await group.reduce(into: []) { $0 += $1 }
            }
            confirmed += results.filter(\.1).map(\.0)
        }
        await producer.shutdown()
        try await broker.control("rtt 1 0")
        let held = try await KafkaReader(Brokers.configuration(broker), logger: quiet).read(topic)
            .compactMap { Int(String(decoding: $0.value ?? [], as: UTF8.self)) }
        await broker.stop()
        return (confirmed.sorted(), held)
    }

    // 6 NOT_LEADER_OR_FOLLOWER, 7 REQUEST_TIMED_OUT, 19 NOT_ENOUGH_REPLICAS, 20 NOT_ENOUGH_REPLICAS_AFTER_APPEND (Kafka protocol guide).
    @Test("What is confirmed is in the topic, whatever requests are refused", arguments: [6, 7, 19, 20])
    func confirmedIsHeld(code: Int) async throws {
        // The local broker takes what overtakes a refused request; librdkafka then infers that the refused one was stored. It was not.
        let (confirmed, held) = try await play("error 0 \(code) 3")
        #expect(confirmed.count > 900)
        #expect(Set(confirmed).subtracting(held).isEmpty, "lost: \(Set(confirmed).subtracting(held).sorted())")
    }

    @Test("With one request under way at a time everything is confirmed, and once", arguments: [6, 7, 19])
    func oneAtATime(code: Int) async throws {
        let (confirmed, held) = try await play("error 0 \(code) 3", settings: ["max.in.flight.requests.per.connection": "1"])
        #expect(confirmed == Array(0...1_000))
        #expect(held.sorted() == confirmed)
    }

    @Test("When the client breaks in the middle of batches, what failed is known, and nothing is lost once that is sent again")
    func brokenMidway() async throws {
        let broker = try await Brokers.fresh()
        let topic = freshTopic()
        try await broker.control("topic \(topic) 1")
        var configuration = Brokers.configuration(broker)
        configuration.extra = ["max.in.flight.requests.per.connection": "1"]
        configuration.linger = .zero
        let producer = try KafkaProducer(configuration, logger: quiet)
        var breaks = 0
        for round in 0..<12 {
            var rest = Array(round * 3_000..<(round + 1) * 3_000)
            // 45 OUT_OF_ORDER_SEQUENCE_NUMBER: the library declares an idempotent client broken.
            try await broker.control("error 0 45 1")
            while !rest.isEmpty {
                let results = await producer.send(
                    rest.map { KafkaRecord(topic: topic, value: Array("\($0)".utf8), partition: 0) })
                // Which of them failed is the library's to say: with the local broker, which checks no sequences, one may go before another.
                rest = zip(rest, results).filter { (try? $1.get()) == nil }.map(\.0)
                if !rest.isEmpty { breaks += 1 }
            }
        }
        #expect(breaks >= 6, "clients did break")
        await producer.shutdown()
        let held = try await KafkaReader(configuration, logger: quiet).read(topic)
            .compactMap { Int(String(decoding: $0.value ?? [], as: UTF8.self)) }
        // Their order is not looked at: this broker stores what follows a refused record, which one that checks sequences refuses.
        #expect(Set(held) == Set(0..<36_000))
        await broker.stop()
    }
}
