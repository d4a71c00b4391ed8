import Contracts
import DevStack
import Foundation
import Kafka
import Postgres
import ServiceKit
import Testing
import Tracing

@testable import Messaging

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

    @Test("What waits is counted up to a limit, with the age of the oldest; what is to be published again does not count")
    func backlog() async throws {
        let stage = try await RelayStage.make()
        let early = stage.anotherDatabase { Date(timeIntervalSinceNow: -90) }
        try await stage.announce([Noted<RolledBack>(subject: "first", number: 0)], for: .make(), in: early)
        try await stage.announce((1..<10).map { Noted<RolledBack>(subject: "a", number: $0) }, for: .make())
        let (all, some) = try await stage.database.platform(PlatformWork("tests")) { tx in
            let queue = OutboxQueue(tx: tx)
            return (try queue.backlog(atMost: 100), try queue.backlog(atMost: 5))
        }
        #expect(all.depth == 10 && some.depth == 5)
        #expect(all.oldestSeconds > 85 && all.oldestSeconds < 300)
        try await during([stage.relay().run]) { try await expectEventually { try await stage.waiting() == 0 } }
        _ = try await Republication.request(since: .distantPast, in: stage.database)
        let none = try await stage.database.platform(PlatformWork("tests")) { try OutboxQueue(tx: $0).backlog(atMost: 100) }
        #expect(none.depth == 0 && none.oldestSeconds == 0)
        await early.shutdown()
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
            #expect(ContinuousClock.now - start < .seconds(20))
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
}
