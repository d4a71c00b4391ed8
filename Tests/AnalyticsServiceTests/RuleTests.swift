import Contracts
import Foundation
import Testing

@testable import AnalyticsService

@Suite("Rules of analytics")
struct RuleTests {
    @Test(
        "Of an address the network is left",
        arguments: [
            ("203.0.113.77", "203.0.113.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::"), ("2001:db8::1", "2001:db8:0::"), ("::1", "0:0:0::"),
            ("fe80::1%eth0", "fe80:0:0::"), ("::ffff:198.51.100.9", "198.51.100.0"), ("64:ff9b::192.0.2.33", "64:ff9b:0::"),
        ])
    func networks(_ address: String, _ network: String) {
        #expect(ClientNetwork(address)?.text == network)
    }

    @Test(
        "What is no address has no network",
        arguments: [
            "", "rubbish", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.+4", "::1::2", "1:2:3", "g::1", "12345::", ":", "1:2:3:4:5:6:7:8:9",
            "::+1",
        ])
    func noNetworks(_ text: String) {
        #expect(ClientNetwork(text) == nil)
    }

    @Test("Buckets begin on Mondays, on firsts of the month and at full hours, and the last one is before the end")
    func buckets() throws {
        let from = try #require(Timestamp.date("2025-12-30T10:20:00Z"))
        let to = try #require(Timestamp.date("2026-02-01T00:00:00Z"))
        let weeks = try Period(from: from, to: to, granularity: .week, now: to)
        #expect(weeks.buckets.map(Timestamp.text).first == "2025-12-29T00:00:00.000Z")
        #expect(weeks.buckets.count == 5)
        let months = try Period(from: from, to: to, granularity: .month, now: to)
        #expect(months.buckets.map(Timestamp.text) == ["2025-12-01T00:00:00.000Z", "2026-01-01T00:00:00.000Z"])
        let hours = try Period(from: from, to: from.addingTimeInterval(3_600), granularity: .hour, now: to)
        #expect(hours.buckets.map(Timestamp.text) == ["2025-12-30T10:00:00.000Z", "2025-12-30T11:00:00.000Z"])
    }

    @Test("Two thousand buckets are the most")
    func mostBuckets() throws {
        let from = try #require(Timestamp.date("2025-01-01T00:00:00Z"))
        let most = try Period(from: from, to: from.addingTimeInterval(2_000 * 3_600), granularity: .hour, now: from)
        #expect(most.buckets.count == 2_000)
        #expect(throws: ValidationFailure.self) {
            try Period(from: from, to: from.addingTimeInterval(2_000 * 3_600 + 0.001), granularity: .hour, now: from)
        }
    }

    @Test("Properties are bounded in number, size and depth")
    func properties() throws {
        func decode(_ value: JSONValue) throws -> EventProperties { try JSON.decode(EventProperties.self, from: try JSON.encode(value)) }
        func nested(_ depth: Int) -> JSONValue { depth == 0 ? .integer(1) : .object(["a": nested(depth - 1)]) }
        #expect(try decode(nested(8)).values().count == 1)
        #expect(throws: DecodingError.self) { try decode(nested(9)) }
        #expect(throws: DecodingError.self) { try decode(.object(["a": .string(String(repeating: "x", count: 16_384))])) }
        let many = (0...100).reduce(into: [String: JSONValue]()) { $0["p\($1)"] = .null }
        #expect(throws: DecodingError.self) { try decode(.object(many)) }
        #expect(throws: DecodingError.self) { try decode(.object(["nul\u{0}": .null])) }
    }

    @Test(
        "Addresses that a browser would run are refused, those of apps are not",
        arguments: [
            ("https://example.org/a?b#c", true), ("/pricing", true), ("app://screen/home", true), ("android-app://com.example", true),
            ("javascript:alert(1)", false), ("JavaScript:alert(1)", false), ("data:text/html,x", false), ("pricing", false), ("", false),
            ("1x:abc", false), ("/a\u{7}b", false),
        ])
    func pageAddresses(_ text: String, _ isGood: Bool) {
        #expect((PageAddress(rawValue: text) != nil) == isGood)
    }
}
