import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Postgres
import Testing

@Suite("Publishing again")
struct RepublicationTests {
    enum Chosen: TestTopic { static let name = "again-chosen" }
    enum Spared: TestTopic { static let name = "again-spared" }

    @Test("What is published again is chosen by time, topic and tenant, and keeps its ids")
    func selection() async throws {
        let stage = try await RelayStage.make()
        let (mine, theirs) = (TenantID.make(), TenantID.make())
        let early = stage.anotherDatabase { Date(timeIntervalSinceNow: -3_600) }
        try await during([stage.relay().run]) {
            for tenant in [mine, theirs] {
                try await stage.announce([Noted<Chosen>(subject: "s", number: 1)], for: tenant, in: early)
                try await stage.announce([Noted<Chosen>(subject: "s", number: 2), Noted<Spared>(subject: "s", number: 2)], for: tenant)
            }
            try await expectEventually { try await stage.waiting() == 0 }
            let selection = Republication.Selection(
                since: Date(timeIntervalSinceNow: -600), topics: [Noted<Chosen>.topic.name], tenants: [mine])
            #expect(try await Republication.request(selection, in: stage.database) == 1)
            try await expectEventually { try await Republication.waiting(in: stage.database) == 0 }
            let chosen = try await stage.published(Noted<Chosen>.self)
            #expect(chosen.filter { $0.tenant == "\(mine)" }.map(\.number).sorted() == [1, 2, 2])
            #expect(chosen.filter { $0.tenant == "\(theirs)" }.map(\.number).sorted() == [1, 2])
            #expect(Set(chosen.map(\.id)).count == 4)
            #expect(try await stage.published(Noted<Spared>.self).count == 2)

            let past = Republication.Selection(since: .distantPast, until: Date(timeIntervalSinceNow: -600))
            #expect(try await Republication.request(past, in: stage.database) == 2)
            try await expectEventually { try await Republication.waiting(in: stage.database) == 0 }
            #expect(try await stage.published(Noted<Chosen>.self).count { $0.number == 1 } == 4)
        }
        await early.shutdown()
    }

    enum Once: TestTopic { static let name = "again-once" }

    @Test("What has not been published yet is not published twice, and asking twice is asking once")
    func onlyPublished() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        try await stage.announce((0..<10).map { Noted<Once>(subject: "w\($0)", number: $0) }, for: tenant)
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 0)
        try await during([stage.relay().run]) { try await expectEventually { try await stage.waiting() == 0 } }
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 10)
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 0)
        #expect(try await Republication.waiting(in: stage.database) == 10)
    }

    enum Paced: TestTopic { static let name = "again-paced" }

    @Test("What is new goes ahead of it for other keys, and waits behind it for the same key")
    func liveGoesOn() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        try await stage.announce((0..<1_000).map { Noted<Paced>(subject: "old", number: $0) }, for: tenant)
        try await during([stage.relay().run]) { try await expectEventually { try await stage.waiting() == 0 } }
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 1_000)
        // A batch each half second or so.
        let limits = RelayStage.limits {
            $0.batch = 100
            $0.againRate = 200
        }
        try await during([stage.relay(limits: limits).run]) {
            try await expectEventually { try await stage.waiting(again: true) < 1_000 }
            try await stage.announce([Noted<Paced>(subject: "old", number: 1_000)], for: tenant)
            for number in 0..<20 { try await stage.announce([Noted<Paced>(subject: "new\(number)", number: number)], for: tenant) }
            // The twenty go at once, the one of the old key stays.
            try await expectEventually { try await stage.waiting() == 1 }
            #expect(try await stage.waiting(again: true) > 0)
            try await expectEventually { try await stage.waiting() == 0 }
            #expect(try await stage.waiting(again: true) == 0)
        }
        let old = try await stage.published(Noted<Paced>.self).filter { $0.subject == "old" }
        #expect(old.map(\.number) == Array(0..<1_000) + Array(0..<1_000) + [1_000])
    }

    enum Held: TestTopic { static let name = "again-held" }

    @Test("What waited behind it is not overtaken by what comes when the key's own part of it is done")
    func heldStaysHeld() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        // One lane: three keys in the same shard.
        let names = try await stage.database.platform(PlatformWork("tests")) { tx in
            try tx.query(
                Query(
                    "SELECT 'k' || n AS name FROM generate_series(1, 200) n WHERE hashtext('k' || n) & 15 = 7 ORDER BY n LIMIT 3",
                    column: "name"))
                as [String]
        }
        func events(_ key: Int, _ numbers: Range<Int>) -> [Noted<Held>] { numbers.map { Noted(subject: names[key], number: $0) } }
        for (key, count) in [(0, 200), (1, 10), (2, 800)] { try await stage.announce(events(key, 0..<count), for: tenant) }
        try await during([stage.relay().run]) { try await expectEventually { try await stage.waiting() == 0 } }
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 1_010)
        // A batch each half second or so.
        let limits = RelayStage.limits {
            $0.batch = 100
            $0.againRate = 200
        }
        try await during([stage.relay(limits: limits).run]) {
            try await expectEventually { try await stage.waiting(again: true) < 1_010 }
            try await stage.announce(events(1, 10..<11), for: tenant)
            // The key's ten have been published again, the others not.
            try await expectEventually { try await stage.waiting(again: true) < 800 }
            try await stage.announce(events(1, 11..<12) + events(0, 200..<201), for: tenant)
            // Of a key that held nothing back it goes at once.
            try await expectEventually { try await stage.waiting() == 2 }
            #expect(try await stage.waiting(again: true) > 0)
            try await expectEventually { try await stage.waiting() == 0 }
        }
        let held = try await stage.published(Noted<Held>.self).filter { $0.subject == names[1] }
        #expect(held.map(\.number) == Array(0..<10) + Array(0..<12))
    }

    enum Lost: TestTopic { static let name = "again-lost" }

    @Test("A broker that has lost everything has it all again, in the order of each key")
    func brokerLostEverything() async throws {
        let stage = try await RelayStage.make()
        let tenant = TenantID.make()
        let first = try await Bench.freshBroker()
        let producer = try KafkaProducer(Bench.kafka(first), logger: quiet)
        try await during([stage.relay(nil, producer).run]) {
            try await stage.announce((0..<900).map { Noted<Lost>(subject: "l\($0 % 9)", number: $0) }, for: tenant)
            try await expectEventually { try await stage.waiting() == 0 }
        }
        await producer.shutdown()
        await first.stop()

        let second = try await Bench.freshBroker()
        let another = try KafkaProducer(Bench.kafka(second), logger: quiet)
        #expect(try await Republication.request(since: .distantPast, in: stage.database) == 900)
        try await during([stage.relay(nil, another).run, stage.relay(stage.anotherDatabase(), another).run]) {
            try await stage.announce((900..<1_000).map { Noted<Lost>(subject: "l\($0 % 9)", number: $0) }, for: tenant)
            try await expectEventually {
                let (again, new) = (try await stage.waiting(again: true), try await stage.waiting())
                return again == 0 && new == 0
            }
        }
        let firsts = Published.firsts(try await stage.published(Noted<Lost>.self, on: second))
        for (key, numbers) in firsts { #expect(numbers == (0..<1_000).filter { key.hasSuffix(":l\($0 % 9)") }, "\(key)") }
        #expect(firsts.values.map(\.count).reduce(0, +) == 1_000)
        await another.shutdown()
        await second.stop()
    }
}
