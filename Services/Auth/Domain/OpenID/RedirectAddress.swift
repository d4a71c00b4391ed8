import Contracts
import Foundation

/// Where a client may have a browser sent to: an absolute address that a registration can vouch for (RFC 6749, section 3.1.2; RFC 9700,
/// section 4.1; RFC 8252, sections 7 and 8).
///
/// `https`; `http` on this machine's own address alone; or a scheme of an app's own, which has a dot in it as its domain's name turned
/// round has. No fragment, no wildcard, no user name.
struct RedirectAddress: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }

    static let maximumLength = 1_000
    static var schema: Schema { .string(format: "uri", minLength: 1, maxLength: maximumLength) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let problem = TextProblem(
            "invalid-redirect",
            "must be https, http on a loopback address, or an app's own scheme such as com.example.app:/back; "
                + "without fragment, user name or wildcard, at most \(maximumLength) characters")
        let never = Set("\"<>\\^`{|}#*".unicodeScalars)
        guard (1...maximumLength).contains(text.utf8.count),
            text.unicodeScalars.allSatisfy({ $0.value > 0x20 && $0.value < 0x7F && !never.contains($0) }),
            let parts = URLComponents(string: text), let scheme = parts.scheme, scheme == scheme.lowercased(), parts.user == nil,
            parts.password == nil, !text.contains("@") || parts.host != nil
        else { throw problem }
        switch scheme {
        case "https":
            guard let host = parts.host, !host.isEmpty else { throw problem }
        case "http":
            guard let host = parts.host, isLoopback(host) || host == "localhost" else { throw problem }
        default:
            guard scheme.contains("."), !scheme.hasPrefix("."), !scheme.hasSuffix(".") else { throw problem }
        }
        return text
    }

    static func isLoopback(_ host: String) -> Bool { ["127.0.0.1", "[::1]", "::1"].contains(host) }

    /// Character for character; on a loopback address of a public client the port is the app's choice of the moment (RFC 8252, section 7.3).
    func matches(_ presented: String, anyLoopbackPort: Bool) -> Bool {
        if presented == rawValue { return true }
        guard anyLoopbackPort, let own = URLComponents(string: rawValue), own.scheme == "http", let host = own.host, Self.isLoopback(host),
            (try? Self.check(presented)) != nil, let other = URLComponents(string: presented), other.scheme == "http", other.host == host
        else { return false }
        return own.percentEncodedPath == other.percentEncodedPath && own.percentEncodedQuery == other.percentEncodedQuery
    }

    /// What a page's policy must allow so that its form may end up there: an origin, or an app's scheme.
    static func formTarget(_ address: String) -> String? {
        guard let parts = URLComponents(string: address), let scheme = parts.scheme else { return nil }
        guard scheme == "https" || scheme == "http" else { return "\(scheme):" }
        guard let host = parts.host else { return nil }
        return "\(scheme)://\(host)" + (parts.port.map { ":\($0)" } ?? "")
    }

    /// The address with parameters added to its query, each percent-encoded.
    static func adding(_ parameters: [(String, String)], to address: String) -> String {
        guard !parameters.isEmpty else { return address }
        let text = parameters.map { "\(encode($0.0))=\(encode($0.1))" }.joined(separator: "&")
        guard address.contains("?") else { return address + "?" + text }
        return address + (address.hasSuffix("?") || address.hasSuffix("&") ? "" : "&") + text
    }

    private static func encode(_ text: String) -> String {
        let unreserved = CharacterSet(charactersIn: "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
        return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? ""
    }
}
