import Contracts
import Foundation
import NIOCore
import NIOPosix

#if canImport(Glibc)
    import Glibc
#endif

/// Keeps a customer's settings from steering our requests into our own network.
///
/// A name is resolved once, and the connection goes to the very address that was looked at: between the look and the call nobody can
/// have it point elsewhere.
struct SSOAddressGuard: Sendable {
    /// For development and tests: plain http, and addresses inside the network, are let through.
    let allowsPrivate: Bool

    /// What a host may be written with, so that no two readers of an address can differ about which host it names.
    private static let hostBytes = Set("abcdefghijklmnopqrstuvwxyz0123456789.-:[]".utf8)

    /// The parts of an address that may be asked. Throws `SSOFailure.badIssuerAnswer`.
    func check(_ text: String) throws(SSOFailure) -> URLComponents {
        guard text.utf8.count <= 2_000, let parts = URLComponents(string: text), let host = parts.percentEncodedHost, !host.isEmpty,
            parts.user == nil,
            parts.password == nil, parts.fragment == nil, parts.scheme == "https" || (allowsPrivate && parts.scheme == "http"),
            host.utf8.allSatisfy({ Self.hostBytes.contains($0) })
        else { throw .badIssuerAnswer }
        return parts
    }

    /// The address that the host of a checked URL stands for. Throws `SSOFailure.issuerUnavailable`, also for one inside the network:
    /// what is there is not told.
    func resolve(_ parts: URLComponents) async throws -> String {
        let host = (parts.host ?? "").trimmingCharacters(in: CharacterSet(charactersIn: "[]"))
        let port = parts.port ?? (parts.scheme == "https" ? 443 : 80)
        let found = try? await NIOThreadPool.singleton.runIfActive { try SocketAddress.makeAddressResolvingHost(host, port: port) }
        guard let text = found?.ipAddress, allowsPrivate || Self.isPublic(text) else { throw SSOFailure.issuerUnavailable }
        return text
    }

    /// Whether an address is one of the open internet (the registries of RFC 6890, and what tunnels or maps into the rest).
    static func isPublic(_ text: String) -> Bool {
        var four = in_addr()
        if inet_pton(AF_INET, text, &four) == 1 { return isPublic(four: withUnsafeBytes(of: &four) { Array($0) }) }
        var six = in6_addr()
        guard inet_pton(AF_INET6, text, &six) == 1 else { return false }
        let bytes = withUnsafeBytes(of: &six) { Array($0) }
        // Only 2000::/3 is given out as global unicast.
        guard bytes[0] & 0xE0 == 0x20 else { return false }
        let head = (bytes[0], bytes[1], bytes[2], bytes[3])
        switch head {
        case (0x20, 0x01, 0x00...0x01, _): return false  // protocol assignments, Teredo, benchmarking
        case (0x20, 0x01, 0x0D, 0xB8): return false  // documentation
        case (0x20, 0x02, _, _): return false  // 6to4, which carries an IPv4 address
        case (0x3F, 0xFF, 0x00...0x0F, _): return false  // documentation
        default: return true
        }
    }

    private static func isPublic(four bytes: [UInt8]) -> Bool {
        switch (bytes[0], bytes[1], bytes[2]) {
        case (0, _, _), (10, _, _), (127, _, _), (224...255, _, _): false
        case (100, 64...127, _), (169, 254, _), (172, 16...31, _), (192, 168, _), (198, 18...19, _): false
        case (192, 0, 0), (192, 0, 2), (192, 88, 99), (198, 51, 100), (203, 0, 113): false
        default: true
        }
    }
}
