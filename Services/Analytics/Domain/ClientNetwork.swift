import Foundation

/// The address of a client as it is: looked at while its request is worked on, never stored.
struct ClientAddress: Sendable, Equatable {
    /// Four bytes or sixteen. An IPv4 client of a server that listens on IPv6 (RFC 4291, section 2.5.5.2) has four.
    let bytes: [UInt8]

    /// Nil when the text is no address. A zone (`%eth0`) is dropped.
    init?(_ text: String?) {
        guard let text, text.utf8.count <= 64 else { return nil }
        if let parts = Self.version4(text) {
            bytes = parts
        } else if let groups = Self.version6(text) {
            let all = groups.flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
            bytes = all[..<10].allSatisfy { $0 == 0 } && all[10] == 0xFF && all[11] == 0xFF ? Array(all[12...]) : all
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

    /// The eight groups of RFC 4291, section 2.2, with `::` filled up.
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

/// The network of a client's address: what is left when the part that points at one person is cut off.
///
/// The first 24 bits of an IPv4 address and the first 48 of an IPv6 address, as usual in web statistics.
struct ClientNetwork: Sendable, Equatable {
    /// `203.0.113.0` or `2001:db8:17::`.
    let text: String

    init(_ address: ClientAddress) {
        let bytes = address.bytes
        text =
            bytes.count == 4
            ? "\(bytes[0]).\(bytes[1]).\(bytes[2]).0"
            : stride(from: 0, to: 6, by: 2).map { String(UInt16(bytes[$0]) << 8 | UInt16(bytes[$0 + 1]), radix: 16) }
                .joined(separator: ":") + "::"
    }

    /// Nil when the text is no address.
    init?(_ address: String?) {
        guard let address = ClientAddress(address) else { return nil }
        self.init(address)
    }
}
