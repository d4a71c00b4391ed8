import Contracts
import Foundation
import NIOCore
package import ServiceKit

/// The gateway's own settings.
package struct GatewaySettings: ServiceSettings {
    struct Limits: Sendable {
        let principal: LimitPolicy
        let anonymous: LimitPolicy
        let signIn: LimitPolicy
        let uploads: LimitPolicy
        let badKeys: LimitPolicy
        let credentials: LimitPolicy
        /// Whether a sign-in that succeeded stays counted.
        let countsSuccessfulSignIns: Bool
    }

    struct Upstream: Sendable {
        let connect: Duration
        let firstByte: Duration
        let idle: Duration
    }

    struct Client: Sendable {
        let headSeconds: Int
        let bodySeconds: Int
        let keepAliveSeconds: Int
    }

    let limits: Limits
    let client: Client
    let edge: EdgeSettings
    /// Event loops; 0 is one for each core.
    let loops: Int
    let upstream: Upstream
    let maxBodyBytes: Int
    let maxFileBytes: Int
    /// Of web pages that may call.
    let origins: [String]
    let trustedProxies: [Network]
    /// With `example.org`, requests to `acme.example.org` name the organization `acme`.
    let publicDomain: String?
    let documentsInterval: Duration
    /// The gateway file; nil: the settings alone count.
    let file: String?

    var eventLoops: Int { loops == 0 ? System.coreCount : loops }

    package init(_ reader: inout SettingsReader) {
        limits = Limits(
            principal: LimitPolicy(
                name: "default",
                quota: reader.integer("LIMIT_PRINCIPAL_PER_MINUTE", default: 1_000, in: 1...10_000_000, "Requests of one principal"),
                window: 60),
            anonymous: LimitPolicy(
                name: "default",
                quota: reader.integer(
                    "LIMIT_ADDRESS_PER_MINUTE", default: 1_000, in: 1...10_000_000, "Requests without a token from one address"),
                window: 60),
            signIn: LimitPolicy(
                name: "sign-in",
                quota: reader.integer("LIMIT_SIGN_IN", default: 5, in: 1...1_000_000, "Sign-ins of one account from one address"),
                window: reader.integer("LIMIT_SIGN_IN_SECONDS", default: 900, in: 1...86_400, "Seconds over which sign-ins are counted")),
            uploads: LimitPolicy(
                name: "uploads",
                quota: reader.integer("LIMIT_UPLOADS_PER_MINUTE", default: 10, in: 1...1_000_000, "Uploads of one principal"),
                window: 60),
            badKeys: LimitPolicy(
                name: "bad-keys",
                quota: reader.integer("LIMIT_BAD_KEYS_PER_MINUTE", default: 20, in: 1...1_000_000, "Wrong API keys from one address"),
                window: 60),
            credentials: LimitPolicy(
                name: "credentials",
                quota: reader.integer(
                    "LIMIT_CREDENTIALS_PER_MINUTE", default: 120, in: 1...10_000_000,
                    "Registrations, sign-ins, resets and codes from one address"),
                window: 60),
            countsSuccessfulSignIns: reader.flag("LIMIT_SIGN_IN_COUNTS_SUCCESS", default: true, "Whether sign-ins that succeed count too"))
        upstream = Upstream(
            connect: .milliseconds(
                reader.integer("UPSTREAM_CONNECT_MILLISECONDS", default: 2_000, in: 10...60_000, "Time to connect to a service")),
            firstByte: .milliseconds(
                reader.integer(
                    "UPSTREAM_FIRST_BYTE_MILLISECONDS", default: 30_000, in: 10...600_000, "Time for a service to begin its answer")),
            idle: .milliseconds(
                reader.integer("UPSTREAM_IDLE_MILLISECONDS", default: 60_000, in: 10...3_600_000, "Time without a byte in either direction")
            ))
        client = Client(
            headSeconds: reader.integer("CLIENT_HEAD_SECONDS", default: 10, in: 1...300, "Time for the whole head of a request"),
            bodySeconds: reader.integer("CLIENT_BODY_SECONDS", default: 30, in: 1...3_600, "Time between two pieces of a body"),
            keepAliveSeconds: reader.integer("CLIENT_KEEP_ALIVE_SECONDS", default: 75, in: 1...3_600, "Time between two requests"))
        edge = EdgeSettings(&reader)
        loops = reader.integer("GATEWAY_LOOPS", default: 0, in: 0...256, "Event loops; 0 is one for each core")
        maxBodyBytes = reader.integer("MAX_BODY_BYTES", default: 10_485_760, in: 1_000...1_000_000_000, "Largest request body")
        maxFileBytes = reader.integer("MAX_FILE_BYTES", default: 5_368_709_120, in: 1_000...1_000_000_000_000, "Largest upload")
        origins = Self.origins(&reader)
        trustedProxies = Self.networks(&reader)
        publicDomain = reader.optionalText("PUBLIC_DOMAIN", "Domain whose subdomains name organizations")?.lowercased()
        file = reader.optionalText(
            "GATEWAY_FILE", "File of routes, limits and upstreams (gateway check-config); read again when it changes")
        documentsInterval = .milliseconds(
            reader.integer(
                "DOCUMENTS_MILLISECONDS", default: 30_000, in: 50...3_600_000, "Time between two readings of the services' OpenAPI"))
    }

    private static func list(_ text: String) -> [String] {
        text.split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }.filter { !$0.isEmpty }
    }

    private static func origins(_ reader: inout SettingsReader) -> [String] {
        let origins = list(reader.optionalText("CORS_ORIGINS", "Origins of web pages that may call, comma-separated") ?? "")
        for origin in origins {
            guard let url = URLComponents(string: origin), ["http", "https"].contains(url.scheme), url.host != nil, url.path.isEmpty else {
                reader.refuse("TRIONEX_CORS_ORIGINS: \"\(origin)\" is no origin such as https://console.example.org")
                continue
            }
        }
        return origins
    }

    private static func networks(_ reader: inout SettingsReader) -> [Network] {
        let texts = list(
            reader.optionalText("TRUSTED_PROXIES", "Proxies whose X-Forwarded-For and -Proto count: addresses or networks") ?? "")
        return texts.compactMap { text in
            let network = Network(text)
            if network == nil { reader.refuse("TRIONEX_TRUSTED_PROXIES: \"\(text)\" is no address or network such as 10.0.0.0/8") }
            return network
        }
    }
}
