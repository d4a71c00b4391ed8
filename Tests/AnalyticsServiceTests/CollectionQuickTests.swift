import Contracts
import Foundation
import ServiceKit
import TestKit
import Testing

@testable import AnalyticsService

/// The quick way of reading is held against the decoder: what it reads is the same, and what it cannot read it leaves.
@Suite("Reading batches quickly")
struct CollectionQuickTests {
    private func quick<Item: PlainItem>(_ text: String, _: Item.Type = EventDraft.self) -> OneOrMany<Item>? {
        Data(text.utf8).withUnsafeBytes { OneOrMany<Item>(quickly: $0) }
    }

    private func summary(_ items: [EventDraft]) throws -> [String] {
        try items.map { item in
            let properties = try item.eventProperties.map { try $0.values().sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" } }
            return [
                item.eventName.rawValue, "\(item.eventCategory?.rawValue as Any)", "\(properties as Any)", "\(item.url?.rawValue as Any)",
                "\(item.referrer?.rawValue as Any)", "\(item.sessionId?.rawValue as Any)", "\(item.userId as Any)",
                "\(item.occurredAt.map(Timestamp.text) as Any)", "\(item.eventId as Any)", "\(item.sentAt.map(Timestamp.text) as Any)",
            ].joined(separator: "|")
        }
    }

    private func summary(_ items: [PageViewDraft]) -> [String] {
        items.map { item in
            [
                item.url.rawValue, "\(item.referrer?.rawValue as Any)", "\(item.sessionId?.rawValue as Any)", "\(item.userId as Any)",
                "\(item.durationSeconds?.value as Any)", "\(item.bounce as Any)", "\(item.occurredAt.map(Timestamp.text) as Any)",
                "\(item.eventId as Any)",
            ].joined(separator: "|")
        }
    }

    private static let values: [(String, [String])] = [
        (
            "eventName",
            [#""a""#, #""größer""#, #"" spaced ""#, #""""#, #""x\ny""#, "7", "null", #""\#(String(repeating: "n", count: 256))""#]
        ),
        ("eventCategory", [#""c""#, #""""#, "null"]),
        (
            "eventProperties",
            [
                "{}", #"{"a":1}"#, #"{"a":{"b":{"c":true}},"d":"x y"}"#, #"{"a":1.5}"#, #"{"a":[1,2]}"#, #"{"a":null}"#, #"{"a":"\u0000"}"#,
                #"{"a":1,"a":2}"#, #"{"a":007}"#, #"{"a":12345678901}"#, "[]", #"{"a":-1}"#, #"{"a" : false , "b":0}"#,
            ]
        ),
        ("url", [#""/a?b=c""#, #""https://example.org/ü""#, #""javascript:x""#, #""pricing""#]),
        ("referrer", [#""""#, #""https://example.org""#, #""data:x""#]),
        ("sessionId", [#""s""#, #""""#]),
        ("userId", [#""0197b1c0-0000-7000-8000-000000000001""#, #""me""#]),
        (
            "occurredAt",
            [
                #""2026-01-15T10:30:00Z""#, #""2026-01-15T10:30:00.5Z""#, #""2026-01-15T10:30:00.123Z""#, #""2024-02-29T23:59:59.999Z""#,
                #""2026-02-30T00:00:00Z""#, #""2026-01-15T12:30:00+02:00""#, #""yesterday""#, #""2026-01-15 10:30:00Z""#,
                #""2026-13-01T00:00:00Z""#, #""2026-01-15T10:30:00.1234567Z""#,
            ]
        ),
        ("eventId", [#""0197B1C0-0000-7000-8000-000000000001""#, #""7""#]), ("sentAt", [#""2026-01-15T10:30:00Z""#, "1"]),
        ("colour", [#""red""#]),
    ]

    @Test("Of thousands of random bodies it reads what the decoder reads, to the last field, and nothing that the decoder refuses")
    func agrees() throws {
        var generator = SeededGenerator(state: 21)
        var read = 0
        for _ in 0..<3_000 {
            let isList = Bool.random(using: &generator)
            let items = (0..<(isList ? Int.random(in: 1...3, using: &generator) : 1)).map { _ -> String in
                var fields = Self.values.filter { _ in Int.random(in: 0..<4, using: &generator) == 0 }
                if Int.random(in: 0..<8, using: &generator) > 0, !fields.contains(where: { $0.0 == "eventName" }) {
                    fields.append(Self.values[0])
                }
                let texts = fields.map { name, values in
                    // The first values are good ones, and most bodies should be.
                    let index = Int.random(in: 0..<6, using: &generator) > 0 ? 0 : Int.random(in: 0..<values.count, using: &generator)
                    return "\"\(name)\"\(Bool.random(using: &generator) ? " : " : ":")\(values[index])"
                }
                return "{\(texts.shuffled(using: &generator).joined(separator: ", "))}"
            }
            let body = isList ? "{\"events\":[\(items.joined(separator: ","))]}" : items[0]
            guard let fast = quick(body) else { continue }
            read += 1
            let slow = try JSON.decode(OneOrMany<EventDraft>.self, from: Data(body.utf8))
            #expect(try summary(fast.sent.items) == summary(slow.sent.items), "\(body)")
            #expect(fast.sent.sentAt == slow.sent.sentAt)
            #expect(fast.sent.items.allSatisfy { $0.eventProperties == nil || body.contains("eventProperties") })
            #expect(!body.contains("colour"))
        }
        #expect(read > 700, "\(read) of 3,000 were plain")
    }

    @Test("Page views, and the time of sending beside a list, are read as well")
    func pageViews() throws {
        let body = """
            {"pageViews": [{"url": "/a", "durationSeconds": 12, "bounce": true, "eventId": "0197b1c0-0000-7000-8000-000000000001"}, {"url":"/b"}],
             "sentAt": "2026-01-15T10:30:00Z"}
            """
        let fast = try #require(quick(body, PageViewDraft.self))
        let slow = try JSON.decode(OneOrMany<PageViewDraft>.self, from: Data(body.utf8))
        #expect(summary(fast.sent.items) == summary(slow.sent.items))
        #expect(fast.sent.sentAt == slow.sent.sentAt && fast.sent.sentAt != nil)
    }

    @Test(
        "What is not plain is left to the decoder",
        arguments: [
            "", "{", "{}", "[]", "{\"events\":[]}", "{\"events\":[{\"eventName\":\"x\"}],}", "{\"eventName\":\"x\"} x",
            "{\"eventName\":\"x\"",
            "{\"eventName\":\"x\",\"eventName\":\"y\"}", "{\"events\":[{\"eventName\":\"x\"}],\"events\":[{\"eventName\":\"x\"}]}",
            "{\"events\":[{\"eventName\":\"x\"}],\"eventName\":\"y\"}", "{\"eventName\":\"\u{1}\"}", "{\"eventName\":x}",
            "{\"durationSeconds\":1,\"eventName\":\"x\"}",
        ])
    func left(_ body: String) { #expect(quick(body) == nil) }

    @Test("No cut of a good body is read, nor any read past its end")
    func cut() {
        let body = #"{"events":[{"eventName":"x","eventProperties":{"a":{"b":true},"n":12},"occurredAt":"2026-01-15T10:30:00.5Z"}]}"#
        #expect(quick(body) != nil)
        for end in 0..<body.utf8.count { #expect(quick(String(body.prefix(end))) == nil) }
    }
}
