import Contracts
import Foundation
import Kafka
import Messaging
import Postgres
import Synchronization
import Testing

/// Many events of one organization, and many organizations.
@Suite("Consuming many keys at once")
struct ConsumingManyTests {
    private func records<T: TestTopic>(_ events: [Noted<T>], for tenant: TenantID) throws -> [KafkaRecord] {
        try events.map { event in
            let envelope = EventEnvelope(
                id: .make(), source: "/services/alpha", type: Noted<T>.type, subject: event.subject, time: Date(), tenant: tenant,
                actor: nil,
                traceparent: nil)
            return CloudEvent.record(topic: Noted<T>.topic.name, envelope: envelope, payload: Array(try JSON.encode(event)))
        }
    }

    private func publish(_ records: [KafkaRecord], _ bench: Bench) async {
        #expect(await bench.producer.send(records).allSatisfy { (try? $0.get()) != nil })
    }

    enum Shared: TestTopic { static let name = "shared-transactions" }

    @Test("Several keys of one organization share a transaction; one that fails costs the others nothing and dies alone")
    func sharedTransaction() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make()
        // At most one transaction at a time for one organization: then its id tells which events shared one.
        let transactions = Mutex<[Int: Int64]>([:])
        let handler = Note<Shared>(before: { event, _, tx in
            let id: Int64? = try tx.first(Query("SELECT txid_current() AS id", column: "id"))
            transactions.withLock { $0[event.number] = id }
            if event.number == 77 { throw Broken() }
        })
        var limits = EventConsumer.Limits()
        limits.retry = Backoff(first: .milliseconds(10), most: .milliseconds(20))
        let consumer = try bench.consumer("shared", [handler], limits: limits)
        let sent = try records((0..<200).map { Noted<Shared>(subject: "s\($0 % 50)", number: $0) }, for: tenant)
        await publish(sent + sent, bench)
        let office = DeadLetterOffice(group: consumer.group, reader: KafkaReader(bench.kafka, logger: quiet), producer: bench.producer)
        try await during([consumer.run]) {
            try await expectEventually { try await bench.effects(of: tenant).count >= 199 }
            try await expectEventually { try await office.list().count >= 1 }
        }
        let effects = try await bench.effects(of: tenant)
        #expect(effects.count == 199)
        for (subject, ofSubject) in Dictionary(grouping: effects, by: \.subject) {
            #expect(ofSubject.map(\.number) == (0..<200).filter { "s\($0 % 50)" == subject && $0 != 77 })
        }
        let letters = try await office.list()
        // Given up once, and its second delivery once more, as the inbox does not know it.
        #expect(letters.allSatisfy { $0.attempts == 3 && $0.message.text("ce_subject") == "s27" })
        #expect(Set(transactions.withLock { $0.values }).count < 100, "events shared transactions")
    }

    enum Mixed: TestTopic { static let name = "mixed-crowd" }

    /// Takes notes in crowds.
    private struct MixedNotes: EventBatchHandler {
        typealias Payload = Noted<Mixed>

        let sizes: Sizes

        func handle(_ events: [(event: Noted<Mixed>, envelope: EventEnvelope)], in tx: Transaction) throws {
            sizes.append(events.count)
            try tx.insert(
                into: "effects", columns: ["tenant_id", "event_id", "subject", "number"],
                rows: events.map { [tx.caller.tenant, $0.envelope.id, $0.event.subject, $0.event.number] })
        }
    }

    private struct MixedIgnored: EventHandler {
        func handle(_ event: Ignored<Mixed>, _ envelope: EventEnvelope, in tx: Transaction) throws {
            try tx.execute(
                """
                INSERT INTO effects (tenant_id, event_id, subject, number) \
                VALUES (\(tx.caller.tenant), \(envelope.id), \(event.subject), -1)
                """)
        }
    }

    @Test("A consumer may handle one type in crowds and another one by one: each key stays in order")
    func mixedHandlers() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make()
        var sending: [KafkaRecord] = []
        for number in 0..<120 {
            let subject = "s\(number % 3)"
            if number % 10 == 9 {
                let event = Ignored<Mixed>(subject: subject)
                let envelope = EventEnvelope(
                    id: .make(), source: "/services/alpha", type: Ignored<Mixed>.type, subject: subject, time: Date(), tenant: tenant,
                    actor: nil, traceparent: nil)
                sending.append(
                    CloudEvent.record(topic: Noted<Mixed>.topic.name, envelope: envelope, payload: Array(try JSON.encode(event))))
            } else {
                sending += try records([Noted<Mixed>(subject: subject, number: number)], for: tenant)
            }
        }
        await publish(sending, bench)
        let sizes = Sizes()
        try await during([try bench.consumer("mixed", [MixedNotes(sizes: sizes), MixedIgnored()]).run]) {
            try await expectEventually { try await bench.effects(of: tenant).count >= 120 }
        }
        let effects = try await bench.effects(of: tenant)
        for (subject, ofSubject) in Dictionary(grouping: effects, by: \.subject) {
            let expected = (0..<120).filter { "s\($0 % 3)" == subject }.map { $0 % 10 == 9 ? -1 : $0 }
            #expect(ofSubject.map(\.number) == expected)
        }
        #expect(sizes.largest > 1)
    }

    enum Undead: TestTopic { static let name = "undead" }

    @Test("A letter that dies again after a replay tells of all its tries")
    func historyGrows() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make()
        let waits = Mutex(1)
        let handler = Note<Undead>(before: { _, _, _ in
            // The first try meets an outage, which is no try.
            let isAway = waits.withLock { waits in
                defer { waits -= 1 }
                return waits > 0
            }
            if isAway { throw DependencyFailure("test", reason: "away") }
            throw Broken()
        })
        var limits = EventConsumer.Limits()
        limits.retry = Backoff(first: .milliseconds(5), most: .milliseconds(10))
        limits.outage = limits.retry
        let consumer = try bench.consumer("undead", [handler], limits: limits)
        let office = DeadLetterOffice(group: consumer.group, reader: KafkaReader(bench.kafka, logger: quiet), producer: bench.producer)
        await publish(try records([Noted<Undead>(subject: "s", number: 1)], for: tenant), bench)
        try await during([consumer.run]) {
            try await expectEventually { try await office.list().count == 1 }
            let first = try #require(try await office.list().first)
            #expect(first.history.map(\.counts) == [false, true, true, true])
            #expect(first.attempts == 3 && first.reason == first.history.last?.reason)
            try await office.replay(first)
            try await expectEventually { try await office.list().first.map { $0.history.count == 7 } ?? false }
            let second = try #require(try await office.list().first)
            #expect(second.attempts == 3 && Array(second.history.prefix(4)) == first.history)
            #expect(second.origin.topic == first.origin.topic && second.originOffset != first.originOffset)
        }
        #expect(try await bench.effects(of: tenant).isEmpty)
    }

    enum Flood: TestTopic { static let name = "flood" }

    @Test("An organization's flood does not hold up another's event behind it in the same partition")
    func flood() async throws {
        let bench = try await Bench.shared.value, loud = TenantID.make(), quietOne = TenantID.make()
        let count = 4_000
        let one = KafkaRecord.partitioned(
            try records((0..<count).map { Noted<Flood>(subject: "s\($0 % 1_000)", number: $0) }, for: loud), to: 0)
        await publish(one, bench)
        await publish(KafkaRecord.partitioned(try records([Noted<Flood>(subject: "lonely", number: 1)], for: quietOne), to: 0), bench)
        let before = Mutex<Int?>(nil)
        let done = Mutex(0)
        let handler = Note<Flood>(before: { _, envelope, _ in
            let handled = done.withLock { done in
                done += 1
                return done
            }
            if envelope.tenant == quietOne { before.withLock { $0 = $0 ?? handled } }
        })
        try await during([try bench.consumer("flooded", [handler]).run]) {
            try await expectEventually { try await bench.effects(of: quietOne).count == 1 }
            try await expectEventually { try await bench.effects(of: loud).count == count }
        }
        // All of the flood lies before it; what is handled before it is what was under way until it had been read.
        let first = try #require(before.withLock { $0 })
        #expect(first < count / 2, "\(first) of \(count) came before it")
    }
}

extension KafkaRecord {
    /// The records for one partition, whatever their keys say.
    static func partitioned(_ records: [KafkaRecord], to partition: Int32) -> [KafkaRecord] {
        records.map { record in
            var record = record
            record.partition = partition
            return record
        }
    }
}

/// How many events came together.
final class Sizes: Sendable {
    private let sizes = Mutex<[Int]>([])
    func append(_ size: Int) { sizes.withLock { $0.append(size) } }
    var largest: Int { sizes.withLock { $0.max() ?? 0 } }
}
