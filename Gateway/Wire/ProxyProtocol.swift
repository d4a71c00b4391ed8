import Foundation
import NIOCore

/// What a load balancer says of the connection that it passes on: the PROXY protocol of HAProxy, versions 1 and 2
/// (https://www.haproxy.org/download/2.8/doc/proxy-protocol.txt).
struct ProxyHeader: Equatable {
    struct Endpoint: Equatable {
        let address: String
        let port: Int
    }

    /// Whom the load balancer saw; nil where it speaks for itself (LOCAL), or knows no address (UNKNOWN, UNSPEC, UNIX).
    let source: Endpoint?
    /// Whether the client's connection to the load balancer was encrypted (PP2_TYPE_SSL).
    let isEncrypted: Bool

    static let local = ProxyHeader(source: nil, isEncrypted: false)
}

/// Reads the header at the front of a connection. It looks at bytes alone and keeps nothing between two calls.
enum ProxyProtocol {
    enum Reading: Equatable {
        case needsMore
        /// The header and the number of its bytes.
        case header(ProxyHeader, length: Int)
        case malformed
    }

    /// The longest line of version 1, with its CRLF (section 2.1).
    static let maximumLine = 107
    /// The longest header of version 2 that is taken: addresses, and what load balancers add of TLS and their networks.
    static let maximumLength = 4_096

    private static let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0x00, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    private static let prefix = Array("PROXY ".utf8)

    static func read(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard let first = bytes.first else { return .needsMore }
        return first == signature[0] ? binary(bytes) : line(bytes)
    }

    // MARK: Version 1

    private static func line(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard zip(bytes, prefix).allSatisfy({ $0 == $1 }) else { return .malformed }
        let seen = bytes.prefix(maximumLine)
        guard let end = seen.firstIndex(of: 0x0A) else { return bytes.count >= maximumLine ? .malformed : .needsMore }
        guard end > prefix.count, seen[end - 1] == 0x0D else { return .malformed }
        let text = String(decoding: seen[..<(end - 1)], as: UTF8.self)
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        // Whatever follows UNKNOWN is to be ignored.
        if words[1] == "UNKNOWN" { return .header(.local, length: end + 1) }
        guard words.count == 6, words[1] == "TCP4" || words[1] == "TCP6" else { return .malformed }
        let family = words[1] == "TCP4" ? AF_INET : AF_INET6
        guard isAddress(words[2], family), isAddress(words[3], family), let port = port(words[4]), self.port(words[5]) != nil else {
            return .malformed
        }
        let source = ProxyHeader.Endpoint(address: String(words[2]), port: port)
        return .header(ProxyHeader(source: source, isEncrypted: false), length: end + 1)
    }

    private static func isAddress(_ text: Substring, _ family: Int32) -> Bool {
        var space = in6_addr()
        return inet_pton(family, String(text), &space) == 1
    }

    /// Decimal, 0 to 65535, without leading zeros.
    private static func port(_ text: Substring) -> Int? {
        guard (1...5).contains(text.utf8.count), text.utf8.allSatisfy({ (48...57).contains($0) }) else { return nil }
        guard text.utf8.count == 1 || text.utf8.first != 48, let port = Int(text), port <= 65_535 else { return nil }
        return port
    }

    // MARK: Version 2

    /// 12 bytes of signature, version and command, family and transport, two bytes of length; then addresses and TLVs (section 2.2).
    private static func binary(_ bytes: UnsafeRawBufferPointer) -> Reading {
        guard zip(bytes, signature).allSatisfy({ $0 == $1 }) else { return .malformed }
        guard bytes.count >= 16 else { return .needsMore }
        let command = bytes[12], family = bytes[13] >> 4, transport = bytes[13] & 0x0F
        guard command == 0x20 || command == 0x21, family <= 3, transport <= 2 else { return .malformed }
        let length = 16 + (Int(bytes[14]) << 8 | Int(bytes[15]))
        guard length <= maximumLength else { return .malformed }
        guard bytes.count >= length else { return .needsMore }
        let whole = UnsafeRawBufferPointer(rebasing: bytes[..<length])
        let addressBytes = [0, 12, 36, 216][Int(family)]
        guard length >= 16 + addressBytes else { return .malformed }
        var isEncrypted = false
        // Without a family the addresses' length is not known, and what is there is to be skipped.
        if family != 0 {
            guard let tls = records(whole, from: 16 + addressBytes) else { return .malformed }
            isEncrypted = tls
        }
        // LOCAL: the load balancer's own, such as a health check.
        guard command == 0x21 else { return .header(.local, length: length) }
        switch (family, transport) {
        case (1, 1): return .header(header(whole, AF_INET, 4, isEncrypted), length: length)
        case (2, 1): return .header(header(whole, AF_INET6, 16, isEncrypted), length: length)
        case (0, _), (3, _): return .header(ProxyHeader(source: nil, isEncrypted: isEncrypted), length: length)
        // A datagram over this connection is nothing that we could answer.
        default: return .malformed
        }
    }

    private static func header(_ bytes: UnsafeRawBufferPointer, _ family: Int32, _ size: Int, _ isEncrypted: Bool) -> ProxyHeader {
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: Int(INET6_ADDRSTRLEN)) { space in
            guard inet_ntop(family, bytes.baseAddress! + 16, space.baseAddress!, socklen_t(INET6_ADDRSTRLEN)) != nil else { return "" }
            return String(cString: space.baseAddress!)
        }
        let port = Int(bytes[16 + 2 * size]) << 8 | Int(bytes[17 + 2 * size])
        return ProxyHeader(source: .init(address: text, port: port), isEncrypted: isEncrypted)
    }

    private static let checksumRecord: UInt8 = 0x03
    private static let tlsRecord: UInt8 = 0x20

    /// Type, two bytes of length, value (section 2.2.1). Nil where they do not fill the header exactly, or where their checksum is wrong;
    /// else whether they tell of TLS.
    private static func records(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Bool? {
        var at = start, isEncrypted = false
        while at < bytes.count {
            guard at + 3 <= bytes.count else { return nil }
            let value = at + 3, end = value + (Int(bytes[at + 1]) << 8 | Int(bytes[at + 2]))
            guard end <= bytes.count else { return nil }
            switch bytes[at] {
            case checksumRecord:
                guard end - value == 4 else { return nil }
                let said = (value..<end).reduce(UInt32(0)) { $0 << 8 | UInt32(bytes[$1]) }
                guard said == checksum(bytes, skipping: value..<end) else { return nil }
            case tlsRecord:
                // One byte of flags, of which the lowest is PP2_CLIENT_SSL, and four of verification.
                guard end - value >= 5 else { return nil }
                isEncrypted = bytes[value] & 1 == 1
            default: break
            }
            at = end
        }
        return isEncrypted
    }

    /// CRC-32C of the whole header, its own four bytes taken as zero.
    static func checksum(_ bytes: UnsafeRawBufferPointer, skipping own: Range<Int>) -> UInt32 {
        var crc = ~UInt32(0)
        for index in bytes.indices {
            crc ^= UInt32(own.contains(index) ? 0 : bytes[index])
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0x82F6_3B78 : crc >> 1 }
        }
        return ~crc
    }
}

/// Stands at the front of a connection until its PROXY header was read, then goes.
final class ProxyProtocolHandler: FirstBytesHandler {
    typealias InboundIn = ByteBuffer

    private var held = ByteBuffer()
    private(set) var isDone = false
    private let refused: () -> Void
    private let proceed: (ProxyHeader) throws -> Void

    /// `proceed` adds what comes next to the end of the pipeline; `refused` is told of a connection that begins with anything else.
    init(refused: @escaping () -> Void, proceed: @escaping (ProxyHeader) throws -> Void) {
        self.refused = refused
        self.proceed = proceed
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        if isDone { return context.fireChannelRead(data) }
        held.writeBuffer(&bytes)
        switch held.withUnsafeReadableBytes(ProxyProtocol.read) {
        case .needsMore: break
        case .malformed: refuse(context)
        case .header(let header, let length):
            isDone = true
            held.moveReaderIndex(forwardBy: length)
            do {
                try proceed(header)
            } catch {
                return refuse(context)
            }
            let rest = held
            held = ByteBuffer()
            if rest.readableBytes > 0 { context.fireChannelRead(NIOAny(rest)) }
        }
    }

    private func refuse(_ context: ChannelHandlerContext) {
        isDone = true
        held = ByteBuffer()
        refused()
        context.close(promise: nil)
    }
}
