import Contracts
package import DevStack
import Foundation
import Logging
import Postgres

/// The real servers of one test process: PostgreSQL, Redis and the local broker, started once, stopped when the process ends.
package struct TestServers: Sendable {
    package let postgres: PostgresServer
    package let redis: RedisServer
    package let broker: BrokerProcess

    /// Starts them at the first use; every test shares them and takes a fresh tenant.
    package static let shared = Task { try await start() }

    /// OpenSSL is not taken down when the process exits. Hosts that are still there ask PostgreSQL for new connections while the servers are
    /// stopped, and libpq's proof of the password would meet an OpenSSL that is gone, which ends the process with a signal.
    package static let keptOpenSSL: Void = {
        typealias Initialize = @convention(c) (UInt64, OpaquePointer?) -> CInt
        let noAtExit: UInt64 = 0x0008_0000  // OPENSSL_INIT_NO_ATEXIT of openssl/crypto.h
        // By name, since only libpq links it.
        guard let symbol = dlsym(nil, "OPENSSL_init_crypto") else { return }
        _ = unsafeBitCast(symbol, to: Initialize.self)(noAtExit, nil)
    }()

    private static func start() async throws -> TestServers {
        keptOpenSSL
        let scratch = try ScratchDirectory("trionex-tests")
        AtExit.perform { scratch.remove() }
        let postgres = try await PostgresServer.start(in: scratch.path + "/postgres", port: try Ports.free(), durable: false)
        AtExit.perform { postgres.stopBlocking(abandoningData: true) }
        let redis = try await RedisServer.start(in: scratch.path + "/redis", port: try Ports.free(), persistent: false)
        AtExit.perform { redis.stopBlocking() }
        guard let executable = BuildFolder.program("trionex-broker") else {
            throw StackFailure("trionex-broker is not built: swift build --product trionex-broker")
        }
        let broker = try await BrokerProcess.start(
            executable: executable, port: try Ports.free(), topics: Self.topics, log: scratch.path + "/broker.log")
        AtExit.perform { broker.stopBlocking() }
        try await Migrator(adminURL: postgres.url(), folder: Repository.path("migrations"), progress: { _ in }).run()
        return TestServers(postgres: postgres, redis: redis, broker: broker)
    }

    private static var topics: [String] { Topic.all.map(\.name) }

    /// One for all programs of a test process, so that what one sealed another opens.
    private static let sealingKey = Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()

    /// What a program is told, to run on these servers.
    package func environment(for service: String) -> [String: String] {
        [
            "TRIONEX_HTTP_PORT": "0", "TRIONEX_ADMIN_PORT": "0", "TRIONEX_LOG_LEVEL": "info",
            "TRIONEX_DATABASE_URL": postgres.url(user: service, password: service),
            "TRIONEX_REDIS_URL": "redis://127.0.0.1:\(redis.port)", "TRIONEX_KAFKA_BROKERS": broker.brokers,
            "TRIONEX_HTTP_DRAIN_SECONDS": "2", "TRIONEX_SEALING_KEY": Self.sealingKey,
            "TRIONEX_USERS_AUDIT_KEY_DIRECTORY": postgres.directory + "/../audit-keys",
        ]
    }
}

/// The checkout the tests were built from.
package enum Repository {
    package static let root: String = {
        var folder = URL(filePath: #filePath)
        while folder.pathComponents.count > 1 {
            folder.deleteLastPathComponent()
            if FileManager.default.fileExists(atPath: folder.appending(path: "Package.swift").path(percentEncoded: false)) { break }
        }
        return folder.path(percentEncoded: false)
    }()

    package static func path(_ relative: String) -> String { (root.hasSuffix("/") ? root : root + "/") + relative }
}
