import AsyncHTTPClient
import Contracts
import DevStack
import Foundation
import Glibc
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A gateway as its own settings make it, with a real Redis and two upstreams: `content`, and `rest` for the other services.
final class Town: Sendable {
    let url: String
    let port: Int
    let content: Upstream
    let rest: Upstream
    let redis: RedisServer
    let redisFolder: String
    let log: Lines
    private let group: ServiceGroup
    private let task: Task<Void, any Error>

    final class Lines: Sendable {
        private let held = Mutex<[String]>([])
        var all: [String] { held.withLock { $0 } }
        func append(_ line: String) { held.withLock { $0.append(line) } }
    }

    static func with<T>(_ settings: [String: String] = [:], _ body: (Town) async throws -> T) async throws -> T {
        let town = try await start(settings)
        do {
            let result = try await body(town)
            await town.stop()
            return result
        } catch {
            await town.stop()
            throw error
        }
    }

    private static func start(_ settings: [String: String]) async throws -> Town {
        let content = try await Upstream.start("content")
        let rest = try await Upstream.start("rest")
        let scratch = try ScratchDirectory("trionex-gateway-tests")
        let redis = try await RedisServer.start(in: scratch.path, port: try Ports.free(), persistent: false)
        var environment = [
            "TRIONEX_HTTP_PORT": "0", "TRIONEX_ADMIN_PORT": "0", "TRIONEX_HTTP_DRAIN_SECONDS": "1", "TRIONEX_REDIS_URL": redis.url,
            "TRIONEX_JWKS": try await TestKeys.file(), "TRIONEX_DOCUMENTS_MILLISECONDS": "100",
        ]
        for (service, _) in CommonSettings.neighbourPorts {
            environment["TRIONEX_\(service.rawValue.uppercased())_URL"] = service == .content ? content.url : rest.url
        }
        environment.merge(settings) { _, own in own }
        let log = Lines()
        Telemetry.bootstrap(service: .gateway, level: .critical)
        let logger = Logger(label: "gateway") { _ in JSONLog(service: "gateway", level: .info) { log.append($0) } }
        let host = try ProgramHost(Gateway.self, environment: environment, logger: logger)
        let group = host.serviceGroup(signals: [])
        let task = Task { try await group.run() }
        let port = try #require(await host.port(), "the gateway did not start")
        let town = Town(
            port: port, content: content, rest: rest, redis: redis, redisFolder: scratch.path, log: log, group: group, task: task)
        try await eventually("the gateway knows the services' operations") {
            try await town.client().get("/api/v1/openapi.json").text.contains("/api/v1/content/open")
        }
        return town
    }

    private init(
        port: Int, content: Upstream, rest: Upstream, redis: RedisServer, redisFolder: String, log: Lines, group: ServiceGroup,
        task: Task<Void, any Error>
    ) {
        url = "http://127.0.0.1:\(port)"
        self.port = port
        self.content = content
        self.rest = rest
        self.redis = redis
        self.redisFolder = redisFolder
        self.log = log
        self.group = group
        self.task = task
    }

    /// As a signal does.
    func beginStop() async { await group.triggerGracefulShutdown() }
    /// Returns once the program has ended.
    func ended() async { _ = try? await task.value }

    private func stop() async {
        await beginStop()
        await ended()
        await content.kill()
        await rest.kill()
        await redis.stop()
        try? FileManager.default.removeItem(atPath: redisFolder)
    }

    func client(_ person: TestPerson? = nil) async throws -> TestClient { TestClient(base: url, token: try await person?.token()) }
}

func eventually(_ what: Comment, _ condition: () async throws -> Bool) async throws {
    for _ in 0..<3000 {
        if try await condition() { return }
        try await Task.sleep(for: .milliseconds(10))
    }
    Issue.record("did not happen: \(what)")
}

/// A TCP connection of a client that mends nothing.
final class RawConnection {
    typealias Refused = RawSocket.Refused
    private let socket: RawSocket
    private var descriptor: Int32 { socket.descriptor }

    init(port: Int) throws { socket = try RawSocket(port: port) }

    func send(_ text: String) { _ = text.withCString { Glibc.send(descriptor, $0, strlen($0), Int32(MSG_NOSIGNAL)) } }

    /// Writes up to `total` bytes and returns how many were taken before nothing was for `patience`.
    func push(_ total: Int, patience: Duration) async throws -> Int {
        let bytes = [UInt8](repeating: 120, count: 65_536)
        var count = 0
        var last = ContinuousClock.now
        while count < total, ContinuousClock.now - last < patience {
            let written = Glibc.send(descriptor, bytes, min(bytes.count, total - count), Int32(MSG_NOSIGNAL))
            if written > 0 {
                count += written
                last = .now
            } else {
                try await Task.sleep(for: .milliseconds(2))
            }
        }
        return count
    }

    /// All that comes until the server closes, or until nothing came for `patience`.
    func receive(patience: Duration = .seconds(10)) async throws -> String {
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        var last = ContinuousClock.now
        while ContinuousClock.now - last < patience {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count > 0 {
                answer += buffer[..<count]
                last = .now
            } else if count == 0 || (errno != EAGAIN && errno != EINTR) {
                break
            } else {
                try await Task.sleep(for: .milliseconds(2))
            }
        }
        return String(decoding: answer, as: UTF8.self)
    }
}

/// Sends exactly these bytes and returns all that comes until the server closes.
func raw(_ text: String, to port: Int, patience: Duration = .seconds(10)) async throws -> String {
    let connection = try RawConnection(port: port)
    connection.send(text)
    return try await connection.receive(patience: patience)
}

func rawGet(_ path: String, _ headers: [String] = [], to port: Int) async throws -> String {
    try await raw(
        (["GET \(path) HTTP/1.1", "Host: localhost", "Connection: close"] + headers).joined(separator: "\r\n") + "\r\n\r\n", to: port)
}
