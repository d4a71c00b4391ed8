/// How the connection is secured, in the words of Kafka's own settings. TLS and SASL are done by librdkafka.
package struct KafkaSecurity: Sendable {
    package enum Wire: String, Sendable, CaseIterable {
        case plaintext, ssl
        case saslPlaintext = "sasl_plaintext"
        case saslTLS = "sasl_ssl"

        var usesSASL: Bool { self == .saslPlaintext || self == .saslTLS }
        var usesTLS: Bool { self == .ssl || self == .saslTLS }
    }

    /// What we have tried against a server. Others of librdkafka's can be given as properties.
    static let mechanisms = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI"]

    package var wire: Wire
    /// `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`, `OAUTHBEARER`, `GSSAPI`.
    package var saslMechanism: String?
    package var username: String?
    package var password: String?
    /// For OAUTHBEARER: the path of a file with a JWT, read again whenever the library wants a new one.
    package var tokenPath: String?
    /// PEM texts. Without an authority the system's are trusted.
    package var authority: String?
    package var certificate: String?
    package var key: String?
    package var keyPassword: String?

    package init(
        wire: Wire = .plaintext, saslMechanism: String? = nil, username: String? = nil, password: String? = nil, tokenPath: String? = nil,
        authority: String? = nil, certificate: String? = nil, key: String? = nil, keyPassword: String? = nil
    ) {
        self.wire = wire
        self.saslMechanism = saslMechanism
        self.username = username
        self.password = password
        self.tokenPath = tokenPath
        self.authority = authority
        self.certificate = certificate
        self.key = key
        self.keyPassword = keyPassword
    }

    var problems: [String] { saslProblems + tlsProblems }

    private var saslProblems: [String] {
        guard wire.usesSASL else {
            guard saslMechanism != nil || username != nil || password != nil || tokenPath != nil else { return [] }
            return ["security: SASL settings are given, but \(wire.rawValue) does not use SASL; choose sasl_ssl"]
        }
        guard let mechanism = saslMechanism else {
            return ["security: \(wire.rawValue) needs a SASL mechanism, such as SCRAM-SHA-512"]
        }
        guard Self.mechanisms.contains(mechanism) else {
            return ["security: \(mechanism) is not one of \(Self.mechanisms.joined(separator: ", "))"]
        }
        var problems: [String] = []
        let takesPassword = mechanism == "PLAIN" || mechanism.hasPrefix("SCRAM-")
        if takesPassword, username == nil || password == nil { problems.append("security: \(mechanism) needs a user name and a password") }
        if mechanism == "OAUTHBEARER", tokenPath == nil { problems.append("security: OAUTHBEARER needs the path of a file with a token") }
        if mechanism != "OAUTHBEARER", tokenPath != nil { problems.append("security: a token is for OAUTHBEARER, not for \(mechanism)") }
        return problems
    }

    private var tlsProblems: [String] {
        var problems: [String] = []
        let isGiven = authority != nil || certificate != nil || key != nil || keyPassword != nil
        if !wire.usesTLS, isGiven {
            problems.append("security: certificates are given, but \(wire.rawValue) does not use TLS; choose ssl or sasl_ssl")
        }
        if (certificate == nil) != (key == nil) {
            problems.append("security: a client certificate and its key are given together or not at all")
        }
        for (name, pem) in [("authority", authority), ("certificate", certificate), ("key", key)] {
            if let pem, !pem.contains("-----BEGIN ") { problems.append("security: the \(name) is not in PEM form") }
        }
        return problems
    }

    /// Whether librdkafka asks us for tokens.
    var asksForTokens: Bool { wire.usesSASL && saslMechanism == "OAUTHBEARER" && tokenPath != nil }

    var settings: [(String, String)] {
        let optional: [(String, String?)] = [
            ("sasl.mechanism", saslMechanism), ("sasl.username", username), ("sasl.password", password),
            ("ssl.ca.pem", authority), ("ssl.certificate.pem", certificate), ("ssl.key.pem", key), ("ssl.key.password", keyPassword),
        ]
        return [("security.protocol", wire.rawValue)] + optional.compactMap { name, value in value.map { (name, $0) } }
    }
}
