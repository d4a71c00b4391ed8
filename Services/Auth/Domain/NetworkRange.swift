import Foundation

/// The addresses that one household, office or provider hands out: the /24 of an IPv4 address, the /48 of an IPv6 address.
///
/// Two addresses of one range are taken for the same place: a telephone changes its address within it from hour to hour.
struct NetworkRange: Hashable, Sendable, CustomStringConvertible {
    /// Such as `203.0.113.0/24` or `2001:db8:7::/48`.
    let description: String

    /// The range of no address that can be read is a place of its own.
    static let unknown = NetworkRange(description: "unknown")

    private init(description: String) { self.description = description }

    init(_ address: String?) {
        guard let address, let bytes = Self.bytes(of: address) else {
            self = .unknown
            return
        }
        if bytes.count == 4 {
            self.init(description: "\(bytes[0]).\(bytes[1]).\(bytes[2]).0/24")
        } else {
            let groups = stride(from: 0, to: 6, by: 2).map { String(Int(bytes[$0]) << 8 | Int(bytes[$0 + 1]), radix: 16) }
            self.init(description: groups.joined(separator: ":") + "::/48")
        }
    }

    /// Four bytes of an IPv4 address, also of one mapped into IPv6 (RFC 4291, section 2.5.5.2), or sixteen.
    private static func bytes(of address: String) -> [UInt8]? {
        // A scope (`%eth0`) says nothing about the range.
        let text = String(address.prefix { $0 != "%" })
        var four = in_addr(), sixteen = in6_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return withUnsafeBytes(of: &four) { Array($0) } }
        guard inet_pton(AF_INET6, text, &sixteen) == 1 else { return nil }
        let bytes = withUnsafeBytes(of: &sixteen) { Array($0) }
        let isMapped = bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        return isMapped ? Array(bytes.suffix(4)) : bytes
    }
}
