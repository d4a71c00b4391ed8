import Contracts
import Foundation

/// A mail server and how to speak to it.
struct SMTPSettings: Sendable, Equatable {
    enum Security: String, Sendable, CaseIterable {
        /// Refuse to send without TLS.
        case required
        /// TLS when the server offers STARTTLS.
        case opportunistic
        case off
    }

    /// `smtp://host:port` or `smtps://host:port`, without credentials.
    let server: String
    let user: String?
    let password: String?
    let security: Security
    /// Certificates of authorities to trust instead of the system's (PEM).
    let authorities: String?

    /// What is wrong, in words that do not repeat the password.
    struct Refused: Error, Equatable {
        let reason: String
    }

    init(url text: String, security: Security, authorities: String?) throws(Refused) {
        guard let parts = URLComponents(string: text), let scheme = parts.scheme?.lowercased(), ["smtp", "smtps"].contains(scheme),
            let host = parts.host, !host.isEmpty, parts.path.isEmpty || parts.path == "/", parts.query == nil
        else { throw Refused(reason: "must be smtp://[user:password@]host:port or smtps://…") }
        server = "\(scheme)://\(host)" + (parts.port.map { ":\($0)" } ?? "")
        user = parts.user
        password = parts.password
        self.security = scheme == "smtps" ? .required : security
        self.authorities = authorities
        if password != nil, self.security != .required, !Self.isLocal(host) {
            throw Refused(reason: "has a password that could travel in clear text: set TRIONEX_SMTP_TLS to required, or use smtps://")
        }
    }

    /// Whether a host is this machine, where nobody listens in.
    static func isLocal(_ host: String) -> Bool { ["127.0.0.1", "localhost", "[::1]", "::1"].contains(host) }
}
