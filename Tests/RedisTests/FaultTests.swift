import Foundation
import Testing

@testable import Redis

@Suite("When Redis is slow, full or gone")
struct FaultTests {
    @Test("While the server is gone commands fail at once and do not pile up; when it is back they work")
    func killed() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            try await redis.set("a", "1")
            #expect(!redis.isAway)
            server.kill()
            #expect(await eventually { redis.isAway })
            let start = ContinuousClock.now
            for _ in 0..<1000 { await #expect(throws: RedisFailure.away) { try await redis.get("a") } }
            #expect(ContinuousClock.now - start < .seconds(2))
            try server.start()
            #expect(await eventually { (try? await redis.set("a", "2")) ?? false })
            #expect(try await redis.get("a") == "2")
        }
    }

    @Test("Commands under way when the server is killed all get an answer or a failure")
    func killedUnderLoad() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            try await redis.ping()
            let (good, bad) = await withTaskGroup(of: (Int, Int).self) { group in
                for task in 0..<64 {
                    group.addTask {
                        var counts = (0, 0)
                        for _ in 0..<500 {
                            do {
                                try await redis.set("task:\(task)", "x")
                                counts.0 += 1
                            } catch {
                                #expect(error as? RedisFailure == .away)
                                counts.1 += 1
                            }
                        }
                        return counts
                    }
                }
                try? await Task.sleep(for: .milliseconds(60))
                server.kill()
                return await group.reduce(into: (0, 0)) { $0 = ($0.0 + $1.0, $0.1 + $1.1) }
            }
            #expect(good + bad == 64 * 500)
            #expect(good > 0 && bad > 0)
        }
    }

    @Test("A server that was restarted while nobody asked costs no command its answer")
    func idleRestart() async throws {
        let server = try PrivateRedis()
        var configuration = server.configuration
        configuration.probeInterval = .seconds(60)
        try await withRedis(configuration) { redis in
            for _ in 0..<20 { try await redis.ping() }
            server.kill()
            try server.start()
            for _ in 0..<20 { try await redis.ping() }
        }
    }

    @Test("A server that is not there at the start is away, and found when it comes")
    func lateServer() async throws {
        let server = try PrivateRedis()
        server.kill()
        try await withRedis(server.configuration) { redis in
            await #expect(throws: RedisFailure.away) { try await redis.ping() }
            #expect(redis.isAway)
            try server.start()
            #expect(await eventually { (try? await redis.ping()) != nil })
        }
    }

    @Test("No answer in time is a failure within twice the time allowed, and the next commands work again")
    func slow() async throws {
        let server = try PrivateRedis()
        var configuration = server.configuration
        configuration.timeout = .milliseconds(200)
        try await withRedis(configuration) { redis in
            try await redis.ping()
            _ = try await redis.command(["CLIENT", "PAUSE", "10000", "ALL"])
            let start = ContinuousClock.now
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<100 { group.addTask { await #expect(throws: RedisFailure.self) { try await redis.get("a") } } }
            }
            #expect(ContinuousClock.now - start < .seconds(5))
            #expect(await eventually { (try? await redis.ping()) != nil })
        }
    }

    @Test("The command that Redis sleeps over fails with a time-out")
    func timeOut() async throws {
        let server = try PrivateRedis()
        var configuration = server.configuration
        configuration.timeout = .milliseconds(200)
        try await withRedis(configuration) { redis in
            try await redis.ping()
            await #expect(throws: RedisFailure.timedOut) { try await redis.command(["DEBUG", "SLEEP", "0.6"]) }
        }
    }

    @Test("More commands than the queue holds are refused as busy; those in the queue are answered")
    func queueLimit() async throws {
        let server = try PrivateRedis()
        var configuration = server.configuration
        configuration.connections = 1
        configuration.batch = 4
        configuration.queueLimit = 8
        configuration.timeout = .seconds(5)
        try await withRedis(configuration) { redis in
            try await redis.ping()
            let sleeping = Task { try await redis.command(["DEBUG", "SLEEP", "0.5"]) }
            try await Task.sleep(for: .milliseconds(100))
            let outcomes = await withTaskGroup(of: RedisFailure?.self) { group in
                for index in 0..<40 {
                    group.addTask {
                        do {
                            try await redis.set("k\(index)", "v")
                            return nil
                        } catch { return error as? RedisFailure ?? .unexpectedAnswer }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(outcomes.filter { $0 == nil }.count == 8)
            #expect(outcomes.filter { $0 == .busy }.count == 32)
            _ = try await sleeping.value
        }
    }

    @Test("Shutdown answers what waits and refuses what comes after")
    func shutdown() async throws {
        let server = try PrivateRedis()
        let redis = Redis(server.configuration, logger: quiet)
        try await redis.ping()
        let sleeping = Task { try await redis.command(["DEBUG", "SLEEP", "0.2"]) }
        try await Task.sleep(for: .milliseconds(50))
        let waiting = (0..<10).map { index in Task { try await redis.increment("n\(index)") } }
        try await Task.sleep(for: .milliseconds(50))
        await redis.shutdown()
        _ = try await sleeping.value
        for task in waiting { #expect(try await task.value == 1) }
        await #expect(throws: RedisFailure.away) { try await redis.ping() }
    }
}

@Suite("Publish and subscribe")
struct SubscriptionTests {
    @Test("A message of any text reaches every listener of its channel, and only those")
    func messages() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            var first = redis.subscribe("news", "weather").makeAsyncIterator()
            #expect(await first.next() == .subscribed)
            var second = redis.subscribe("news").makeAsyncIterator()
            #expect(await second.next() == .subscribed)
            try await redis.publish("other", "unheard")
            try await redis.publish("weather", "rain")
            #expect(try await redis.publish("news", "line one\r\nline two ☂") == 1)
            #expect(await first.next() == .message(channel: "weather", payload: Array("rain".utf8)))
            #expect(await first.next()?.text == "line one\r\nline two ☂")
            #expect(await second.next()?.text == "line one\r\nline two ☂")
        }
    }

    @Test("After the server was restarted listeners are told so, and hear messages again")
    func restart() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            var listener = redis.subscribe("news").makeAsyncIterator()
            #expect(await listener.next() == .subscribed)
            server.kill()
            #expect(await eventually { redis.isAway })
            try server.start()
            #expect(await listener.next() == .resubscribed)
            #expect(await eventually { (try? await redis.publish("news", "back")) == 1 })
            #expect(await listener.next()?.text == "back")
        }
    }

    @Test("A channel is given up when its last listener is gone, and the streams end at shutdown")
    func ending() async throws {
        let server = try PrivateRedis()
        let redis = Redis(server.configuration, logger: quiet)
        func listeners() async throws -> Int { try await redis.command(["PUBSUB", "NUMSUB", "news"]).array?.last?.integer ?? -1 }
        let task = Task { for await _ in redis.subscribe("news") {} }
        #expect(try await eventually { try await listeners() == 1 })
        task.cancel()
        #expect(try await eventually { try await listeners() == 0 })
        var last = redis.subscribe("news").makeAsyncIterator()
        #expect(await last.next() == .subscribed)
        await redis.shutdown()
        #expect(await last.next() == nil)
    }

    @Test("A listener that falls behind loses the oldest messages and is told so")
    func lagging() async throws {
        let server = try PrivateRedis()
        try await withRedis(server.configuration) { redis in
            let stream = redis.subscribe("flood")
            #expect(try await eventually { try await redis.command(["PUBSUB", "NUMSUB", "flood"]).array?.last?.integer == 1 })
            let count = Subscriber.bufferLimit * 4
            for index in 1...count { try await redis.publish("flood", "\(index)") }
            try await Task.sleep(for: .milliseconds(200))
            var listener = stream.makeAsyncIterator()
            var heard: [String] = []
            var wasTold = false
            func read(until last: String) async {
                while let message = await listener.next() {
                    if message == .resubscribed { wasTold = true }
                    if let text = message.text { heard.append(text) }
                    if message.text == last { return }
                }
            }
            await read(until: "\(count)")
            #expect(heard.count < count)
            try await redis.publish("flood", "after")
            try await redis.publish("flood", "the end")
            await read(until: "the end")
            #expect(wasTold)
            #expect(heard.suffix(2) == ["after", "the end"])
        }
    }
}
