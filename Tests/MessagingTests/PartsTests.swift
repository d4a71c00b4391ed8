import Contracts
import Foundation
import Kafka
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

    private func message(_ offset: Int64, key: String?) -> KafkaMessage {
        KafkaMessage(
            place: TopicPartition("t", 0), offset: offset, key: key.map { Array($0.utf8) }, value: nil, headers: [], timestamp: nil,
            assignment: 1)
    }

    private func take(_ lanes: inout KeyLanes) throws -> KeyLanes.Work {
        let work = lanes.take()
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
        lanes.park(first, counts: true)
        lanes.finish(second)
        let step8 = lanes.positions()
        #expect(step8.isEmpty)
        let step9 = lanes.take()
        #expect(step9 == nil)
        lanes.resume(first.lane)
        let again = try take(&lanes)
        #expect(again.message.offset == 0)
        #expect(again.failures == 1)
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
