import Synchronization
import Testing

@testable import GatewayService

/// What an operator does in the daytime: services and gateways are replaced one after the other while they are used.
@Suite("Rolling restarts", .serialized, .alone)
struct RollingRestartTests {
    private static let settings = [
        "TRIONEX_LIMIT_ADDRESS_PER_MINUTE": "10000000", "TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "10000000",
        "TRIONEX_HTTP_DRAIN_SECONDS": "10",
        "TRIONEX_UPSTREAM_FIRST_BYTE_MILLISECONDS": "8000",
    ]

    @Test("Services and gateways that are replaced one after the other under load fail no request")
    func all() async throws {
        var first = try await Upstream.start("first"), second = try await Upstream.start("second")
        let settings = Self.settings.merging(["TRIONEX_CONTENT_URL": "\(first.url),\(second.url)"]) { $1 }
        try await Town.with(settings) { one in
            try await Town.with(settings) { two in
                let load = SteadyLoad(ports: [one.port, two.port], connections: 8)
                try await load.goesOn(for: 200)
                for _ in 0..<2 {
                    await first.stop()
                    try await load.goesOn(for: 100)
                    first = try await Upstream.start("first", port: first.port)
                    try await Self.hasItsPart(first)
                    await second.stop()
                    try await load.goesOn(for: 100)
                    second = try await Upstream.start("second", port: second.port)
                    try await Self.hasItsPart(second)
                }
                await one.beginStop()
                await one.ended()
                try await load.goesOn(for: 100)
                try await Town.with(settings.merging(["TRIONEX_HTTP_PORT": "\(one.port)"]) { $1 }) { _ in
                    await two.beginStop()
                    await two.ended()
                    try await load.goesOn(for: 100)
                    let result = await load.stop()
                    #expect(result.bad.isEmpty, "\(result.good) were good; \(result.bad.prefix(10))")
                    // A connection that waits to be taken when its gateway goes.
                    #expect(result.again < 10, "\(result.again)")
                }
            }
        }
        await first.kill()
        await second.kill()
    }

    private static func hasItsPart(_ upstream: Upstream) async throws {
        try await eventually("\(upstream.name) has its part again") { upstream.seen.list.count { $0.contains("/products") } > 20 }
    }
}

/// Clients that keep their connections, open others when they are told to, and send readings and writings that carry a key.
private final class SteadyLoad: Sendable {
    struct Result: Sendable {
        var good = 0
        /// Sent once more, because the connection ended before a byte of the answer.
        var again = 0
        var bad: [String] = []
    }

    private let ports: [Int]
    private let isOver = Atomic<Bool>(false)
    private let result = Mutex(Result())
    private let tasks: Mutex<[Task<Void, any Error>]> = Mutex([])

    init(ports: [Int], connections: Int) {
        self.ports = ports
        for number in 0..<connections {
            let task = Task { try await self.run(number) }
            tasks.withLock { $0.append(task) }
        }
    }

    /// Returns once so many more requests were answered.
    func goesOn(for count: Int) async throws {
        let reached = result.withLock { $0.good } + count
        try await eventually("the load goes on") { result.withLock { $0.good } >= reached }
    }

    func stop() async -> Result {
        isOver.store(true, ordering: .relaxed)
        for task in tasks.withLock({ $0 }) { _ = try? await task.value }
        return result.withLock { $0 }
    }

    private func run(_ number: Int) async throws {
        var socket: RawSocket?
        var count = 0, isAgain = false
        while !isOver.load(ordering: .relaxed) {
            guard let connection = socket ?? connect(number) else {
                try await Task.sleep(for: .milliseconds(10))
                continue
            }
            socket = connection
            try await connection.send(request("\(number)-\(count)", writes: count % 2 == 1))
            let answer = try await Self.answer(on: connection)
            if answer.status == 200, answer.isWhole {
                result.withLock { $0.good += 1 }
                count += 1
                isAgain = false
            } else if answer.status == 0, answer.head.isEmpty, answer.rest.isEmpty, answer.hasEnded, !isAgain {
                result.withLock { $0.again += 1 }
                isAgain = true
            } else {
                result.withLock { $0.bad.append("\(answer.status) \(answer.head)\(answer.text)") }
                count += 1
                isAgain = false
            }
            if answer.hasEnded || !answer.isWhole || answer.field("connection") == "close" { socket = nil }
        }
    }

    private func connect(_ number: Int) -> RawSocket? {
        for turn in 0..<ports.count {
            if let socket = try? RawSocket(port: ports[(number + turn) % ports.count]) { return socket }
        }
        return nil
    }

    private func request(_ name: String, writes: Bool) -> String {
        guard writes else { return "GET /api/v1/products HTTP/1.1\r\nHost: localhost\r\n\r\n" }
        return "POST /api/v1/products HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: \(name)\r\nContent-Length: 5\r\n\r\nhello"
    }

    private static func answer(on socket: RawSocket) async throws -> RawAnswer {
        var bytes: [UInt8] = [], answer = RawAnswer([], ended: false)
        while !answer.isWhole, !answer.hasEnded, let part = try await socket.receive() {
            bytes += part
            answer = RawAnswer(bytes, ended: part.isEmpty)
        }
        return answer
    }
}
