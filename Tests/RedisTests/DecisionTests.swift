import Testing

@testable import Redis

@Suite("Decisions about connections, without sockets")
struct DecisionTests {
    let start = ContinuousClock.now

    func machine() -> ConnectionMachine { ConnectionMachine(backOff: BackOff(), probeInterval: .seconds(1), at: start) }

    @Test("A new connection is made at once, served, and probed when nothing was answered for the interval")
    func life() {
        var machine = machine()
        #expect(machine.action(at: start) == .connect)
        machine.connected(at: start)
        #expect(machine.action(at: start) == .serve(until: start + .seconds(1)))
        machine.answered(at: start + .milliseconds(400))
        #expect(machine.action(at: start + .seconds(1)) == .serve(until: start + .milliseconds(1400)))
        #expect(machine.action(at: start + .milliseconds(1400)) == .probe)
    }

    @Test("Failed attempts are made further and further apart, up to the longest pause")
    func backOff() {
        var machine = machine()
        var now = start
        var pauses: [Duration] = []
        for _ in 0..<9 {
            machine.failed(at: now, chance: 1)
            guard case .rest(let until) = machine.action(at: now) else {
                Issue.record("a failed attempt is followed by a rest")
                return
            }
            pauses.append(until - now)
            #expect(machine.action(at: until) == .connect)
            now = until
        }
        #expect(pauses == [50, 100, 200, 400, 800, 1600, 2000, 2000, 2000].map { .milliseconds($0) })
    }

    @Test("The pause is spread between half and the whole of its step", arguments: [0, 0.3, 1, 7])
    func spread(chance: Double) {
        let pause = BackOff().pause(afterFailures: 3, chance: chance)
        #expect(pause >= .milliseconds(100) && pause <= .milliseconds(200))
    }

    @Test("A connection that lived is replaced at once; one that broke just after it was made counts as a failed attempt")
    func shortLife() {
        var lived = machine()
        lived.connected(at: start)
        lived.failed(at: start + .seconds(5), chance: 1)
        #expect(lived.action(at: start + .seconds(5)) == .connect)

        var broken = machine()
        broken.connected(at: start)
        broken.failed(at: start + .milliseconds(10), chance: 1)
        #expect(broken.action(at: start + .milliseconds(10)) == .rest(until: start + .milliseconds(60)))
    }

    @Test("Failures are forgotten only after a connection has lived for a while")
    func forgetting() {
        var machine = machine()
        machine.failed(at: start, chance: 1)
        machine.connected(at: start)
        machine.answered(at: start + .milliseconds(10))
        #expect(machine.failures == 1)
        machine.answered(at: start + .seconds(2))
        #expect(machine.failures == 0)
    }

    @Test("Redis is away only when every connection is down, and is there again with the first")
    func availability() {
        var availability = Availability(connections: 2, queueLimit: 3)
        #expect(availability.admit(waiting: 0) == .starting)
        #expect(availability.connected(0) == .becameAvailable)
        #expect(availability.connected(1) == nil)
        #expect(availability.lost(0) == nil)
        #expect(availability.admit(waiting: 2) == .admitted)
        #expect(availability.admit(waiting: 3) == .refused(.busy))
        #expect(availability.lost(1) == .becameAway)
        #expect(availability.lost(1) == nil)
        #expect(availability.admit(waiting: 0) == .refused(.away))
        #expect(availability.connected(1) == .becameAvailable)
    }

    @Test("A listener is told once when all its channels are confirmed, and again after a reconnection")
    func notices() {
        var book = SubscriptionBook<String>()
        #expect(book.add("a", channels: ["x", "y"]).subscribe == ["x", "y"])
        #expect(book.confirm("x").isEmpty)
        #expect(book.confirm("y").map(\.1) == [.subscribed])
        #expect(book.reconnected() == ["x", "y"])
        #expect(book.confirm("y").isEmpty)
        #expect(book.confirm("x").map(\.1) == [.resubscribed])
    }

    @Test("Listeners share a channel: it is subscribed to with the first and given up with the last")
    func sharing() {
        var book = SubscriptionBook<String>()
        _ = book.add("a", channels: ["x"])
        _ = book.confirm("x")
        let second = book.add("b", channels: ["x", "z"])
        #expect(second.subscribe == ["z"] && second.notice == nil)
        #expect(book.confirm("z").map(\.0) == ["b"])
        let third = book.add("c", channels: ["x"])
        #expect(third.subscribe.isEmpty && third.notice == .subscribed)
        #expect(Set(book.listeners(of: "x")) == ["a", "b", "c"])
        #expect(book.remove("a").isEmpty)
        #expect(book.remove("b") == ["z"])
        #expect(book.remove("c") == ["x"])
        #expect(book.isEmpty)
    }
}

@Suite("The address of Redis")
struct ConfigurationTests {
    @Test("An address names host, port, user, password and database")
    func whole() throws {
        let configuration = try RedisConfiguration(url: "redis://app:p%40ss@cache.internal:6380/3")
        #expect(configuration == RedisConfiguration(host: "cache.internal", port: 6380, username: "app", password: "p@ss", database: 3))
        #expect(try RedisConfiguration(url: "redis://:secret@h") == RedisConfiguration(host: "h", password: "secret"))
        #expect(try RedisConfiguration(url: "redis://[::1]:7000") == RedisConfiguration(host: "::1", port: 7000))
    }

    @Test(
        "What cannot be used is refused with its reason",
        arguments: [
            ("rediss://h", RedisConfigurationError.encryptionUnsupported), ("http://h", .unknownScheme("http")),
            ("redis://h/one", .badDatabase("one")),
            ("redis://", .malformed), ("", .malformed), ("redis://user@h", .userWithoutPassword), ("redis://h:0", .malformed),
        ])
    func refused(text: String, expected: RedisConfigurationError) {
        #expect(throws: expected) { try RedisConfiguration(url: text) }
    }

    @Test("The sentence about TLS says what to do instead, and no password")
    func words() throws {
        let error = try #require(throws: RedisConfigurationError.self) { try RedisConfiguration(url: "rediss://:hunter2@h") }
        #expect(error.description.contains("TLS tunnel"))
        #expect(!error.description.contains("hunter2"))
    }
}
