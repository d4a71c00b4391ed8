import Contracts
import Foundation

/// A sign-in that was begun here and goes on at the issuer.
struct SSOAttempt: Sendable {
    /// How long somebody may take there.
    static let lifetime: TimeInterval = 600
    /// How long the code that ends it may wait for its client.
    static let codeLifetime: TimeInterval = 60

    let connection: SSOConnectionID
    /// An absolute address, of an origin that is allowed.
    let returnTo: String
    /// The client's own proof (RFC 7636, S256), when it gave one: the code is worth nothing to another.
    let challenge: String?
    /// Set when a signed-in person links an identity to their account.
    let linkTo: UserID?
    let createdAt: Date
}

/// An origin (RFC 6454) as browsers write it: scheme, host and, where it is not the usual one, port.
struct WebOrigin: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static var schema: Schema { .string(format: "uri", maxLength: 300) }

    static func check(_ text: String) throws(TextProblem) -> String {
        guard text.utf8.count <= 300, let parts = URLComponents(string: text), let origin = origin(of: parts),
            parts.path.isEmpty || parts.path == "/",
            parts.query == nil, parts.fragment == nil, parts.user == nil, parts.password == nil
        else { throw TextProblem("invalid-origin", "must be an origin such as https://app.example.org, https but for this machine") }
        return origin
    }

    /// Nil unless it is https, or http of this machine itself, where developers work.
    static func origin(of parts: URLComponents) -> String? {
        guard let scheme = parts.scheme?.lowercased(), let host = parts.host?.lowercased(), !host.isEmpty else { return nil }
        guard scheme == "https" || (scheme == "http" && ["127.0.0.1", "localhost", "[::1]"].contains(host)) else { return nil }
        guard let port = parts.port, port != (scheme == "https" ? 443 : 80) else { return "\(scheme)://\(host)" }
        return "\(scheme)://\(host):\(port)"
    }
}

/// Where the browser goes at the end. Anything else would make us a signpost to anywhere (RFC 9700, section 4.11).
enum SSOReturn {
    static let maximumLength = 1_000

    /// The absolute address for a path of the platform's own, or for an address whose origin is allowed.
    static func resolve(_ text: String?, publicURL: String, allowed: [WebOrigin]) throws(SSOFailure) -> String {
        guard let text, !text.isEmpty else { return publicURL + "/" }
        // Browsers read a backslash as a slash, and skip tabs and line ends.
        guard text.utf8.count <= maximumLength, text.unicodeScalars.allSatisfy({ (0x21...0x7E).contains($0.value) && $0 != "\\" }),
            !text.contains("#")
        else { throw .returnNotAllowed }
        if text.hasPrefix("/") {
            guard !text.hasPrefix("//") else { throw .returnNotAllowed }
            return publicURL + text
        }
        guard let parts = URLComponents(string: text), parts.user == nil, parts.password == nil, let origin = address(of: parts),
            origin == URLComponents(string: publicURL).flatMap({ address(of: $0) }) || allowed.contains(where: { $0.rawValue == origin })
        else { throw .returnNotAllowed }
        return text
    }

    /// Whether an address that `resolve` gave is the platform's own.
    static func isOwn(_ address: String, publicURL: String) -> Bool {
        let origins = [address, publicURL].map { URLComponents(string: $0).flatMap { Self.address(of: $0) } }
        return origins[0] != nil && origins[0] == origins[1]
    }

    /// As `WebOrigin`, with http allowed: the platform's own address may be one behind a tunnel.
    private static func address(of parts: URLComponents) -> String? {
        guard let scheme = parts.scheme?.lowercased(), ["http", "https"].contains(scheme), let host = parts.host?.lowercased(),
            !host.isEmpty
        else { return nil }
        guard let port = parts.port, port != (scheme == "https" ? 443 : 80) else { return "\(scheme)://\(host)" }
        return "\(scheme)://\(host):\(port)"
    }

    /// The address with a parameter more.
    static func adding(_ name: String, _ value: String, to address: String) -> String {
        "\(address)\(address.contains("?") ? "&" : "?")\(name)=\(value)"
    }
}
