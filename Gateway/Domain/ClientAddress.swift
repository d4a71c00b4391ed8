import Foundation

/// Addresses and networks, for the client's address behind trusted proxies and for limits.
struct NetworkAddress: Sendable, Hashable {
    /// 4 bytes or 16; an IPv4 address mapped into IPv6 counts as IPv4.
    let bytes: [UInt8]

    init?(_ text: some StringProtocol) {
        var four = in_addr()
        var six = in6_addr()
        let text = String(text)
        if inet_pton(AF_INET, text, &four) == 1 {
            bytes = withUnsafeBytes(of: &four) { Array($0) }
        } else if inet_pton(AF_INET6, text, &six) == 1 {
            let all = withUnsafeBytes(of: &six) { Array($0) }
            let isMapped = all.prefix(10).allSatisfy { $0 == 0 } && all[10] == 0xFF && all[11] == 0xFF
            bytes = isMapped ? Array(all.suffix(4)) : all
        } else {
            return nil
        }
    }

    /// One customer's part of the network: an IPv4 address, or the 64 bits of an IPv6 network, of which one host may have all addresses.
    var limitSubject: String {
        let part = bytes.count == 4 ? bytes : Array(bytes.prefix(8))
        return part.map { String($0, radix: 16) }.joined(separator: ".")
    }
}

/// `10.0.0.0/8`, or one address.
struct Network: Sendable, Equatable {
    let base: NetworkAddress
    let bits: Int

    init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let first = parts.first, let base = NetworkAddress(first) else { return nil }
        let all = base.bytes.count * 8
        guard let bits = parts.count == 2 ? Int(parts[1]) : all, (0...all).contains(bits) else { return nil }
        self.base = base
        self.bits = bits
    }

    func contains(_ address: NetworkAddress) -> Bool {
        guard address.bytes.count == base.bytes.count else { return false }
        for index in 0..<bits {
            let mask = UInt8(0x80) >> UInt8(index % 8)
            if (address.bytes[index / 8] ^ base.bytes[index / 8]) & mask != 0 { return false }
        }
        return true
    }
}

/// Who is really there: the peer, or, where the peer is a proxy we trust, whom the proxies saw.
struct ClientAddress: Sendable, Equatable {
    let text: String
    let isEncrypted: Bool
    let limitSubject: String

    /// Reads `X-Forwarded-For` from its end, as long as the address before it is trusted; what comes from others is theirs to invent.
    init(peer: String?, forwardedFor: String?, forwardedProto: String?, trusted: [Network]) {
        func isTrusted(_ text: String) -> Bool {
            guard let address = NetworkAddress(text) else { return false }
            return trusted.contains { $0.contains(address) }
        }
        var current = peer ?? "unknown"
        let isProxied = isTrusted(current)
        if isProxied {
            let hops = (forwardedFor ?? "").split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            for hop in hops.reversed() {
                guard NetworkAddress(hop) != nil else { break }
                current = hop
                if !isTrusted(hop) { break }
            }
        }
        text = current
        isEncrypted = isProxied && forwardedProto?.split(separator: ",").last?.trimmingCharacters(in: .whitespaces).lowercased() == "https"
        limitSubject = NetworkAddress(current)?.limitSubject ?? current
    }
}
