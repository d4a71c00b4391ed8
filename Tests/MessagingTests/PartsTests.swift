import Contracts
import Foundation
import Kafka
import TestKit
import Testing

@testable import Messaging

@Suite("Parts of a consumer")
struct PartsTests {
    @Test("Only what is handled without a gap may be committed")
    func progress() {
        var progress = PartitionProgress()
        for offset: Int64 in [10, 11, 13, 20] { progress.begin(offset) }
        let step1 = progress.finish(11)
        #expect(!step1)
        #expect(progress.next == nil)
        let step2 = progress.finish(10)
        #expect(step2)
        #expect(progress.next == 12)
        let step3 = progress.finish(20)
        #expect(!step3)
        let step4 = progress.finish(13)
        #expect(step4)
        #expect(progress.next == 21)
        #expect(progress.isIdle)
        let step5 = progress.finish(99)
        #expect(!step5)
    }

    @Test("A partition read anew starts its progress anew")
    func anew() {
        var progress = PartitionProgress()
        progress.begin(10)
        progress.begin(5)
        let step6 = progress.finish(5)
        #expect(step6)
        #expect(progress.next == 6)
    }

    private func message(_ offset: Int64, key: String?, tenant: String? = nil) -> KafkaMessage {
        KafkaMessage(
            place: TopicPartition("t", 0), offset: offset, key: key.map { Array($0.utf8) }, value: nil,
            headers: tenant.map { [KafkaHeader("ce_tenantid", $0)] } ?? [], timestamp: nil, assignment: 1)
    }

    private let setback = Attempt(at: Date(timeIntervalSince1970: 0), reason: "x", counts: true)

    private func take(_ lanes: inout KeyLanes, most: Int = 1) throws -> KeyLanes.Work {
        let work = lanes.take(most: most)
        return try #require(work)
    }

    @Test("A key waits for its first message, other keys do not")
    func lanes() throws {
        var lanes = KeyLanes()
        lanes.add(message(0, key: "a"))
        lanes.add(message(1, key: "a"))
        lanes.add(message(2, key: "b"))
        let first = try take(&lanes)
        let second = try take(&lanes)
        #expect([first.message.offset, second.message.offset] == [0, 2])
        let step7 = lanes.take()
        #expect(step7 == nil)
        lanes.park(first, after: setback, counts: true)
        lanes.finish(second)
        let step8 = lanes.positions()
        #expect(step8.isEmpty)
        let step9 = lanes.take()
        #expect(step9 == nil)
        lanes.resume(first.lane)
        let again = try take(&lanes)
        #expect(again.message.offset == 0)
        #expect(again.failures == 1)
        #expect(again.history == [setback])
        lanes.finish(again)
        let step10 = lanes.positions()
        #expect(step10.map(\.offset) == [1])
        let last = try take(&lanes)
        #expect(last.message.offset == 1)
        #expect(last.failures == 0)
        lanes.finish(last)
        let step11 = lanes.positions()
        #expect(step11.map(\.offset) == [3])
        #expect(lanes.count == 0)
    }

    @Test("Organizations take turns, however many keys and messages each has")
    func turns() throws {
        var lanes = KeyLanes()
        for offset: Int64 in 0..<100 { lanes.add(message(offset, key: "a\(offset)", tenant: "a")) }
        lanes.add(message(100, key: "b", tenant: "b"))
        lanes.add(message(101, key: "c", tenant: "c"))
        let order = try (0..<4).map { _ in try take(&lanes, most: 10) }
        #expect(order.map(\.count) == [10, 1, 1, 10])
        #expect(order.map { $0.message.offset } == [0, 100, 101, 10])
    }

    @Test("An organization leaves workers to the others, and goes on when one of its own is free")
    func workersOfOne() throws {
        var lanes = KeyLanes(workersEach: 2)
        for offset: Int64 in 0..<10 { lanes.add(message(offset, key: "a\(offset)", tenant: "a")) }
        let first = try take(&lanes)
        _ = try take(&lanes)
        let third = lanes.take()
        #expect(third == nil)
        lanes.add(message(10, key: "b", tenant: "b"))
        let other = try take(&lanes)
        #expect(other.message.offset == 10)
        lanes.finish(first)
        let next = try take(&lanes)
        #expect(next.message.offset == 2)
        lanes.park(next, after: setback, counts: false)
        let after = try take(&lanes)
        #expect(after.message.offset == 3)
    }

    @Test("One transaction takes messages of several keys of one organization, each key in order")
    func together() throws {
        var lanes = KeyLanes()
        for (offset, key) in ["x", "y", "x", "z", "y"].enumerated() { lanes.add(message(Int64(offset), key: key, tenant: "a")) }
        let work = try take(&lanes, most: 4)
        #expect(work.messages.map(\.offset) == [0, 2, 1, 4])
        let rest = try take(&lanes, most: 4)
        #expect(rest.messages.map(\.offset) == [3])
        lanes.finish(rest)
        let none = lanes.positions()
        #expect(none.isEmpty)
        lanes.finish(work)
        let all = lanes.positions()
        #expect(all.map(\.offset) == [5])
        #expect(lanes.count == 0 && lanes.bytes == 0 && lanes.span == 0)
    }

    @Test("Suspects come alone, those before and after them together")
    func suspects() throws {
        var lanes = KeyLanes()
        for offset: Int64 in 0..<6 { lanes.add(message(offset, key: "k", tenant: "a")) }
        let all = try take(&lanes, most: 10)
        #expect(all.count == 6)
        lanes.split(all, suspects: [Suspect(place: TopicPartition("t", 0), offset: 2)])
        var sizes: [[Int64]] = []
        while let work = lanes.take(most: 10) {
            sizes.append(work.messages.map(\.offset))
            lanes.finish(work)
        }
        #expect(sizes == [[0, 1], [2], [3, 4, 5]])
    }

    @Test("After a setback a key's first message comes alone, the others of its organization go on")
    func setbacks() throws {
        var lanes = KeyLanes()
        for offset: Int64 in 0..<6 { lanes.add(message(offset, key: "k\(offset % 2)", tenant: "a")) }
        let first = try take(&lanes)
        #expect(first.message.offset == 0)
        lanes.park(first, after: setback, counts: true)
        let others = try take(&lanes, most: 10)
        #expect(others.messages.map(\.offset) == [1, 3, 5])
        lanes.resume(first.lane)
        let alone = try take(&lanes, most: 10)
        #expect(alone.messages.map(\.offset) == [0])
        lanes.finish(alone)
        let rest = try take(&lanes, most: 10)
        #expect(rest.messages.map(\.offset) == [2, 4])
    }

    @Test(
        "Any order of taking, failing and finishing handles each message once, in its key's order, and all is committed",
        arguments: UInt64(0)..<40)
    func anyOrder(seed: UInt64) throws {
        var random = SeededGenerator(state: seed)
        var lanes = KeyLanes(workersEach: Int.random(in: 1...3, using: &random))
        var handled: [String: [Int64]] = [:]
        var expected: [String: [Int64]] = [:]
        var working: [KeyLanes.Work] = []
        var parked: [KeyLanes.Lane] = []
        var next: Int64 = 0
        let total: Int64 = 300
        while next < total || lanes.count > 0 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0 where next < total:
                let tenant = "t\(Int.random(in: 0..<4, using: &random))"
                let key = "\(tenant):\(Int.random(in: 0..<5, using: &random))"
                lanes.add(message(next, key: key, tenant: tenant))
                expected[key, default: []].append(next)
                next += 1
            case 1, 2:
                if let work = lanes.take(most: Int.random(in: 1...8, using: &random)) { working.append(work) }
            case 3 where !parked.isEmpty:
                lanes.resume(parked.remove(at: Int.random(in: 0..<parked.count, using: &random)))
            case _ where !working.isEmpty:
                let work = working.remove(at: Int.random(in: 0..<working.count, using: &random))
                switch Int.random(in: 0..<8, using: &random) {
                case 0:
                    lanes.park(work, after: setback, counts: true)
                    parked += work.shares.map(\.lane)
                case 1 where work.count > 1:
                    let suspect = work.messages[Int.random(in: 0..<work.count, using: &random)]
                    lanes.split(work, suspects: [Suspect(place: suspect.place, offset: suspect.offset)])
                default:
                    for message in work.messages {
                        handled[String(decoding: message.key ?? [], as: UTF8.self), default: []].append(message.offset)
                    }
                    lanes.finish(work)
                }
            default: continue
            }
        }
        #expect(handled == expected)
        let end = lanes.positions()
        #expect(end.map(\.offset) == [total])
    }

    @Test("Back-off doubles up to its limit and is spread")
    func backoff() {
        let backoff = Backoff(first: .milliseconds(100), most: .seconds(1))
        #expect(backoff.wait(after: 1, random: 0) == .milliseconds(50))
        #expect(backoff.wait(after: 3, random: 0.5) == .milliseconds(300))
        #expect(backoff.wait(after: 500, random: 0) == .milliseconds(500))
    }

    @Test("A header that is missing or wrong is named")
    func badHeaders() {
        let envelope = EventEnvelope(
            id: .make(), source: "/services/a", type: "t", subject: "s", time: Date(), tenant: .make(), actor: nil, traceparent: nil)
        let record = CloudEvent.record(topic: "t", envelope: envelope, payload: [])
        for name in ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_subject", "ce_time", "ce_tenantid"] {
            for value in [nil, [UInt8](), [0xFF]] {
                var headers = record.headers.filter { $0.name != name }
                if let value { headers.append(KafkaHeader(name, value)) }
                let message = KafkaMessage(
                    place: TopicPartition("t", 0), offset: 0, key: nil, value: nil, headers: headers, timestamp: nil, assignment: 1)
                #expect(throws: CloudEventProblem(header: name)) { try CloudEvent.envelope(of: message) }
            }
        }
    }

    @Test("Reasons name the kind and the place, never the data")
    func reasons() {
        struct Payload: Decodable { let secret: Int }
        let error = #expect(throws: DecodingError.self) { try JSON.decode(Payload.self, from: Data(#"{"secret":"hunter2"}"#.utf8)) }
        let text = error.map { FailureReason.text($0) } ?? ""
        #expect(text.contains("/secret"))
        #expect(!text.contains("hunter2"))
    }
}
