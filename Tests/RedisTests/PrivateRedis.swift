import Foundation
import Logging
import Redis

/// A redis-server of one test's own, on a loopback port of its own; it keeps nothing on disk.
final class PrivateRedis {
    struct DidNotStart: Error {}

    let port: Int
    private let arguments: [String]
    private var process: Process?

    init(_ arguments: String...) throws {
        port = try Self.freePort()
        self.arguments = arguments
        try start()
    }

    deinit { kill() }

    var configuration: RedisConfiguration { RedisConfiguration(port: port) }

    func start() throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments =
            [
                "redis-server", "--port", "\(port)", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--enable-debug-command",
                "yes",
                "--dir", NSTemporaryDirectory(),
            ] + arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        for _ in 0..<500 {
            if Self.connects(to: port) { return }
            Thread.sleep(forTimeInterval: 0.01)
        }
        throw DidNotStart()
    }

    /// SIGKILL: no goodbye to the clients beyond what the kernel says.
    func kill() {
        guard let process, process.isRunning else { return }
        Foundation.kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
    }

    private static func address(_ port: Int) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = inet_addr("127.0.0.1")
        return address
    }

    private static func connects(to port: Int) -> Bool {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = address(port)
        return withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        } == 0
    }

    private static func freePort() throws -> Int {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = address(0)
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer in
                bind(socket, pointer, length) == 0 && getsockname(socket, pointer, &length) == 0
            }
        }
        guard bound else { throw DidNotStart() }
        return Int(in_port_t(bigEndian: address.sin_port))
    }
}

/// Asks until the answer is yes; false after ten seconds.
func eventually(_ condition: () async throws -> Bool) async rethrows -> Bool {
    for _ in 0..<3000 {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(10))
    }
    return false
}

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

/// A client that is shut down when the test is over.
func withRedis<T>(_ configuration: RedisConfiguration, _ body: (Redis) async throws -> T) async throws -> T {
    let redis = Redis(configuration, logger: quiet)
    do {
        let result = try await body(redis)
        await redis.shutdown()
        return result
    } catch {
        await redis.shutdown()
        throw error
    }
}
