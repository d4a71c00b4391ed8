import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Postgres
import Synchronization
import Testing

/// Writes the effects of several events at once.
private struct Crowd<T: TestTopic>: EventBatchHandler {
    typealias Payload = Noted<T>

    var before: @Sendable ([Noted<T>]) throws -> Void = { _ in }

    func handle(_ events: [(event: Noted<T>, envelope: EventEnvelope)], in tx: Transaction) throws {
        try before(events.map(\.event))
        try tx.insert(
            into: "effects", columns: ["tenant_id", "event_id", "subject", "number"],
            rows: events.map { [tx.caller.tenant, $0.envelope.id, $0.event.subject, $0.event.number] })
    }
}

@Suite("Consuming many at once")
struct BatchTests {
    private func record<T: TestTopic>(_ event: Noted<T>, for tenant: TenantID, payload: String? = nil) throws -> KafkaRecord {
        let envelope = EventEnvelope(
            id: .make(), source: "/services/alpha", type: Noted<T>.type, subject: event.aggregateID, time: Date(), tenant: tenant,
            actor: nil,
            traceparent: nil)
        return CloudEvent.record(
            topic: Noted<T>.topic.name, envelope: envelope, payload: try payload.map { Array($0.utf8) } ?? Array(JSON.encode(event)))
    }

    enum Crowded: TestTopic { static let name = "crowded" }

    @Test("events of one key that wait are handled together, in order, each once, however often they come")
    func together() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make()
        var records: [KafkaRecord] = []
        for number in 0..<500 {
            let record = try record(Noted<Crowded>(subject: "one", number: number), for: tenant)
            records.append(record)
            if number % 4 == 0 { records.append(record) }
        }
        let sending = records
        #expect(await bench.producer.send(sending).allSatisfy { (try? $0.get()) != nil })
        let sizes = Mutex<[Int]>([])
        let handler = Crowd<Crowded> { events in sizes.withLock { $0.append(events.count) } }
        let consumer = try bench.consumer("crowded", [handler])
        try await during([consumer.run]) {
            try await expectEventually { try await bench.effects(of: tenant).count >= 500 }
        }
        #expect(try await bench.effects(of: tenant).map(\.number) == Array(0..<500))
        #expect(sizes.withLock { $0.max() ?? 0 } > 10)
    }

    enum Tainted: TestTopic { static let name = "tainted" }

    @Test("one that cannot be handled holds up none of those it came with, and lies among the dead letters alone")
    func poison() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make()
        let sending = try (0..<60).map { number in
            try record(
                Noted<Tainted>(subject: "one", number: number), for: tenant, payload: number == 20 ? "{}" : nil)
        }
        #expect(await bench.producer.send(sending).allSatisfy { (try? $0.get()) != nil })
        let handler = Crowd<Tainted> { events in if events.contains(where: { $0.number == 41 }) { throw Broken() } }
        let consumer = try bench.consumer("tainted", [handler])
        let office = DeadLetterOffice(group: consumer.group, reader: KafkaReader(bench.kafka, logger: quiet), producer: bench.producer)
        try await during([consumer.run]) {
            try await expectEventually { try await bench.effects(of: tenant).count >= 58 }
            try await expectEventually { try await office.list().count >= 2 }
        }
        #expect(try await bench.effects(of: tenant).map(\.number) == (0..<60).filter { $0 != 20 && $0 != 41 })
        #expect(try await office.list().count == 2)
    }
}
