import Foundation
import Testing

@testable import Redis

@Suite("Commands against a real Redis")
struct CommandTests {
    @Test("64 tasks at once each get their own answers, and their commands share writes")
    func pipelining() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for task in 0..<64 {
                    group.addTask {
                        for round in 0..<200 {
                            try await redis.set("key:\(task)", "\(task)-\(round)")
                            #expect(try await redis.get("key:\(task)") == "\(task)-\(round)")
                            try await redis.increment("sum")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await redis.get("sum") == "12800")
            let statistics = try #require(try await redis.command(["INFO", "stats"]).text)
            func figure(_ name: String) throws -> Int {
                let line = try #require(statistics.split(whereSeparator: \.isNewline).first { $0.hasPrefix(name + ":") })
                return try #require(Int(line.dropFirst(name.count + 1)))
            }
            #expect(try figure("total_reads_processed") * 2 < figure("total_commands_processed"))
        }
    }

    @Test("Values of any bytes come back as they went, also empty ones and large ones")
    func binary() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            let values: [[UInt8]] = [Array(0...255), [], [0], Array("\r\n$-1\r\n".utf8), [UInt8](repeating: 0xFF, count: 3_000_000)]
            for (index, value) in values.enumerated() {
                try await redis.set("value:\(index)", value)
                #expect(try await redis.getBytes("value:\(index)") == value)
            }
            let key: [UInt8] = [0xFF, 0x00, 0x0D, 0x0A]
            _ = try await redis.command([Array("SET".utf8), key, [1, 2]])
            #expect(try await redis.command([Array("GET".utf8), key]) == .bytes([1, 2]))
        }
    }

    @Test("An error answers its own command alone, in Redis's words; its neighbours are untouched")
    func errors() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            try await redis.set("text", "abc")
            try await withThrowingTaskGroup(of: Void.self) { group in
                for index in 0..<200 {
                    group.addTask { () async throws -> Void in
                        if index.isMultiple(of: 3) {
                            let failure = await #expect(throws: RedisFailure.self) { try await redis.increment("text") }
                            guard case .server(let message) = failure else {
                                Issue.record("Redis's own error was expected")
                                return
                            }
                            #expect(message.hasPrefix("ERR"))
                        } else {
                            #expect(try await redis.get("text") == "abc")
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    @Test("Expiry, absence and numbers have their types")
    func conveniences() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            #expect(try await redis.get("none") == nil)
            #expect(try await redis.set("lock", "1", expiresIn: .seconds(60), onlyIfAbsent: true))
            #expect(try await !redis.set("lock", "2", expiresIn: .seconds(60), onlyIfAbsent: true))
            let left = try #require(try await redis.timeLeft("lock"))
            #expect(left > .seconds(50) && left <= .seconds(60))
            #expect(try await redis.expire("lock", in: .milliseconds(1)))
            #expect(try await eventually { try await redis.get("lock") == nil })
            #expect(try await redis.timeLeft("lock") == nil)
            #expect(try await redis.increment("n", by: 5) == 5)
            #expect(try await redis.delete("n", "none") == 1)
        }
    }

    @Test("A script runs by its digest, again after SCRIPT FLUSH, and says its errors")
    func scripts() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            let script = RedisScript("redis.call('INCRBY', KEYS[1], ARGV[1]); return {KEYS[1], ARGV[1], 7}")
            let expected = RedisValue.array([.bytes(Array("counter".utf8)), .bytes(Array("2".utf8)), .integer(7)])
            #expect(try await redis.run(script, keys: ["counter"], arguments: ["2"]) == expected)
            _ = try await redis.command(["SCRIPT", "FLUSH"])
            #expect(try await redis.run(script, keys: ["counter"], arguments: ["2"]) == expected)
            #expect(try await redis.run(script, keys: ["counter"], arguments: ["2"]) == expected)
            #expect(try await redis.get("counter") == "6")
            await #expect(throws: RedisFailure.self) { try await redis.run(RedisScript("return redis.call('NOPE')"), keys: []) }
        }
    }

    @Test("The password and the database of the address are used; a wrong password leaves Redis away, and is not told")
    func authentication() async throws {
        let server = try PrivateRedis("--requirepass", "open sesame")
        var configuration = try RedisConfiguration(url: "redis://:open%20sesame@127.0.0.1:\(server.port)/5")
        try await withRedis(configuration) { redis in
            try await redis.set("here", "yes")
            let clients = try #require(try await redis.command(["CLIENT", "LIST"]).text)
            #expect(clients.contains(" db=5 "))
        }
        configuration.password = "wrong"
        try await withRedis(configuration) { redis in
            let failure = await #expect(throws: RedisFailure.away) { try await redis.ping() }
            #expect(!"\(String(describing: failure))".contains("wrong"))
            #expect(redis.isAway)
        }
    }

    @Test("A cancelled task stops waiting at once")
    func cancellation() async throws {
        let server = try PrivateRedis()
        var configuration = server.configuration
        configuration.timeout = .seconds(10)
        try await withRedis(configuration) { redis in
            try await redis.ping()
            let slow = Task { try await redis.command(["DEBUG", "SLEEP", "3"]) }
            try await Task.sleep(for: .milliseconds(100))
            let waiting = Task { try await redis.get("key") }
            let start = ContinuousClock.now
            waiting.cancel()
            await #expect(throws: CancellationError.self) { try await waiting.value }
            #expect(ContinuousClock.now - start < .seconds(2))
            _ = try await slow.value
            try await redis.ping()
        }
    }
}
