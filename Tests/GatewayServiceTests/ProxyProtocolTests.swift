import NIOCore
import Synchronization
import Testing

@testable import GatewayService

@Suite("The PROXY protocol")
struct ProxyProtocolTests {
    static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]

    static func read(_ bytes: [UInt8]) -> ProxyProtocol.Reading { bytes.withUnsafeBytes { ProxyProtocol.read($0) } }
    static func read(_ text: String) -> ProxyProtocol.Reading { read(Array(text.utf8)) }

    static func record(_ type: UInt8, _ value: [UInt8]) -> [UInt8] { [type, UInt8(value.count >> 8), UInt8(value.count & 255)] + value }

    /// A header of version 2.
    static func binary(command: UInt8 = 0x21, family: UInt8 = 0x11, _ rest: [UInt8]) -> [UInt8] {
        signature + [command, family, UInt8(rest.count >> 8), UInt8(rest.count & 255)] + rest
    }

    /// 203.0.113.7:50000 to 192.0.2.1:443.
    static let four: [UInt8] = [203, 0, 113, 7, 192, 0, 2, 1, 0xC3, 0x50, 0x01, 0xBB]

    // MARK: Version 1

    @Test("A line names the client of IPv4 and IPv6")
    func line() {
        let text = "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n"
        #expect(
            Self.read(text + "GET /")
                == .header(ProxyHeader(source: .init(address: "203.0.113.7", port: 50_000), isEncrypted: false), length: text.utf8.count))
        let six = "PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n"
        #expect(
            Self.read(six)
                == .header(ProxyHeader(source: .init(address: "2001:db8::7", port: 50_000), isEncrypted: false), length: six.utf8.count))
    }

    @Test("UNKNOWN, with or without more, leaves the peer as it is")
    func unknown() {
        #expect(Self.read("PROXY UNKNOWN\r\n") == .header(.local, length: 15))
        let more = "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"
        #expect(Self.read(more) == .header(.local, length: more.utf8.count))
    }

    @Test(
        "Lines that are not to the letter are refused",
        arguments: [
            "GET / HTTP/1.1\r\n\r\n", "PROXY \r\n", "PROXY TCP4 203.0.113.7 192.0.2.1 50000\r\n",
            "PROXY TCP4  203.0.113.7 192.0.2.1 50000 443\r\n", "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443 \r\n",
            "PROXY TCP4 2001:db8::7 192.0.2.1 50000 443\r\n", "PROXY TCP6 203.0.113.7 2001:db8::1 50000 443\r\n",
            "PROXY TCP4 203.0.113.256 192.0.2.1 50000 443\r\n", "PROXY TCP4 203.0.113.7 192.0.2.1 050000 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 65536 443\r\n", "PROXY TCP4 203.0.113.7 192.0.2.1 -1 443\r\n",
            "PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\n", "proxy TCP4 203.0.113.7 192.0.2.1 50000 443\r\n",
            "PROXY UDP4 203.0.113.7 192.0.2.1 50000 443\r\n",
        ])
    func malformedLine(_ text: String) { #expect(Self.read(text) == .malformed) }

    @Test("A line without an end is refused at its longest length, and not before")
    func longLine() {
        let start = Array("PROXY UNKNOWN ".utf8)
        #expect(Self.read(start + [UInt8](repeating: 65, count: 106 - start.count)) == .needsMore)
        #expect(Self.read(start + [UInt8](repeating: 65, count: 107 - start.count)) == .malformed)
    }

    // MARK: Version 2

    @Test("A binary header names the client of IPv4 and IPv6")
    func binaryAddresses() {
        let header = Self.binary(Self.four)
        #expect(
            Self.read(header + [1, 2, 3])
                == .header(ProxyHeader(source: .init(address: "203.0.113.7", port: 50_000), isEncrypted: false), length: 28))
        let six: [UInt8] =
            [0x20, 0x01, 0x0D, 0xB8] + [UInt8](repeating: 0, count: 11) + [7] + [UInt8](repeating: 0, count: 16) + [0, 80, 0, 81]
        #expect(
            Self.read(Self.binary(family: 0x21, six))
                == .header(ProxyHeader(source: .init(address: "2001:db8::7", port: 80), isEncrypted: false), length: 52))
    }

    @Test("LOCAL, UNSPEC and UNIX leave the peer as it is")
    func binaryLocal() {
        #expect(Self.read(Self.binary(command: 0x20, family: 0, [])) == .header(.local, length: 16))
        #expect(Self.read(Self.binary(command: 0x20, Self.four)) == .header(.local, length: 28))
        #expect(Self.read(Self.binary(family: 0, [1, 2, 3])) == .header(.local, length: 19))
        #expect(Self.read(Self.binary(family: 0x31, [UInt8](repeating: 0, count: 216))) == .header(.local, length: 232))
    }

    @Test("Records that nobody knows are skipped; that of TLS says that the client's connection was encrypted")
    func records() {
        let tls = Self.record(0x20, [1, 0, 0, 0, 0])
        let header = Self.binary(Self.four + Self.record(0xEA, [1, 2, 3]) + tls + Self.record(0x05, Array("id".utf8)))
        #expect(
            Self.read(header)
                == .header(ProxyHeader(source: .init(address: "203.0.113.7", port: 50_000), isEncrypted: true), length: header.count))
    }

    @Test("A checksum is verified where there is one")
    func checksum() {
        var header = Self.binary(Self.four + Self.record(0x03, [0, 0, 0, 0]))
        let place = (header.count - 4)..<header.count
        let sum = header.withUnsafeBytes { ProxyProtocol.checksum($0, skipping: place) }
        header.replaceSubrange(place, with: (0..<4).map { UInt8(truncatingIfNeeded: sum >> (24 - 8 * $0)) })
        guard case .header(_, let length) = Self.read(header) else { return #expect(Bool(false), "a good checksum was refused") }
        #expect(length == header.count)
        header[20] ^= 1
        #expect(Self.read(header) == .malformed)
    }

    @Test("The checksum is CRC-32C")
    func knownChecksum() {
        // The check value of the algorithm's definition.
        #expect(Array("123456789".utf8).withUnsafeBytes { ProxyProtocol.checksum($0, skipping: 0..<0) } == 0xE306_9283)
    }

    @Test("Binary headers that are not to the letter are refused")
    func malformedBinary() {
        #expect(Self.read(Self.binary(command: 0x22, Self.four)) == .malformed)
        #expect(Self.read(Self.binary(command: 0x11, Self.four)) == .malformed)
        #expect(Self.read(Self.binary(family: 0x41, Self.four)) == .malformed)
        #expect(Self.read(Self.binary(family: 0x12, Self.four)) == .malformed)
        #expect(Self.read(Self.binary(family: 0x21, Self.four)) == .malformed)
        #expect(Self.read(Self.binary(Self.four + [1])) == .malformed)
        #expect(Self.read(Self.binary(Self.four + [1, 0, 5, 1])) == .malformed)
        #expect(Self.read(Self.signature + [0x21, 0x11, 0xFF, 0xFF]) == .malformed)
        #expect(Self.read(Array(Self.signature.dropLast()) + [0]) == .malformed)
    }

    @Test("Every beginning of a good header asks for more, and nothing is read past its end")
    func beginnings() {
        for header in [Array("PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\n".utf8), Self.binary(Self.four + Self.record(4, [1, 2]))] {
            for count in 0..<header.count { #expect(Self.read(Array(header[..<count])) == .needsMore, "\(count) bytes") }
            guard case .header(_, let length) = Self.read(header + [UInt8](repeating: 9, count: 50)) else {
                return #expect(Bool(false), "a good header was refused")
            }
            #expect(length == header.count)
        }
    }

    @Test("Whatever comes, the answer is one of three and the length is within the bytes")
    func fuzz() {
        var random = SystemRandomNumberGenerator()
        let seeds = [
            Array("PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n".utf8), Self.binary(Self.four + Self.record(0x20, [1, 0, 0, 0, 0])),
            Self.binary(family: 0x31, [UInt8](repeating: 3, count: 216)),
        ]
        for round in 0..<20_000 {
            var bytes = seeds[round % seeds.count]
            for _ in 0..<Int.random(in: 0...4, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &random)))
            if case .header(_, let length) = Self.read(bytes) { #expect(length > 0 && length <= bytes.count) }
        }
    }

    // MARK: At the door

    static let settings = EdgeSettings(proxyProtocol: true, http2Cleartext: true, openingSeconds: 1)

    @Test("The client that a trusted load balancer names is the peer; what it forwards counts no more than it is trusted itself")
    func named() async throws {
        try await EdgeBooth.with(Self.settings) { booth in
            let socket = try RawSocket(port: booth.ports.plain)
            try await socket.send("PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await socket.receive(until: "unknown").hasSuffix("203.0.113.7 http unknown"))
            let tls = try RawSocket(port: booth.ports.plain)
            try await tls.send(Self.binary(Self.four + Self.record(0x20, [1, 0, 0, 0, 0])))
            try await tls.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await tls.receive(until: "unknown").hasSuffix("203.0.113.7 https unknown"))
            let local = try RawSocket(port: booth.ports.plain)
            try await local.send("PROXY UNKNOWN\r\n")
            try await local.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await local.receive(until: "trusted").hasSuffix("127.0.0.1 http trusted"))
        }
    }

    @Test("A header may come byte by byte, and HTTP/2 may follow in the same packet")
    func pieces() async throws {
        try await EdgeBooth.with(Self.settings) { booth in
            let socket = try RawSocket(port: booth.ports.plain)
            for byte in "PROXY TCP4 203.0.113.8 192.0.2.1 50000 443\r\nGET / HTTP/1.1\r\n\r\n".utf8 { try await socket.send([byte]) }
            #expect(try await socket.receive(until: "unknown").contains("203.0.113.8"))
        }
    }

    @Test("Connections that begin with anything else, or with nothing, are closed and counted")
    func others() async throws {
        try await EdgeBooth.with(Self.settings) { booth in
            let plain = try RawSocket(port: booth.ports.plain)
            try await plain.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            let refused = try await plain.receiveAll()
            #expect(refused.bytes.isEmpty && refused.ended)
            #expect(booth.counters.badProxies.load(ordering: .relaxed) == 1)
            let silent = try RawSocket(port: booth.ports.plain)
            try await silent.send("PROXY TCP4 ")
            let late = try await silent.receiveAll()
            #expect(late.bytes.isEmpty && late.ended)
            #expect(booth.counters.slowOpenings.load(ordering: .relaxed) == 1)
        }
    }

    @Test("A header from an address that is not trusted is refused")
    func untrusted() async throws {
        try await EdgeBooth.with(Self.settings, trusted: ["192.0.2.0/24"]) { booth in
            let socket = try RawSocket(port: booth.ports.plain)
            try await socket.send("PROXY TCP4 203.0.113.7 192.0.2.1 50000 443\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
            #expect(try await socket.receiveAll().ended)
            #expect(booth.counters.badProxies.load(ordering: .relaxed) == 1)
        }
    }
}
