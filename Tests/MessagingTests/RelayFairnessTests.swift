import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Postgres
import Testing

@Suite("A relay between tenants")
struct RelayFairnessTests {
    enum Flood: TestTopic { static let name = "fair-flood" }

    private func flood(_ stage: RelayStage, _ tenant: TenantID, _ count: Int) async throws {
        for start in stride(from: 0, to: count, by: 1_000) {
            try await stage.announce(
                (start..<start + 1_000).map { Noted<Flood>(subject: "f\($0 % 100)", number: $0) }, for: tenant)
        }
    }

    @Test("One tenant's 20,000 events do not stand before another's: those are published while nearly all of the flood still waits")
    func flood() async throws {
        let stage = try await RelayStage.make()
        let (loud, soft) = (TenantID.make(), TenantID.make())
        let count = 20_000
        try await flood(stage, loud, count)
        try await during([stage.relay().run]) {
            try await expectEventually { try await stage.waiting(loud) < count }
            var published = 0
            while try await stage.waiting(loud) > count / 4 {
                try await stage.announce([Noted<Flood>(subject: "one", number: published)], for: soft)
                let before = try await stage.waiting(loud)
                try await expectEventually { try await stage.waiting(soft) == 0 }
                let after = try await stage.waiting(loud)
                // A few chunks may have been under way, and one goes between; never the flood.
                #expect(before - after < count / 4, "the flood went on by \(before - after) meanwhile")
                published += 1
            }
            #expect(published >= 3)
            try await expectEventually { try await stage.waiting() == 0 }
        }
        let firsts = Published.firsts(try await stage.published(Noted<Flood>.self))
        #expect(firsts.keys.count { $0.hasPrefix("\(loud)") } == 100)
        for (key, numbers) in firsts { #expect(numbers == numbers.sorted(), "\(key)") }
    }

    enum Poison: TestTopic { static let name = "fair-poison" }

    @Test("An event that the brokers refuse holds up its own key alone")
    func refused() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        // Larger than this client may send, as a broker with a lower limit would refuse it.
        var kafka = stage.bench.kafka
        kafka.extra["message.max.bytes"] = "20000"
        let producer = try KafkaProducer(kafka, logger: quiet)
        let large = String(repeating: "x", count: 30_000)
        try await during([stage.relay(nil, producer).run]) {
            try await stage.announce([Noted<Poison>(subject: large, number: 0)], for: tenant)
            try await stage.announce((0..<200).map { Noted<Poison>(subject: "p\($0 % 20)", number: $0) }, for: tenant)
            try await stage.announce([Noted<Poison>(subject: large, number: 1)], for: tenant)
            try await expectEventually { try await stage.waiting() == 2 }
            try await stage.announce((200..<300).map { Noted<Poison>(subject: "p\($0 % 20)", number: $0) }, for: tenant)
            try await expectEventually { try await stage.waiting() == 2 }
        }
        #expect(try await stage.published(Noted<Poison>.self).count == 300)
        await producer.shutdown()
    }

    enum Large: TestTopic { static let name = "fair-large" }

    @Test("What follows a refused event of its key is not published again and again")
    func refusedOnce() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        var kafka = stage.bench.kafka
        kafka.extra["message.max.bytes"] = "20000"
        let producer = try KafkaProducer(kafka, logger: quiet)
        try await stage.database.transaction(as: .anonymous(in: tenant)) { tx in
            for (number, size) in [(0, 10), (1, 30_000), (2, 10), (3, 10)] {
                let payload = #"{"subject":"s","number":\#(number),"pad":"\#(String(repeating: "x", count: size))"}"#
                try tx.execute(
                    """
                    INSERT INTO outbox (id, tenant_id, topic, type, subject, occurred_at, payload) VALUES (\(EventID.make()), \(tenant), \
                    \(Noted<Large>.topic.name), \(Noted<Large>.type), 's', now(), convert_to(\(payload), 'UTF8'))
                    """)
            }
        }
        try await during([stage.relay(nil, producer).run]) {
            try await expectEventually { try await stage.waiting() == 3 }
            // Several tries of the refused one.
            try await Task.sleep(for: .seconds(2))
        }
        let numbers = try await stage.published(Noted<Large>.self).map(\.number)
        #expect(numbers.count { $0 == 2 } <= 1 && numbers.count { $0 == 3 } <= 1, "\(numbers)")
        await producer.shutdown()
    }

    enum Away: TestTopic { static let name = "fair-away" }

    @Test("With the broker down announcing goes on, what is read stays bounded, and the outbox drains when it is back")
    func brokerDown() async throws {
        let stage = try await RelayStage.make()
        let broker = try await Bench.freshBroker()
        let producer = try KafkaProducer(Bench.kafka(broker), logger: quiet)
        let tenants = (0..<5).map { _ in TenantID.make() }
        try await broker.control("down 1")
        try await during([stage.relay(nil, producer).run]) {
            for round in 0..<5 {
                for tenant in tenants {
                    try await stage.announce(
                        (0..<400).map { Noted<Away>(subject: "a\($0 % 10)", number: round * 400 + $0) }, for: tenant)
                }
            }
            #expect(try await stage.waiting() == 10_000)
            try await Task.sleep(for: .milliseconds(500))
            #expect(producer.depth <= 4 * 512, "batches on their way are counted")
            try await broker.control("up 1")
            try await expectEventually { try await stage.waiting() == 0 }
        }
        let firsts = Published.firsts(try await stage.published(Noted<Away>.self, on: broker))
        #expect(firsts.count == 50)
        for (key, numbers) in firsts { #expect(numbers == numbers.sorted() && numbers.count == 200, "\(key)") }
        await producer.shutdown()
        await broker.stop()
    }
}
