import Contracts
import DevStack
import Foundation
import ServiceKit
import TestKit
import Testing

@testable import UsersService

private enum Dnsmasq {
    static let program = ["/usr/sbin/dnsmasq", "/usr/local/sbin/dnsmasq"].first { FileManager.default.isExecutableFile(atPath: $0) }
}

/// The look-up against a name server that somebody else wrote, where it is installed (Debian's dnsmasq-base).
@Suite struct DNSServerTests {
    @Test(
        "dnsmasq's answers are read: short ones, several, those of many strings, those too long for UDP, and none",
        .enabled(if: Dnsmasq.program != nil))
    func dnsmasq() async throws {
        let port = try Ports.free(), long = String(repeating: "x", count: 250)
        let server = Process()
        server.executableURL = URL(filePath: try #require(Dnsmasq.program))
        server.arguments = [
            "--keep-in-foreground", "--no-resolv", "--no-hosts", "--conf-file=/dev/null", "--bind-interfaces",
            "--listen-address=127.0.0.1", "--port=\(port)", "--pid-file=", "--user=", "--local=/example/", "--edns-packet-max=512",
            "--txt-record=_one.example,trionex-verification=abc", "--txt-record=_two.example,first", "--txt-record=_two.example,second",
            "--txt-record=_many.example,abc,def", "--txt-record=_long.example,\(Array(repeating: long, count: 6).joined(separator: ","))",
        ]
        server.standardError = FileHandle.nullDevice
        try server.run()
        defer { server.terminate() }
        let lookup = TXTLookup(server: "127.0.0.1:\(port)")
        try await TrionexTesting.eventually("it answers") { (try? await lookup.records("_one.example")) != nil }
        #expect(try await lookup.records("_one.example") == ["trionex-verification=abc"])
        #expect(try await lookup.records("_ONE.Example") == ["trionex-verification=abc"])
        let two = try await lookup.records("_two.example")
        #expect(two.sorted() == ["first", "second"])
        #expect(try await lookup.records("_many.example") == ["abcdef"])
        let texts = try await lookup.records("_long.example")
        #expect(texts.map(\.utf8.count) == [1_500])
        #expect(try await lookup.records("_none.example").isEmpty)
        await #expect(throws: DependencyFailure.self) { try await lookup.records("elsewhere.invalid") }
    }

    @Test("where nobody listens, that is said")
    func nobody() async throws {
        let lookup = TXTLookup(server: "127.0.0.1:\(try Ports.free())")
        await #expect(throws: DependencyFailure.self) { try await lookup.records("_one.example") }
        await #expect(throws: DependencyFailure.self) { try await TXTLookup(server: "nonsense").records("_one.example") }
    }
}
