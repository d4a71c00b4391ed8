import Contracts
import DevStack
import Foundation
import Kafka
import Postgres
import ServiceKit
import Synchronization
import Testing
import Tracing

@testable import Messaging

@Suite("Consuming")
struct ConsumingTests {
    private func publish(_ record: KafkaRecord, _ bench: Bench) async throws { _ = try await bench.producer.send(record) }

    private func record<E: Event>(
        _ event: E, for tenant: TenantID, id: EventID = .make(), traceparent: String? = nil, payload: String? = nil
    ) throws -> KafkaRecord {
        let envelope = EventEnvelope(
            id: id, source: "/services/alpha", type: E.type, subject: event.aggregateID, time: Date(), tenant: tenant, actor: nil,
            traceparent: traceparent)
        return CloudEvent.record(
            topic: E.topic.name, envelope: envelope, payload: try payload.map { Array($0.utf8) } ?? Array(JSON.encode(event)))
    }

    enum Order: TestTopic { static let name = "consumed-order" }

    @Test("Events take effect once each and in order of their key, duplicates and strangers do nothing")
    func onceInOrder() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        var records: [KafkaRecord] = []
        for number in 0..<300 {
            let record = try record(Noted<Order>(subject: "s\(number % 10)", number: number), for: tenant)
            records.append(record)
            if number % 3 == 0 { records.append(record) }
            if number % 5 == 0 { records.append(try self.record(Ignored<Order>(subject: "s\(number % 10)"), for: tenant)) }
        }
        let sending = records
        #expect(await bench.producer.send(sending).allSatisfy { (try? $0.get()) != nil })
        let consumer = try bench.consumer("order", [Note<Order>()])
        try await during([consumer.run]) {
            try await expectEventually { try await bench.effects(of: tenant).count >= 300 }
            // Everything is committed, strangers included.
            try await expectEventually {
                try await KafkaReader(bench.kafka, logger: quiet).lag(of: consumer.group, topics: [Noted<Order>.topic.name])
                    .allSatisfy { $0.end == 0 || $0.records == 0 }
            }
        }
        let effects = try await bench.effects(of: tenant)
        #expect(effects.count == 300)
        for (subject, ofSubject) in Dictionary(grouping: effects, by: \.subject) {
            #expect(ofSubject.map(\.number) == (0..<300).filter { "s\($0 % 10)" == subject })
        }
    }

    enum Poison: TestTopic { static let name = "poison" }

    @Test("A poisonous event goes to the dead letters while others go on, and takes effect when replayed, for its group alone")
    func poison() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        let isCured = Mutex(false)
        let tries = Mutex(0)
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        let handler = Note<Poison>(before: { event, _, _ in
            guard event.number == 13 else { return }
            tries.withLock { $0 += 1 }
            if !isCured.withLock({ $0 }) { throw Broken() }
        })
        let consumer = try bench.consumer("poison", [handler])
        let others = Mutex(0)
        let other = try bench.consumer(
            "other",
            [
                Note<Poison>(before: { _, _, _ in
                    others.withLock { $0 += 1 }
                    throw CancelledEffect()
                })
            ], limits: .once)
        let office = DeadLetterOffice(group: consumer.group, reader: KafkaReader(bench.kafka, logger: quiet), producer: bench.producer)
        try await during([consumer.run, other.run]) {
            try await publish(try record(Noted<Poison>(subject: "sick", number: 13), for: tenant, traceparent: trace), bench)
            for number in 0..<20 {
                try await publish(
                    try record(Noted<Poison>(subject: number < 10 ? "sick" : "well", number: number + 100), for: tenant), bench)
            }
            try await publish(try record(Noted<Poison>(subject: "x", number: 1), for: tenant, payload: #"{"subject":1}"#), bench)
            try await expectEventually { try await bench.effects(of: tenant).count == 20 }
            try await expectEventually { try await office.list().count == 2 }
            let letters = try await office.list()
            let sick = try #require(letters.first { $0.reason.contains("broken") })
            #expect(sick.attempts == 3)
            // Once more when it came together with others: that costs it no try.
            #expect((3...4).contains(tries.withLock { $0 }))
            #expect(sick.origin.topic == Noted<Poison>.topic.name)
            #expect(sick.message.text("ce_tenantid") == "\(tenant)")
            #expect(sick.message.text("traceparent") == trace)
            #expect(sick.history.map(\.counts) == [true, true, true])
            #expect(sick.history.allSatisfy { $0.reason.contains("broken") && abs($0.at.timeIntervalSinceNow) < 120 })
            #expect(zip(sick.history, sick.history.dropFirst()).allSatisfy { $1.at.timeIntervalSince($0.at) > 0.09 }, "backed off")
            let garbled = try #require(letters.first { $0.reason.contains("/subject") || $0.reason.contains("/number") })
            #expect(garbled.attempts == 1)

            isCured.withLock { $0 = true }
            let theirs = DeadLetterOffice(group: other.group, reader: KafkaReader(bench.kafka, logger: quiet), producer: bench.producer)
            try await expectEventually { try await theirs.list().count == 22 }
            let before = others.withLock { $0 }
            // Twice, as an operator might: the inbox knows the second.
            try await office.replay(sick)
            try await office.replay(sick)
            try await office.drop(garbled)
            try await expectEventually { try await bench.effects(of: tenant).contains { $0.number == 13 } }
            #expect(try await office.list().isEmpty)
            try await Task.sleep(for: .milliseconds(500))
            #expect(others.withLock { $0 } == before, "the replay is no concern of another group")
            #expect(try await bench.effects(of: tenant).count { $0.number == 13 } == 1)
        }
    }

    enum Away: TestTopic { static let name = "away" }

    @Test("When something it needs is away an event waits for it, however often it fails")
    func outageIsNoPoison() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        let tries = Mutex(0)
        let handler = Note<Away>(before: { _, _, _ in
            let count = tries.withLock { count in
                count += 1
                return count
            }
            if count <= 6 { throw DependencyFailure("test", reason: "away") }
        })
        try await during([try bench.consumer("away", [handler]).run]) {
            try await publish(try record(Noted<Away>(subject: "s", number: 1), for: tenant), bench)
            try await expectEventually { try await bench.effects(of: tenant).count == 1 }
        }
        #expect(tries.withLock { $0 } == 7)
    }

    enum Traced: TestTopic { static let name = "traced" }
    enum Caused: TestTopic { static let name = "caused" }

    @Test("Tenant and trace reach the handler, and events it causes carry them on")
    func carried() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        let trace = "0af7651916cd43dd8448eb211c80319c"
        let handler = Note<Traced>(before: { event, envelope, tx in
            #expect(tx.caller == .service(Bench.betaName, for: tenant))
            #expect(envelope.tenant == tenant)
            try Outbox(tx).append(Noted<Caused>(subject: event.subject, number: event.number))
        })
        try await during([try bench.consumer("traced", [handler]).run]) {
            try await publish(
                try record(Noted<Traced>(subject: "s", number: 1), for: tenant, traceparent: "00-\(trace)-b7ad6b7169203331-01"), bench)
            try await expectEventually { try await bench.effects(of: tenant).count == 1 }
        }
        let caused: String? = try await bench.beta.first(
            Query("SELECT traceparent FROM outbox WHERE type = 'com.trionex.alpha.note.added.v1'", column: "traceparent"),
            as: .service(Bench.betaName, for: tenant))
        #expect(caused?.split(separator: "-").dropFirst().first.map(String.init) == trace)
        #expect(caused?.contains("b7ad6b7169203331") == false, "a span of its own")
    }

    enum Journey: TestTopic { static let name = "journey" }

    @Test("Relay and consumer stopped at random moments lose nothing and double nothing")
    func interruptions() async throws {
        let bench = try await Bench.shared.value
        let broker = try await Bench.freshBroker()
        let producer = try KafkaProducer(Bench.kafka(broker), logger: quiet)
        let tenant = TenantID.make()
        var limits = OutboxRelay.Limits()
        limits.batch = 20
        for start in stride(from: 0, to: 600, by: 60) {
            try await bench.beta.transaction(as: .anonymous(in: tenant)) { tx in
                try Outbox(tx).append((start..<start + 60).map { Noted<Journey>(subject: "s\($0 % 6)", number: $0) })
            }
        }
        let rounds = 8
        for round in 1...rounds {
            let relay = OutboxRelay(database: bench.beta, producer: producer, service: Bench.betaName, limits: limits, logger: quiet)
            let consumer = try bench.consumer("journey", [Note<Journey>()], on: broker)
            try await during([relay.run, consumer.run]) {
                guard round == rounds else { return try await Task.sleep(for: .milliseconds(round * Int.random(in: 5...700))) }
                // The brokers first wait for those members that were stopped too early to say goodbye.
                try await expectEventually { try await bench.effects(of: tenant).count >= 600 }
            }
        }
        let effects = try await bench.effects(of: tenant)
        #expect(effects.count == 600)
        for (subject, ofSubject) in Dictionary(grouping: effects, by: \.subject) {
            #expect(ofSubject.map(\.number) == (0..<600).filter { "s\($0 % 6)" == subject })
        }
        await producer.shutdown()
        await broker.stop()
    }

    enum Stranded: TestTopic { static let name = "stranded" }

    @Test("A consumer stops within its limits although its broker is gone")
    func stopsWithoutBroker() async throws {
        let bench = try await Bench.shared.value
        let broker = try await Bench.freshBroker()
        let tenant = TenantID.make()
        let producer = try KafkaProducer(Bench.kafka(broker), logger: quiet)
        _ = try await producer.send(try record(Noted<Stranded>(subject: "s", number: 1), for: tenant))
        var limits = EventConsumer.Limits()
        limits.drain = .seconds(2)
        limits.commitInterval = .seconds(60)
        var stopping = ContinuousClock.now
        try await during([try bench.consumer("stranded", [Note<Stranded>()], on: broker, limits: limits).run]) {
            try await expectEventually { try await bench.effects(of: tenant).count == 1 }
            try await broker.control("down 1")
            stopping = .now
        }
        #expect(ContinuousClock.now - stopping < .seconds(20))
        await broker.stop()
    }

    enum Anew: TestTopic { static let name = "anew" }

    @Test("A consumer can handle everything again from the beginning")
    func startingOver() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        for number in 0..<5 { try await publish(try record(Noted<Anew>(subject: "s", number: number), for: tenant), bench) }
        let consumer = try bench.consumer("anew", [Note<Anew>()])
        try await during([consumer.run]) {
            try await expectEventually { try await bench.effects(of: tenant).count == 5 }
        }
        #expect(try await StartingOver.forget(consumer: consumer.group, in: bench.beta) == 5)
        try await KafkaReader(bench.kafka, logger: quiet).rewind(consumer.group, topics: [Noted<Anew>.topic.name])
        try await during([try bench.consumer("anew", [Note<Anew>()]).run]) {
            try await expectEventually { try await bench.effects(of: tenant).count == 10 }
        }
    }

    @Test("What a consumer handled is forgotten piece by piece, of all organizations or of one, and nothing of another's")
    func forgetting() async throws {
        let bench = try await Bench.shared.value
        let tenants = (0..<3).map { _ in TenantID.make() }
        let (group, other) = ("trionex.beta.forgets-\(UUID())", "trionex.beta.keeps-\(UUID())")
        for tenant in tenants {
            for consumer in [group, other] {
                _ = try await bench.beta.transaction(as: .service(Bench.betaName, for: tenant)) { tx in
                    try InboxStore(tx: tx).claim((0..<7).map { _ in .make() }, by: consumer)
                }
            }
        }
        func known(_ consumer: String) async throws -> Int {
            let query = Query<Int>("SELECT count(*) AS count FROM inbox WHERE consumer = \(consumer)", column: "count")
            return try await bench.beta.platform(PlatformWork("tests")) { try $0.first(query) } ?? 0
        }
        #expect(try await StartingOver.forget(consumer: group, of: tenants[1], in: bench.beta, looking: 3) == 7)
        #expect(try await known(group) == 14)
        #expect(try await StartingOver.forget(consumer: group, in: bench.beta, looking: 4) == 14)
        #expect(try await (known(group), known(other)) == (0, 21))
    }
}

/// An effect that is not wanted: the message is given up at the first try.
struct CancelledEffect: Error {}

extension EventConsumer.Limits {
    static var once: EventConsumer.Limits {
        var limits = EventConsumer.Limits()
        limits.attempts = 1
        return limits
    }
}
