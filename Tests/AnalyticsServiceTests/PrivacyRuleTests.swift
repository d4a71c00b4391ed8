import Contracts
import Foundation
import TestKit
import Testing

@testable import AnalyticsService

@Suite("What is read off a request")
struct PrivacyRuleTests {
    @Test(
        "A User-Agent says kind, browser and system",
        arguments: [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/128.0.0.0 Safari/537.36 Edg/128.0.0.0",
                "desktop Edge 128 Windows 10"
            ),
            ("Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0", "desktop Firefox 128 Linux -"),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1",
                "mobile Safari 17 iOS 17"
            ),
            (
                "Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/127.0 Mobile/15E148 Safari/604.1",
                "tablet Chrome 127 iOS 16"
            ),
            (
                "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36",
                "mobile Chrome 126 Android 14"
            ),
            (
                "Mozilla/5.0 (Linux; Android 13; SM-X700) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Safari/537.36",
                "tablet Samsung Internet 25 Android 13"
            ),
            (
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Safari/605.1.15",
                "desktop Safari 17 macOS 10"
            ),
            ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "bot - - - -"),
            ("curl/8.5.0", "nothing"), ("", "nothing"), ("Mozilla/5.0 (", "nothing"),
        ])
    func devices(_ agent: String, _ expected: String) {
        let device = Device(userAgent: agent)
        let text = device.map { device in
            [device.type?.rawValue, device.browser, device.browserVersion, device.os, device.osVersion].map { $0 ?? "-" }
                .joined(separator: " ")
        }
        #expect((text ?? "nothing") == expected)
    }

    @Test("A location is found by any address of its network, and no other")
    func locations() throws {
        let database = try LocationDatabase(LocationFixture.file, name: "test")
        #expect(database.type == "Test-City")
        func find(_ address: String) throws -> Location? { database.location(of: try #require(ClientAddress(address))) }
        #expect(try find("203.0.113.0") == Location(country: "DE", region: "BE", city: "Berlin"))
        #expect(try find("203.0.113.255") == Location(country: "DE", region: "BE", city: "Berlin"))
        #expect(try find("::ffff:203.0.113.9")?.city == "Berlin")
        #expect(try find("198.51.100.127") == Location(country: "FR"))
        #expect(try find("2001:db8:17:ffff::1") == Location(country: "JP", city: "Tokyo"))
        for unknown in ["203.0.112.255", "203.0.114.0", "198.51.100.128", "2001:db8:18::", "::", "255.255.255.255"] {
            #expect(try find(unknown) == nil, "\(unknown)")
        }
    }

    @Test("A file that is no database of locations, cut off or damaged is refused or finds nothing, and never runs out of its bytes")
    func damagedLocations() throws {
        let good = LocationFixture.file
        let address = try #require(ClientAddress("203.0.113.9"))
        #expect(throws: LocationDatabase.Unreadable.self) { try LocationDatabase(Data(), name: "empty") }
        #expect(throws: LocationDatabase.Unreadable.self) { try LocationDatabase(Data("rubbish".utf8), name: "rubbish") }
        for end in stride(from: 0, to: good.count, by: 7) {
            _ = try? LocationDatabase(Data(good[..<end]), name: "cut").location(of: address)
        }
        var generator = SeededGenerator(state: 11)
        for _ in 0..<3_000 {
            var bad = good
            for _ in 0..<Int.random(in: 1...8, using: &generator) {
                bad[Int.random(in: 0..<bad.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
            }
            _ = try? LocationDatabase(bad, name: "damaged").location(of: address)
        }
    }

    @Test(
        "An address has a path and a host",
        arguments: [
            ("https://Example.org:8080/a/b?c=d#e", "/a/b", "example.org"), ("https://example.org", "/", "example.org"),
            ("https://example.org?x", "/", "example.org"), ("/a?b", "/a", nil), ("app://screen/home", "/home", "screen"),
            ("https://user:secret@example.org/x", "/x", "example.org"), ("http://[2001:db8::1]:80/x", "/x", "2001:db8::1"),
            ("mailto:ada@example.org", "ada@example.org", nil),
        ] as [(String, String, String?)])
    func pages(_ address: String, _ path: String, _ host: String?) throws {
        let address = try #require(PageAddress(rawValue: address))
        #expect(address.path == path)
        #expect(address.host == host)
    }

    @Test("A clock is corrected by what it is wrong, and not for the time that a call is on its way")
    func skew() {
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let event = now.addingTimeInterval(-100)
        #expect(ClockSkew(sentAt: nil, receivedAt: now).corrected(event) == event)
        #expect(ClockSkew(sentAt: now.addingTimeInterval(-29), receivedAt: now).corrected(event) == event)
        // Three hours ahead: what it calls in three hours was just now.
        let ahead = now.addingTimeInterval(10_800)
        #expect(ClockSkew(sentAt: ahead, receivedAt: now).corrected(ahead) == now)
        // A day behind.
        let behind = now.addingTimeInterval(-86_400)
        #expect(ClockSkew(sentAt: behind, receivedAt: now).corrected(behind.addingTimeInterval(-60)) == now.addingTimeInterval(-60))
    }

    @Test("Retention is written by plan, with days for every other")
    func retention() throws {
        let now = Date(timeIntervalSince1970: 1_800_000_000)
        let retention = try #require(Retention("starter=90, enterprise=1825,*=395"))
        #expect(retention.limit(plan: "starter", now: now) == now.addingTimeInterval(-90 * 86_400))
        #expect(retention.limit(plan: "other", now: now) == now.addingTimeInterval(-395 * 86_400))
        #expect(retention.limit(plan: nil, now: now) == now.addingTimeInterval(-395 * 86_400))
        #expect(retention.lastLimit(now: now) == now.addingTimeInterval(-1_825 * 86_400))
        #expect(Retention(Retention.standard) != nil)
        for bad in ["", "90", "starter=90", "*=0", "*=x", "*=1,*=2", "a=1,a=2,*=3", "=1,*=2", "*=99999"] {
            #expect(Retention(bad) == nil, "\(bad)")
        }
    }

    @Test("Text of a CSV is quoted, and none of it is run by a spreadsheet")
    func csv() throws {
        let writer = ExportWriter(columns: ["a", "b", "c"], format: .csv)
        let row = ExportRow(
            time: Date(), id: UUID(), fields: [.string("=HYPERLINK(\"x\")"), .string("one,\"two\"\nthree"), .object(["k": .integer(1)])])
        #expect(
            String(decoding: writer.head + (try writer.lines([row])), as: UTF8.self)
                == "a,b,c\r\n\"'=HYPERLINK(\"\"x\"\")\",\"one,\"\"two\"\"\nthree\",\"{\"\"k\"\":1}\"\r\n")
    }
}
