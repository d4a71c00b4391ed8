import Contracts
import Foundation

@testable import GatewayService

/// What `PathSegments` does on bytes, the slow and plain way: the table is held against it.
///
/// What two programs could read differently is refused, not repaired: empty and dot segments, encoded slashes, dots and
/// control characters, backslashes, double encoding (OWASP ASVS 5.1.3; the classic ways around a prefix rule).
struct RequestPath: Equatable {
    static let maximumBytes = PathSegments.maximumBytes

    /// Decoded, without empty ones: a slash at the end adds nothing.
    let segments: [String]

    init(_ raw: some StringProtocol) throws(GatewayFailure) {
        guard raw.utf8.count <= Self.maximumBytes, raw.first == "/" else { throw .malformedPath }
        var parts = raw.dropFirst().split(separator: "/", omittingEmptySubsequences: false)
        if parts.last?.isEmpty == true { parts.removeLast() }
        var segments: [String] = []
        for part in parts { segments.append(try Self.decode(part)) }
        self.segments = segments
    }

    private static func decode(_ part: some StringProtocol) throws(GatewayFailure) -> String {
        var bytes: [UInt8] = []
        var rest = part.utf8.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                guard byte > 0x20, byte < 0x7F, byte != UInt8(ascii: "\\") else { throw .malformedPath }
                bytes.append(byte)
                continue
            }
            guard let high = rest.next().flatMap(hexDigit), let low = rest.next().flatMap(hexDigit) else { throw .malformedPath }
            let decoded = high << 4 | low
            guard decoded > 0x1F, decoded != 0x7F, !Self.neverEncoded.contains(decoded) else { throw .malformedPath }
            bytes.append(decoded)
        }
        guard let text = String(validating: bytes, as: UTF8.self), !text.isEmpty else { throw .malformedPath }
        let name = text.prefix { $0 != ";" }
        guard !name.isEmpty, name != ".", name != ".." else { throw .malformedPath }
        return text
    }

    /// Encoded, these are an attempt to hide a separator, a dot segment or a second encoding.
    private static let neverEncoded: Set<UInt8> = [UInt8(ascii: "/"), UInt8(ascii: "\\"), UInt8(ascii: "."), UInt8(ascii: "%")]

    private static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }
}

extension RoutingTable {
    func service(for path: RequestPath) -> ServiceName? { service(for: path.segments) }
}
