import Contracts
import Foundation
import Kafka
import Messaging

/// Faults of delivery: records that come again, late and shuffled, and records that cannot be handled.
struct RecordFaults: Sendable {
    private static let share = 5

    let stage: Stage
    let watch: Watch
    let settings: DrillSettings

    /// Some of all that is in the topic comes again, in another order than it came first; and then all of the last seconds, by the operator's
    /// own command.
    func repeatShuffled(rounds: Int) async throws {
        let producer = try KafkaProducer(stage.kafka, logger: quiet)
        for round in 1...rounds {
            try await Task.sleep(for: settings.every)
            let old = try await watch.published().filter { _ in Int.random(in: 0..<Self.share) == 0 }.shuffled()
            let results = await producer.send(
                old.map { KafkaRecord(topic: $0.topic, key: $0.key, value: $0.value, headers: $0.headers, partition: $0.partition) })
            await stage.note("round \(round) of \(rounds): \(results.count { (try? $0.get()) != nil }) records come again, shuffled")
            try await stage.run(
                "trionex-events",
                [
                    "republish", "--service", DrillServices.source.rawValue, "--database-url",
                    stage.databaseURL(DrillServices.source), "--since", Timestamp.text(Date(timeIntervalSinceNow: -2)),
                ])
            await stage.over("\(results.count) records again, shuffled, and two seconds republished")
        }
        await producer.shutdown()
    }

    /// Records that nobody of ours would write: no headers, no JSON, nothing at all, another event's fields.
    func strangers(_ count: Int) async throws {
        let producer = try KafkaProducer(stage.kafka, logger: quiet)
        var records: [KafkaRecord] = []
        for number in 0..<count {
            let key = "stranger-\(UUID().uuidString)"
            await stage.stranger(key)
            records.append(record(number % Self.kinds, key: key))
        }
        for result in await producer.send(records) { _ = try result.get() }
        await stage.over("\(count) records that are no events")
        await stage.note("\(count) records that are no events are among the others")
        await producer.shutdown()
    }

    private static let kinds = 4

    private func record(_ kind: Int, key: String) -> KafkaRecord {
        let envelope = EventEnvelope(
            id: .make(), source: "/services/stranger", type: EntryAdded.type, subject: key, time: Date(), tenant: .make(), actor: nil,
            traceparent: nil)
        let wellFormed = CloudEvent.record(topic: EntryAdded.topic.name, envelope: envelope, payload: [])
        let (topic, bytes) = (EntryAdded.topic.name, Array(key.utf8))
        return switch kind {
        case 0: KafkaRecord(topic: topic, key: bytes, value: Array("no headers".utf8))
        case 1: KafkaRecord(topic: topic, key: bytes, value: Array("{\"subject\":".utf8), headers: wellFormed.headers)
        case 2: KafkaRecord(topic: topic, key: bytes, value: nil, headers: wellFormed.headers)
        default: KafkaRecord(topic: topic, key: bytes, value: Array(#"{"subject":7}"#.utf8), headers: wellFormed.headers)
        }
    }
}
