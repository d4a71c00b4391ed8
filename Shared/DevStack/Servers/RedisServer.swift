import Foundation
import Glibc

/// A private Redis on 127.0.0.1.
package final class RedisServer: Sendable {
    package let port: Int
    package let process: ManagedProcess
    /// `redis://127.0.0.1:port/0`.
    package var url: String { "redis://127.0.0.1:\(port)/0" }

    private init(port: Int, process: ManagedProcess) {
        self.port = port
        self.process = process
    }

    /// Starts it and waits until it answers PING. `persistent` keeps every write in an append-only file in the directory.
    ///
    /// Throws a `StackFailure` when Redis is not installed, the port is in use, or it does not become ready.
    package static func start(in directory: String, port: Int, persistent: Bool) async throws -> RedisServer {
        try Ports.require(port, for: "Redis")
        guard let program = ["/usr/bin/redis-server", "/usr/local/bin/redis-server"].first(where: { Programs.canRun($0) }) else {
            throw StackFailure("Redis is not installed: install the package redis-server.")
        }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let arguments = [
            "--bind", "127.0.0.1", "--port", "\(port)", "--dir", directory, "--daemonize", "no",
            "--save", "", "--appendonly", persistent ? "yes" : "no",
        ]
        let launch = ProcessLaunch(
            program, arguments, directory: directory, log: directory + "/server.log",
            signalOnParentDeath: persistent ? .terminate : .kill)
        let offset = LogFile(launch.log).size
        let server = RedisServer(port: port, process: try ManagedProcess.start(launch))
        do {
            try await server.waitUntilReady(logOffset: offset)
        } catch {
            await server.stop()
            throw error
        }
        return server
    }

    package func stop() async { await process.stop(Self.stopSteps) }
    package func stopBlocking() { process.stopBlocking(Self.stopSteps) }

    static let stopSteps = [StopStep(.terminate, grace: .seconds(10))]
    private static let readyLimit: Duration = .seconds(30)

    private func waitUntilReady(logOffset: UInt64) async throws {
        let deadline = ContinuousClock.now + Self.readyLimit
        while Loopback.ask("PING\r\n", port: port) != "+PONG\r\n" {
            let log = process.launch.log
            if let exit = process.exit {
                throw StackFailure("Redis \(exit) while starting; its log \(log) ends:\n\(LogFile(log).lastLines(8, from: logOffset))")
            }
            guard ContinuousClock.now < deadline else {
                throw StackFailure("Redis was not ready within \(Self.readyLimit.components.seconds) s; see \(log).")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }
}

/// One question to a server on 127.0.0.1.
enum Loopback {
    /// Sends the text and returns what one read gives back; nil when it cannot be reached or is silent for half a second.
    static func ask(_ question: String, port: Int) -> String? {
        let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard socket >= 0 else { return nil }
        defer { close(socket) }
        var limit = timeval(tv_sec: 0, tv_usec: 500_000)
        setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        var address = Ports.loopback(port: port)
        let size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let connected = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(socket, $0, size) }
        }
        let bytes = Array(question.utf8)
        guard connected == 0, send(socket, bytes, bytes.count, Int32(MSG_NOSIGNAL)) == bytes.count else { return nil }
        var answer = [UInt8](repeating: 0, count: 512)
        let count = recv(socket, &answer, answer.count, 0)
        return count > 0 ? String(decoding: answer.prefix(count), as: UTF8.self) : nil
    }
}
