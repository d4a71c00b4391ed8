import Contracts
import DevStack
import Foundation
import Synchronization
import Testing

@testable import GatewayService
@testable import ServiceKit
@testable import TestKit

/// Much at once, and neighbours that are away.
@Suite("Storms", .serialized, .alone)
struct FaultStormTests {
    private static let protected = "/api/v1/products"

    @Test("100,000 distinct bad tokens are all refused, in bounded memory, and a good one still passes")
    func badTokens() async throws {
        let rounds = 1_000, perRound = 100
        try await FaultTown.with { town in
            let person = TestTenant().editor
            let good = try await person.token()
            let parts = good.split(separator: ".").map(String.init)
            let socket = try RawSocket(port: town.town.port)
            // What is kept of the first ones is kept before the measuring begins.
            var before = 0, refused = 0
            for round in 0..<rounds {
                var requests = "", expected = perRound
                for number in 0..<perRound {
                    let unique = String(round * perRound + number, radix: 36)
                    let token =
                        switch number % 4 {
                        // A signature that is wrong, claims that were changed, another key's, and no token at all.
                        case 0: "\(parts[0]).\(parts[1]).\(unique)\(parts[2].dropFirst(unique.utf8.count))"
                        case 1: "\(parts[0]).\(parts[1].dropLast(unique.utf8.count))\(unique).\(parts[2])"
                        case 2:
                            "\(Base64URL.encode(Data(#"{"alg":"RS256","typ":"JWT","kid":"k\#(unique)"}"#.utf8))).\(parts[1]).\(parts[2])"
                        default: "nonsense-\(unique)"
                        }
                    guard token != good else {
                        // By chance the signature begins so.
                        expected -= 1
                        continue
                    }
                    requests += "GET \(Self.protected) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(token)\r\n\r\n"
                }
                try await socket.send(requests)
                var answers = 0
                var text: [UInt8] = []
                let mark = Array("HTTP/1.1 401".utf8)
                while answers < expected, let part = try await socket.receive(1 << 18), !part.isEmpty {
                    text += part
                    answers = text.ranges(of: mark).count
                }
                refused += answers + perRound - expected
                if answers < expected { break }
                if round == rounds / 2 { before = residentBytes() }
            }
            #expect(refused == rounds * perRound)
            // Each would take a kilobyte: half of them, fifty megabytes.
            #expect(residentBytes() - before < 45_000_000, "\(residentBytes() - before)")
            #expect(try await town.town.client(person).get(Self.protected).status == 200)
            #expect(town.upstream.counters.requests.count { $0.contains(Self.protected) } == 1, "no bad token reached the service")
        }
    }

    @Test("With Redis and every other service away, tokens are still believed and what can be served is")
    func neighboursAway() async throws {
        try await FaultTown.with(["TRIONEX_LIMIT_PRINCIPAL_PER_MINUTE": "50"]) { town in
            let person = TestTenant().editor
            #expect(try await town.town.client(person).get(Self.protected).status == 200)
            await town.town.redis.stop()
            await town.town.rest.kill()
            let other = TestTenant().editor
            var statuses: [Int: Int] = [:]
            let began = ContinuousClock.now
            for _ in 0..<60 { statuses[try await town.town.client(other).get(Self.protected).status, default: 0] += 1 }
            // One more every 1.2 seconds.
            let anew = Int((ContinuousClock.now - began) / .milliseconds(1_200)) + 1
            let passed = statuses[200] ?? 0
            #expect((50...min(60, 50 + anew)).contains(passed), "counted from memory: \(statuses)")
            #expect(passed + (statuses[429] ?? 0) == 60, "\(statuses)")
            let away = try await town.town.client().post("/api/v1/auth/login", ["email": "a@example.org", "password": "x"])
            #expect(away.status == 503 && away.problem == "dependency-unavailable", "\(away.status) \(away.text)")
            try await town.expectWell("beside neighbours that are away")
        }
    }

    @Test("Replicas that are killed and come back, one after the other, fail no reading")
    func rollingKills() async throws {
        var second = try await FaultyUpstream.start()
        var first = try await FaultyUpstream.start()
        try await FaultTown.with(["TRIONEX_CONTENT_URL": "\(first.url),\(second.url)"]) { town in
            let load = Load(port: town.town.port, request: FaultTown.request(.late, "?ms=5"), connections: 8)
            try await eventually("there is load on both") { first.counters.requests.count > 50 && second.counters.requests.count > 50 }
            for _ in 0..<2 {
                await first.kill(reset: true)
                try await Task.sleep(for: .milliseconds(400))
                first = try await FaultyUpstream.start(port: first.port)
                try await eventually("it has its part again") { first.counters.requests(of: .late) > 20 }
                await second.kill()
                try await Task.sleep(for: .milliseconds(400))
                second = try await FaultyUpstream.start(port: second.port)
                try await eventually("it has its part again") { second.counters.requests(of: .late) > 20 }
            }
            let result = await load.stop()
            #expect(result.good > 300, "\(result)")
            #expect(result.bad.isEmpty, "\(result.bad)")
        }
        await first.kill()
        await second.kill()
    }

    @Test("More than can be done is refused at once, and the upstream sees no more than its limit")
    func overload() async throws {
        let count = 1_000
        // With more, each has connections of its own that wait, and the upstream has more of them than requests.
        try await FaultTown.with([
            "TRIONEX_UPSTREAM_FIRST_BYTE_MILLISECONDS": "5000", "TRIONEX_GATEWAY_LOOPS": "1",
            "TRIONEX_HTTP_CONNECTIONS_PER_ADDRESS": "2000",
        ]
        ) { town in
            var sockets: [RawSocket] = []
            for _ in 0..<count { sockets.append(try RawSocket(port: town.town.port)) }
            for socket in sockets { try await socket.send(FaultTown.request(.late, "?ms=700", ["Connection: close"])) }
            var open = 0, statuses: [Int: Int] = [:]
            for _ in 0..<20 {
                open = max(open, town.upstream.counters.open)
                try await Task.sleep(for: .milliseconds(100))
            }
            for socket in sockets {
                let (bytes, ended) = try await socket.receiveAll()
                let answer = RawAnswer(bytes, ended: ended)
                statuses[answer.status, default: 0] += 1
                if answer.status == 503 {
                    #expect(answer.field("retry-after") == "1" && answer.text.contains("overloaded"), "\(answer.head)\(answer.text)")
                }
            }
            #expect((statuses[200] ?? 0) + (statuses[503] ?? 0) == count, "\(statuses)")
            #expect(statuses[200] ?? 0 >= 256 && statuses[503] ?? 0 >= count - 256 - 512, "\(statuses)")
            #expect(open <= 300, "\(open) connections to the upstream at once")
            try await town.expectWell("after an overload")
        }
    }

    @Test("Uploads that dawdle keep nobody else from the service")
    func slowUploads() async throws {
        try await FaultTown.with(["TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "20000"]) { town in
            var sockets: [RawSocket] = []
            for _ in 0..<400 {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send("POST \(FaultTown.path(.count)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nslow")
                sockets.append(socket)
            }
            try await eventually("they are under way") { town.upstream.counters.requests(of: .count) >= 256 }
            try await Task.sleep(for: .milliseconds(1_500))
            try await town.expectWell("beside 400 slow uploads")
            sockets.removeAll()
        }
    }

    @Test("An upstream that takes no connection is given up in time, and the next replica asked")
    func noConnection() async throws {
        let full = try FullListener()
        let alive = try await FaultyUpstream.start()
        try await FaultTown.with(["TRIONEX_CONTENT_URL": "http://127.0.0.1:\(full.port),\(alive.url)"]) { town in
            for _ in 0..<6 {
                let start = ContinuousClock.now
                let answer = try await town.ask(.late, "?ms=1")
                #expect(answer.status == 200, "\(answer.head)\(answer.text)")
                #expect(ContinuousClock.now - start < .seconds(10))
            }
        }
        await alive.kill()
    }
}

/// Connections that send the same request again and again.
private final class Load: Sendable {
    struct Result: Sendable {
        var good = 0
        var bad: [String] = []
    }

    private let isOver = Atomic<Bool>(false)
    private let result = Mutex(Result())
    private let tasks: Mutex<[Task<Void, any Error>]> = Mutex([])

    init(port: Int, request: String, connections: Int) {
        for _ in 0..<connections {
            let task = Task { [self] in
                var socket = try RawSocket(port: port)
                while !isOver.load(ordering: .relaxed) {
                    try await socket.send(request)
                    var bytes: [UInt8] = [], answer = RawAnswer([], ended: false)
                    while !answer.isWhole, !answer.hasEnded, let part = try await socket.receive() {
                        bytes += part
                        answer = RawAnswer(bytes, ended: part.isEmpty)
                    }
                    if answer.status == 200, answer.isWhole {
                        result.withLock { $0.good += 1 }
                    } else {
                        result.withLock { $0.bad.append("\(answer.status) \(answer.text)") }
                    }
                    if answer.hasEnded || !answer.isWhole { socket = try RawSocket(port: port) }
                }
            }
            tasks.withLock { $0.append(task) }
        }
    }

    func stop() async -> Result {
        isOver.store(true, ordering: .relaxed)
        for task in tasks.withLock({ $0 }) { _ = try? await task.value }
        return result.withLock { $0 }
    }
}
