import Foundation

/// The settings of a program that are about Kafka, read the same way by services and tools. A program gives them as `TRIONEX_<name>`, or names
/// with `TRIONEX_<name>_FILE` a file that holds the value.
package struct KafkaSettings: Sendable {
    /// A setting's name without its prefix, what it is, and what it is when nobody says.
    package struct Setting: Sendable {
        package let name: String
        package let meaning: String
        package let fallback: String?
    }

    private static let brokers = Setting(
        name: "KAFKA_BROKERS", meaning: "Kafka brokers, host:port, comma-separated", fallback: "127.0.0.1:9092")
    private static let security = Setting(
        name: "KAFKA_SECURITY", meaning: "How brokers are reached: plaintext, ssl, sasl_plaintext or sasl_ssl", fallback: "plaintext")
    private static let mechanism = Setting(
        name: "KAFKA_SASL_MECHANISM", meaning: "PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, OAUTHBEARER or GSSAPI", fallback: nil)
    private static let username = Setting(name: "KAFKA_USERNAME", meaning: "The user for PLAIN and SCRAM", fallback: nil)
    private static let password = Setting(name: "KAFKA_PASSWORD", meaning: "Their password; better as a file", fallback: nil)
    private static let tokenPath = Setting(
        name: "KAFKA_TOKEN_PATH", meaning: "For OAUTHBEARER: a file with a JWT, read again before it expires", fallback: nil)
    private static let authority = Setting(
        name: "KAFKA_CA", meaning: "Authorities of the brokers' certificates, PEM; else the system's", fallback: nil)
    private static let certificate = Setting(
        name: "KAFKA_CERTIFICATE", meaning: "This program's own certificate with its chain, PEM, for mutual TLS", fallback: nil)
    private static let key = Setting(name: "KAFKA_KEY", meaning: "The key of that certificate, PEM; better as a file", fallback: nil)
    private static let keyPassword = Setting(name: "KAFKA_KEY_PASSWORD", meaning: "What that key is encrypted with", fallback: nil)
    private static let properties = Setting(
        name: "KAFKA_PROPERTIES", meaning: "Further librdkafka properties, name=value, separated by ; or line ends", fallback: nil)

    /// All of them, in the order in which they are read.
    package static let all = [
        brokers, security, mechanism, username, password, tokenPath, authority, certificate, key, keyPassword, properties,
    ]

    package let configuration: KafkaConfiguration
    /// Every setting that cannot work, one sentence each, without secrets.
    package let problems: [String]

    /// `value` gives a setting's text; nil or nothing when it is not set.
    package init(clientID: String, _ value: (Setting) -> String?) {
        var given: [String: String] = [:]
        for setting in Self.all {
            guard let text = value(setting) ?? setting.fallback, !text.isEmpty else { continue }
            given[setting.name] = text
        }
        var problems: [String] = []
        let wire = KafkaSecurity.Wire(rawValue: given[Self.security.name]?.lowercased() ?? "")
        if wire == nil { problems.append("security: it is plaintext, ssl, sasl_plaintext or sasl_ssl") }
        let (extra, unreadable) = Self.properties(given[Self.properties.name] ?? "")
        configuration = KafkaConfiguration(
            brokers: given[Self.brokers.name] ?? "", clientID: clientID,
            security: KafkaSecurity(
                wire: wire ?? .plaintext, saslMechanism: given[Self.mechanism.name], username: given[Self.username.name],
                password: given[Self.password.name], tokenPath: given[Self.tokenPath.name], authority: given[Self.authority.name],
                certificate: given[Self.certificate.name], key: given[Self.key.name], keyPassword: given[Self.keyPassword.name]),
            extra: extra)
        // Of a wire that cannot be read, everything else would be said to contradict it.
        self.problems = problems + unreadable + (wire == nil ? [] : configuration.problems)
    }

    /// From the environment, for tools: `TRIONEX_<name>`, or the file that `TRIONEX_<name>_FILE` names. `brokers` wins over both.
    package init(clientID: String, environment: [String: String], brokers: String? = nil) {
        var unreadable: [String] = []
        let read = KafkaSettings(clientID: clientID) { setting in
            let variable = "TRIONEX_\(setting.name)"
            if setting.name == Self.brokers.name, let brokers { return brokers }
            if let text = environment[variable], !text.isEmpty { return text }
            guard let path = environment["\(variable)_FILE"], !path.isEmpty else { return nil }
            guard let text = try? String(contentsOfFile: path, encoding: .utf8) else {
                unreadable.append("\(variable)_FILE names a file that cannot be read")
                return nil
            }
            return text.trimmingCharacters(in: .whitespacesAndNewlines)
        }
        configuration = read.configuration
        problems = unreadable + read.problems
    }

    /// A value may hold `=`; one that holds `;` stands on a line of its own in a file of properties with one a line.
    private static func properties(_ text: String) -> (properties: [String: String], problems: [String]) {
        var properties: [String: String] = [:]
        var problems: [String] = []
        let isByLine = text.contains(where: \.isNewline)
        for (index, pair) in text.split(whereSeparator: { isByLine ? $0.isNewline : $0 == ";" }).enumerated() {
            let text = pair.trimming(while: \.isWhitespace)
            guard !text.isEmpty, !text.hasPrefix("#") else { continue }
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts[0].trimming(while: \.isWhitespace)
            guard parts.count == 2, !name.isEmpty else {
                // It may be a piece of a secret: its place says enough.
                problems.append("properties: entry \(index + 1) is not name=value")
                continue
            }
            properties[String(name)] = String(parts[1].trimming(while: \.isWhitespace))
        }
        return (properties, problems)
    }
}

extension Substring {
    fileprivate func trimming(while isOut: (Character) -> Bool) -> Substring {
        var rest = drop(while: isOut)
        while let last = rest.last, isOut(last) { rest.removeLast() }
        return rest
    }
}
