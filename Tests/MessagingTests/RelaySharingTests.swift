import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Postgres
import Testing

/// Several replicas of one service, each with connections and a producer of its own.
@Suite("Relays that share an outbox")
struct RelaySharingTests {
    enum Many: TestTopic { static let name = "sharing-many" }

    @Test("Three replicas publish everything once and each key in order, while several write at once and replicas come and go")
    func threeReplicas() async throws {
        let stage = try await RelayStage.make()
        let tenants = [TenantID.make(), TenantID.make()]
        let subjects = 12
        let databases = (0..<3).map { _ in stage.anotherDatabase() }
        try await during([stage.relay(databases[0]).run, stage.relay(databases[1]).run]) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for tenant in tenants {
                    for subject in 0..<subjects {
                        group.addTask {
                            // One writer a key, as a lock on the aggregate makes it.
                            for number in 0..<40 {
                                try await stage.announce([Noted<Many>(subject: "s\(subject)", number: number)], for: tenant)
                            }
                        }
                    }
                }
                group.addTask {
                    try await during([stage.relay(databases[2]).run]) { try await Task.sleep(for: .milliseconds(600)) }
                }
                try await group.waitForAll()
            }
            try await expectEventually { try await stage.waiting() == 0 }
        }
        let all = try await stage.published(Noted<Many>.self)
        let firsts = Published.firsts(all)
        #expect(firsts.count == tenants.count * subjects)
        for (key, numbers) in firsts { #expect(numbers == Array(0..<40), "\(key)") }
        #expect(Set(all.map(\.id)).count == tenants.count * subjects * 40)
        for database in databases { await database.shutdown() }
    }

    @Test("Shards are dealt out evenly, anew when a replica comes, and all to the others when it ends")
    func evenParts() async throws {
        let stage = try await RelayStage.make()
        let (a, b) = (stage.relay(stage.anotherDatabase()), stage.relay(stage.anotherDatabase()))
        try await during([a.run]) {
            try await expectEventually { a.shards.count == 16 }
            try await during([b.run]) {
                try await expectEventually { a.shards.count == 8 && b.shards.count == 8 }
                #expect(a.shards.isDisjoint(with: b.shards))
            }
            try await expectEventually(within: .seconds(3)) { a.shards.count == 16 }
        }
    }

    enum Killed: TestTopic { static let name = "sharing-killed" }

    @Test("When a replica is gone from one moment to the next, the other publishes what it had, in order")
    func killed() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let (doomedDatabase, doomedProducer) = (stage.anotherDatabase(), try KafkaProducer(stage.bench.kafka, logger: quiet))
        let limits = RelayStage.limits { $0.batch = 40 }
        let (doomed, other) = (stage.relay(doomedDatabase, doomedProducer, limits: limits), stage.relay(stage.anotherDatabase()))
        try await during([doomed.run, other.run]) {
            try await expectEventually { doomed.shards.count == 8 && other.shards.count == 8 }
            for start in stride(from: 0, to: 2_000, by: 200) {
                try await stage.announce((start..<start + 200).map { Noted<Killed>(subject: "s\($0 % 20)", number: $0) }, for: tenant)
                // Neither the database nor the broker hears of it again: it cannot give anything back.
                guard start == 800 else { continue }
                Task { await doomedDatabase.shutdown() }
                Task { await doomedProducer.shutdown() }
            }
            try await expectEventually { try await stage.waiting() == 0 }
            #expect(other.shards.count == 16)
        }
        for (key, numbers) in Published.firsts(try await stage.published(Noted<Killed>.self)) {
            #expect(numbers == (0..<2_000).filter { key.hasSuffix(":s\($0 % 20)") }, "\(key)")
        }
    }

    enum Told: TestTopic { static let name = "sharing-told" }

    @Test("A commit of another process wakes a relay at once, long before it would look by itself")
    func toldByOthers() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let limits = RelayStage.limits {
            $0.poll = .seconds(60)
            $0.relaxedPoll = .seconds(60)
        }
        let (a, b) = (stage.relay(stage.anotherDatabase(), limits: limits), stage.relay(stage.anotherDatabase(), limits: limits))
        try await during([a.run, b.run]) {
            try await expectEventually { a.shards.count == 8 && b.shards.count == 8 }
            // Both listen by now, or soon: told until it is heard.
            for round in 0..<3 {
                // Written without the outbox's own way, so nobody in this process is woken.
                try await stage.database.transaction(as: .anonymous(in: tenant)) { tx in
                    for subject in 0..<32 {
                        try tx.execute(
                            """
                            INSERT INTO outbox (id, tenant_id, topic, type, subject, occurred_at, payload) VALUES \
                            (\(EventID.make()), \(tenant), \(Noted<Told>.topic.name), \(Noted<Told>.type), \("s\(subject)"), now(), \
                            convert_to(\(#"{"subject":"s","number":\#(round)}"#), 'UTF8'))
                            """)
                    }
                }
                #expect(try await stage.waiting() == 32)
                try await expectEventually(within: .seconds(25)) {
                    _ = try await stage.database.platform(PlatformWork("tests")) { tx in
                        try tx.execute("SELECT pg_notify('outbox_alpha', \("news \(UUID())"))")
                    }
                    return try await stage.waiting() == 0
                }
            }
        }
    }

    @Test("A relay tells the others of its process's commits, in one message for many")
    func tellsOthers() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let (a, b) = (stage.relay(stage.anotherDatabase()), stage.relay(stage.anotherDatabase()))
        try await during([a.run, b.run]) {
            try await expectEventually { a.shards.count == 8 && b.shards.count == 8 }
            var messages = stage.database.listen("outbox_alpha").makeAsyncIterator()
            #expect(await messages.next() == "")
            for number in 0..<50 { try await stage.announce([Noted<Told>(subject: "t\(number)", number: number)], for: tenant) }
            var heard: Set<String> = []
            while heard.count < 2, let text = await messages.next() {
                if text.hasPrefix("news ") { heard.insert(text) }
            }
            #expect(heard.count == 2, "each of the two relays of this process says so")
            try await expectEventually { try await stage.waiting() == 0 }
        }
    }

    enum Gap: TestTopic { static let name = "sharing-gap" }

    @Test("An event numbered early and committed late is not skipped")
    func lateCommit() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let (numbered, late) = (Gate(), Gate())
        try await during([stage.relay().run]) {
            async let slow: Void = stage.database.transaction(as: .anonymous(in: tenant)) { tx in
                try Outbox(tx).append(Noted<Gap>(subject: "slow", number: 1))
                numbered.open()
                late.waitBlocking()
            }
            await Task.detached { numbered.waitBlocking() }.value
            for number in 2..<40 { try await stage.announce([Noted<Gap>(subject: "quick", number: number)], for: tenant) }
            try await expectEventually { try await stage.waiting() == 0 }
            #expect(try await stage.published(Noted<Gap>.self).count == 38)
            late.open()
            try await slow
            try await expectEventually { try await stage.published(Noted<Gap>.self).count == 39 }
        }
    }
}
