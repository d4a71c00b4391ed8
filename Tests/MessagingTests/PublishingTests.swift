import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Postgres
import ServiceKit
import Testing
import Tracing

/// The relay serves the whole of `alpha`, so these tests run one after the other, each on its own topic and tenant.
@Suite("Publishing", .serialized)
struct PublishingTests {
    private func messages(_ topic: Topic, _ bench: Bench) async throws -> [KafkaMessage] {
        try await KafkaReader(bench.kafka, logger: quiet).read(topic.name)
    }

    enum Headers: TestTopic { static let name = "headers" }

    @Test("An event is a CloudEvent in binary mode, headers and key as the contract says")
    func cloudEvent() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        let user = UserID.make()
        var context = ServiceContext.topLevel
        let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        context.traceParent = TraceParent(trace)
        try await during([bench.relay().run]) {
            try await ServiceContext.withValue(context) {
                try await bench.announce([Noted<Headers>(subject: "a/b", number: 7)], for: tenant, by: .person(user))
            }
            try await expectEventually { try await bench.unsent(of: tenant) == 0 }
        }
        let message = try #require(try await messages(Noted<Headers>.topic, bench).first { $0.text("ce_tenantid") == "\(tenant)" })
        #expect(message.key == Array("\(tenant):a/b".utf8))
        #expect(message.value == Array(#"{"number":7,"subject":"a/b"}"#.utf8))
        let headers = Dictionary(uniqueKeysWithValues: message.headers.map { ($0.name, String(decoding: $0.value, as: UTF8.self)) })
        #expect(
            Set(headers.keys) == [
                "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_tenantid", "ce_actorid", "traceparent",
                "content-type",
            ])
        #expect(headers["ce_specversion"] == "1.0")
        #expect(headers["ce_source"] == "/services/alpha")
        #expect(headers["ce_type"] == "com.trionex.alpha.note.added.v1")
        #expect(headers["ce_subject"] == "a/b")
        #expect(headers["ce_actorid"] == "person:\(user)")
        #expect(headers["traceparent"] == trace)
        #expect(headers["content-type"] == "application/json")
        #expect(headers["ce_id"]?.dropFirst(14).first == "7", "a UUID of version 7")
        let time = try #require(Timestamp.date(headers["ce_time"] ?? ""))
        #expect(abs(time.timeIntervalSinceNow) < 60)
    }

    enum RolledBack: TestTopic { static let name = "rolled-back" }

    @Test("What a transaction rolls back is never announced, and an event too large is refused")
    func rollback() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        await #expect(throws: Broken.self) {
            try await bench.alpha.transaction(as: .anonymous(in: tenant)) { tx in
                try Outbox(tx).append(Noted<RolledBack>(subject: "a", number: 1))
                throw Broken()
            }
        }
        await #expect(throws: OversizedEvent.self) {
            try await bench.announce([Noted<RolledBack>(subject: String(repeating: "a", count: 600_000), number: 1)], for: tenant)
        }
        #expect(try await bench.unsent(of: tenant) == 0)
    }

    enum Order: TestTopic { static let name = "order" }

    @Test("Two relays share an outbox: everything is published, each key in order")
    func twoRelays() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        var limits = OutboxRelay.Limits()
        limits.batch = 50
        limits.lease = .milliseconds(300)
        limits.leaseRetry = .milliseconds(20)
        try await during([bench.relay(limits: limits).run, bench.relay(limits: limits).run]) {
            for start in stride(from: 0, to: 1_000, by: 100) {
                try await bench.announce((start..<start + 100).map { Noted<Order>(subject: "s\($0 % 5)", number: $0) }, for: tenant)
            }
            try await expectEventually { try await bench.unsent(of: tenant) == 0 }
        }
        let events = try await messages(Noted<Order>.topic, bench).map { message in
            (id: message.text("ce_id"), event: try JSON.decode(Noted<Order>.self, from: Data(message.value ?? [])))
        }
        for (subject, ofSubject) in Dictionary(grouping: events, by: \.event.subject) {
            // Repetitions are allowed, a first time out of order is not.
            var seen: Set<String?> = []
            let firsts = ofSubject.filter { seen.insert($0.id).inserted }.map(\.event.number)
            #expect(firsts == (0..<1_000).filter { "s\($0 % 5)" == subject })
        }
        #expect(Set(events.map(\.id)).count == 1_000)
    }

    enum Outage: TestTopic { static let name = "outage" }

    @Test("With the broker down requests go on and the outbox grows; when it is back everything is published")
    func brokerDown() async throws {
        let bench = try await Bench.shared.value
        let broker = try await Bench.freshBroker()
        let producer = try KafkaProducer(Bench.kafka(broker), logger: quiet)
        let tenant = TenantID.make()
        try await broker.control("down 1")
        try await during([bench.relay(producer).run]) {
            let start = ContinuousClock.now
            for number in 0..<20 { try await bench.announce([Noted<Outage>(subject: "s", number: number)], for: tenant) }
            #expect(ContinuousClock.now - start < .seconds(4))
            try await Task.sleep(for: .seconds(5))
            #expect(try await bench.unsent(of: tenant) == 20)
            try await broker.control("up 1")
            try await expectEventually { try await bench.unsent(of: tenant) == 0 }
        }
        let read = try await KafkaReader(Bench.kafka(broker), logger: quiet).read(Noted<Outage>.topic.name)
        let numbers = try read.map { try JSON.decode(Noted<Outage>.self, from: Data($0.value ?? [])).number }
        #expect(numbers == Array(0..<20))
        await producer.shutdown()
        await broker.stop()
    }

    enum Again: TestTopic { static let name = "again" }

    @Test("What was published can be published again with the same ids, and old rows are pruned")
    func republication() async throws {
        let bench = try await Bench.shared.value
        let tenant = TenantID.make()
        var limits = OutboxRelay.Limits()
        limits.pruneInterval = .milliseconds(50)
        let start = Date()
        try await during([bench.relay(limits: limits).run]) {
            try await bench.announce([Noted<Again>(subject: "s", number: 1)], for: tenant)
            try await expectEventually { try await bench.unsent(of: tenant) == 0 }
            #expect(try await Republication.request(since: start.addingTimeInterval(-1), in: bench.alpha) >= 1)
            try await expectEventually { try await messages(Noted<Again>.topic, bench).count == 2 }
        }
        #expect(Set(try await messages(Noted<Again>.topic, bench).map { $0.text("ce_id") }).count == 1)
        limits.retention = .zero
        try await during([bench.relay(limits: limits).run]) {
            try await expectEventually {
                try await bench.alpha.query(
                    Query("SELECT count(*) AS count FROM outbox", column: "count"), as: .service(Bench.alphaName, for: tenant)) == [0]
            }
        }
    }
}
