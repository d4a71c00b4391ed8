import Foundation

/// The network of a client's address: what is left when the part that points at one person is cut off.
///
/// The first 24 bits of an IPv4 address and the first 48 of an IPv6 address, as usual in web statistics.
struct ClientNetwork: Sendable, Equatable {
    /// `203.0.113.0` or `2001:db8:17::`.
    let text: String

    /// Nil when the text is no address.
    init?(_ address: String?) {
        guard let address, address.utf8.count <= 64 else { return nil }
        if let parts = Self.version4(address) {
            text = "\(parts[0]).\(parts[1]).\(parts[2]).0"
        } else if let groups = Self.version6(address) {
            if groups.prefix(5).allSatisfy({ $0 == 0 }), groups[5] == 0xFFFF {
                // An IPv4 client of a server that listens on IPv6 (RFC 4291, section 2.5.5.2).
                text = "\(groups[6] >> 8).\(groups[6] & 0xFF).\(groups[7] >> 8).0"
            } else {
                text = groups.prefix(3).map { String($0, radix: 16) }.joined(separator: ":") + "::"
            }
        } else {
            return nil
        }
    }

    private static func version4(_ address: some StringProtocol) -> [UInt8]? {
        let parts = address.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4, parts.allSatisfy({ $0.utf8.allSatisfy { (48...57).contains($0) } }) else { return nil }
        let numbers = parts.compactMap { UInt8($0) }
        return numbers.count == 4 ? numbers : nil
    }

    /// The eight groups of RFC 4291, section 2.2, with `::` filled up; a zone (`%eth0`) is dropped.
    private static func version6(_ address: String) -> [UInt16]? {
        let plain = address.split(separator: "%", maxSplits: 1, omittingEmptySubsequences: false)[0]
        if let gap = plain.range(of: "::") {
            guard let head = groups(plain[..<gap.lowerBound]), let tail = groups(plain[gap.upperBound...]) else { return nil }
            guard head.count + tail.count < 8 else { return nil }
            return head + Array(repeating: 0, count: 8 - head.count - tail.count) + tail
        }
        guard let all = groups(plain), all.count == 8 else { return nil }
        return all
    }

    private static func groups(_ text: Substring) -> [UInt16]? {
        if text.isEmpty { return [] }
        var groups: [UInt16] = []
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        for (index, part) in parts.enumerated() {
            if index == parts.count - 1, let last = version4(part) {
                groups += [UInt16(last[0]) << 8 | UInt16(last[1]), UInt16(last[2]) << 8 | UInt16(last[3])]
                continue
            }
            guard (1...4).contains(part.utf8.count), let group = UInt16(part, radix: 16), part.first != "+" else { return nil }
            groups.append(group)
        }
        return groups
    }
}
