package import Contracts
import Foundation
package import Kafka
package import Logging
package import Postgres
package import Redis

/// What every program is told through its environment (ARCHITECTURE.md, "Running").
package struct CommonSettings: Sendable {
    package struct HTTP: Sendable {
        package let host: String
        package let port: Int
        /// The largest request body, in bytes, where an endpoint does not say otherwise.
        package let maxBodyBytes: Int
        package let maxHeaderBytes: Int
        package let maxConnections: Int
        /// Seconds without a byte before a connection is closed.
        package let idleSeconds: Int
        /// Seconds that running requests get to finish after a signal.
        package let drainSeconds: Int
    }

    package let http: HTTP
    package let database: DatabaseConfiguration?
    package let redis: RedisConfiguration
    package let kafka: KafkaConfiguration
    /// A URL or a file.
    package let jwks: String
    package let logLevel: Logger.Level
    /// Where traces go (OTLP over HTTP with JSON), when set.
    package let otlpEndpoint: String?
    package let neighbours: [ServiceName: [String]]
    /// Lets a program ask auth for a service token.
    package let serviceSecret: String?
    /// Where people and clients reach the platform, without a slash at the end: links in mails, the issuer, the origin of passkeys.
    package let publicURL: String
    /// Encrypts what is kept and must be read back: signing keys, second factors, others' secrets, letters.
    package let sealing: Sealing?

    static let neighbourPorts: [(ServiceName, Int)] = [
        (.auth, 8081), (.users, 8082), (.content, 8083), (.assistant, 8084), (.analytics, 8085), (.notifications, 8086), (.files, 8087),
        (.search, 8088),
    ]

    package init(_ reader: inout SettingsReader, service: ServiceName, port: Int, usesDatabase: Bool) {
        http = HTTP(
            host: reader.text("HTTP_HOST", default: "127.0.0.1", "Address to listen on"),
            port: reader.integer("HTTP_PORT", default: port, in: 0...65535, "Port to listen on"),
            maxBodyBytes: reader.integer("HTTP_MAX_BODY_BYTES", default: 2_000_000, in: 1_000...100_000_000, "Largest JSON body"),
            maxHeaderBytes: reader.integer("HTTP_MAX_HEADER_BYTES", default: 32_768, in: 4_096...80_000, "Largest request head"),
            maxConnections: reader.integer("HTTP_MAX_CONNECTIONS", default: 10_000, in: 1...200_000, "Connections at once"),
            idleSeconds: reader.integer("HTTP_IDLE_SECONDS", default: 75, in: 1...3600, "Seconds before an idle connection is closed"),
            drainSeconds: reader.integer(
                "HTTP_DRAIN_SECONDS", default: 15, in: 0...600, "Seconds for running requests to finish at the end"))
        if usesDatabase {
            let url = reader.text(
                "DATABASE_URL", default: "postgres://\(service):\(service)@127.0.0.1:5432/trionex", "The PostgreSQL of this service")
            if !DatabaseConfiguration.isReadable(url) {
                reader.refuse(
                    "TRIONEX_DATABASE_URL must be postgres://role:password@host:port/database, with @ : / ? # % in the password percent-encoded"
                )
            }
            var database = DatabaseConfiguration(url: url)
            database.batchConnections = reader.integer(
                "DATABASE_BATCH_CONNECTIONS", default: 2, in: 1...64, "Connections for single statements, many callers to a pipeline")
            database.interactiveConnections = reader.integer(
                "DATABASE_CONNECTIONS", default: 6, in: 1...200, "Connections for transactions")
            database.preparedStatements = reader.flag(
                "DATABASE_PREPARED", default: true, "Prepared statements; false behind a PgBouncer older than 1.21")
            self.database = database
        } else {
            database = nil
        }
        do {
            redis = try RedisConfiguration(url: reader.text("REDIS_URL", default: "redis://127.0.0.1:6379", "The Redis of the platform"))
        } catch {
            reader.refuse("TRIONEX_REDIS_URL: \(error)")
            redis = RedisConfiguration(host: "127.0.0.1", port: 6379)
        }
        let kafkaSettings = KafkaSettings(clientID: "trionex-\(service)") { setting in
            setting.fallback.map { reader.text(setting.name, default: $0, setting.meaning) }
                ?? reader.optionalText(setting.name, setting.meaning)
        }
        kafka = kafkaSettings.configuration
        for problem in kafkaSettings.problems { reader.refuse("TRIONEX_KAFKA_…: \(problem)") }
        jwks = reader.text(
            "JWKS", default: "http://127.0.0.1:8081/.well-known/jwks.json", "Public keys of the tokens: a URL or a file")
        let level = reader.choice(
            "LOG_LEVEL", default: "info", of: ["trace", "debug", "info", "notice", "warning", "error", "critical"], "Least level logged")
        logLevel = Logger.Level(rawValue: level) ?? .info
        otlpEndpoint = reader.optionalText("OTLP_ENDPOINT", "Where traces are sent, such as http://collector:4318")
        var neighbours: [ServiceName: [String]] = [:]
        for (name, port) in Self.neighbourPorts where name != service {
            neighbours[name] = reader.urls(
                "\(name.rawValue.uppercased())_URL", default: "http://127.0.0.1:\(port)", schemes: ["http", "https"],
                "Address of \(name); several, comma-separated, are balanced")
        }
        self.neighbours = neighbours
        serviceSecret = reader.optionalText("SERVICE_SECRET", "What the programs show auth to get a service token")
        let address = reader.text("PUBLIC_URL", default: "http://127.0.0.1:8080", "Where people reach the platform: links, issuer, origin")
        publicURL = address.hasSuffix("/") ? String(address.dropLast()) : address
        let scheme = URLComponents(string: publicURL)
        if !["http", "https"].contains(scheme?.scheme ?? "") || scheme?.host == nil || scheme?.query != nil || scheme?.fragment != nil {
            reader.refuse("TRIONEX_PUBLIC_URL must be an address such as https://app.example.org")
        }
        let sealingKey = reader.optionalText(
            "SEALING_KEY", "Keys for what is kept encrypted: base64 of 32 bytes each, comma-separated; the first seals, all open")
        sealing = sealingKey.flatMap { Sealing(keys: $0) }
        if sealingKey != nil, sealing == nil {
            reader.refuse("TRIONEX_SEALING_KEY must be the base64 of 32 bytes (openssl rand -base64 32), or several, comma-separated")
        }
    }
}
