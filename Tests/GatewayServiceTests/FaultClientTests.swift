import Foundation
import Testing

@testable import GatewayService
@testable import TestKit

/// What clients do wrong, and that others do not suffer for it.
@Suite("Faults of clients", .serialized, .alone)
struct FaultClientTests {
    @Test("A client that never reads holds nothing but its connection, and not for ever")
    func neverReads() async throws {
        try await FaultTown.with(["TRIONEX_UPSTREAM_IDLE_MILLISECONDS": "3000"]) { town in
            let before = residentBytes()
            var sockets: [RawSocket] = []
            for _ in 0..<20 {
                let socket = try RawSocket(port: town.town.port, receiveBuffer: 4_096)
                try await socket.send(FaultTown.request(.infinite))
                sockets.append(socket)
            }
            try await eventually("all are being answered") { town.upstream.counters.requests(of: .infinite) == 20 }
            // The kernel's buffers of both connections are all that fills, on a busy machine not at once.
            try await eventually("the upstream is held back") {
                let sent = town.upstream.counters.sentBytes
                try await Task.sleep(for: .milliseconds(700))
                return town.upstream.counters.sentBytes - sent < 4_000_000
            }
            #expect(town.upstream.counters.sentBytes < 20 * 16_000_000)
            #expect(residentBytes() - before < 150_000_000)
            try await town.expectWell("beside clients that do not read")
            try await eventually("they are cut off in the end") { town.upstream.counters.open <= 4 }
            sockets.removeAll()
        }
    }

    @Test("A client that asks on and on and reads no answer is not read from either")
    func neverReadsAnswers() async throws {
        try await FaultTown.with { town in
            let before = residentBytes(), requests = String(repeating: "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 1_000)
            let socket = try RawSocket(port: town.town.port, receiveBuffer: 4_096), bytes = Array(requests.utf8)
            var taken = 0
            while taken < 40_000_000 {
                let count = try await socket.send(bytes, patience: .milliseconds(700))
                taken += count
                if count < bytes.count { break }
            }
            // The kernel's buffers of one connection.
            #expect(taken < 20_000_000, "\(taken)")
            #expect(residentBytes() - before < 50_000_000)
            try await town.expectWell("beside a client that reads no answers")
        }
    }

    @Test("A client that closes its half after its request is answered")
    func halfClosed() async throws {
        try await FaultTown.with { town in
            for fault in [Fault.late, .trickle, .count] {
                let socket = try RawSocket(port: town.town.port)
                try await socket.send(FaultTown.request(fault, method: "POST", body: "1234"))
                socket.endOutput()
                let (bytes, ended) = try await socket.receiveAll()
                let answer = RawAnswer(bytes, ended: ended)
                #expect(answer.status == 200 && answer.isWhole && ended, "\(fault): \(answer.head)")
            }
        }
    }

    @Test("A client that goes in the midst of its body, or of its answer, takes its upstream connection with it")
    func gone() async throws {
        try await FaultTown.with { town in
            for resets in [false, true] {
                var upload: RawSocket? = try RawSocket(port: town.town.port)
                try await upload?.send("POST \(FaultTown.path(.count)) HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nsome")
                var download: RawSocket? = try RawSocket(port: town.town.port)
                try await download?.send(FaultTown.request(.infinite))
                _ = try await download?.drain(most: 100_000)
                try await eventually("both are under way") { town.upstream.counters.requests.count { $0.contains("/fault/") } % 2 == 0 }
                if resets {
                    upload?.armReset()
                    download?.armReset()
                }
                upload = nil
                download = nil
                try await eventually("neither is left") { town.upstream.counters.open <= 2 }
            }
            #expect(town.upstream.counters.brokenRequests == 2, "an upload that broke off is not taken for whole")
            try await town.expectWell("after clients that went")
        }
    }

    @Test("Fields of 1 MB are refused, without being read to the end", arguments: [["one"], ["many"]])
    func hugeHead(form: [String]) async throws {
        try await FaultTown.with { town in
            let socket = try RawSocket(port: town.town.port)
            let filler =
                form == ["one"]
                ? "X-Filler: " + String(repeating: "f", count: 1_048_576) + "\r\n"
                : String(repeating: "X-Filler: " + String(repeating: "f", count: 100) + "\r\n", count: 9_000)
            try await socket.send("GET \(FaultTown.path(.echo)) HTTP/1.1\r\nHost: localhost\r\n" + filler + "\r\n", patience: .seconds(3))
            let (bytes, ended) = try await socket.receiveAll()
            let answer = RawAnswer(bytes, ended: ended)
            #expect(ended)
            #expect(answer.status == 431, "\(answer.head)")
            #expect(town.upstream.counters.requests(of: .echo) == 0)
            try await town.expectWell("after fields of 1 MB")
        }
    }

    @Test("10,000 slow connections do not keep others waiting, and end in their time")
    func slowConnections() async throws {
        let count = 10_000
        let settings = [
            "TRIONEX_HTTP_MAX_CONNECTIONS": "12000", "TRIONEX_HTTP_CONNECTIONS_PER_ADDRESS": "12000", "TRIONEX_CLIENT_HEAD_SECONDS": "20",
        ]
        try await FaultTown.with(settings) { town in
            let before = residentBytes()
            let crowd = try Crowd(count: count, port: town.town.port)
            defer { crowd.stop() }
            #expect(try await crowd.isReady(), "10,000 connections stand")
            #expect(residentBytes() - before < 400_000_000)
            var longest = Duration.zero
            for _ in 0..<50 {
                let start = ContinuousClock.now
                try await town.expectWell("beside 10,000 slow connections")
                longest = max(longest, ContinuousClock.now - start)
            }
            #expect(longest < .seconds(10), "\(longest)")
            let ended = try await crowd.ended()
            #expect(ended == count, "a head that takes for ever is not waited for")
            try await town.expectWell("after 10,000 slow connections")
        }
    }
}

/// Many connections of another process that each send a byte of a head now and then: here there are not file descriptors for both ends.
final class Crowd: Sendable {
    private static let program = """
        import select, socket, sys, time
        count, port = int(sys.argv[1]), int(sys.argv[2])
        sockets = []
        for _ in range(count):
            s = socket.create_connection(("127.0.0.1", port), timeout=20)
            s.sendall(b"GET /api/v1/content/fault/echo HTTP/1.1\\r\\nHost: localhost\\r\\nX-Slow: ")
            s.setblocking(False)
            sockets.append(s)
        print("ready", flush=True)
        poll = select.poll()
        for s in sockets:
            poll.register(s, select.POLLIN)
        by = {s.fileno(): s for s in sockets}
        deadline, last = time.time() + 60, time.time()
        while by and time.time() < deadline:
            for number, _ in poll.poll(200):
                s = by[number]
                try:
                    over = s.recv(65536) == b""
                except OSError:
                    over = True
                if over:
                    poll.unregister(number)
                    del by[number]
                    s.close()
            if time.time() - last > 2:
                last = time.time()
                for s in list(by.values()):
                    try:
                        s.send(b"s")
                    except OSError:
                        pass
        print(count - len(by), flush=True)
        """

    private let process = Process()
    private let output = Pipe()

    init(count: Int, port: Int) throws {
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = ["python3", "-c", Self.program, "\(count)", "\(port)"]
        process.standardOutput = output
        try process.run()
    }

    func isReady() async throws -> Bool { try await line() == "ready" }
    /// How many were closed by the other side.
    func ended() async throws -> Int? { try await line().flatMap { Int($0) } }
    func stop() { process.terminate() }

    private func line() async throws -> String? {
        let descriptor = output.fileHandleForReading.fileDescriptor
        // A thread of its own waits; a signal meanwhile is no end.
        return await Task.detached {
            var text: [UInt8] = [], byte: UInt8 = 0
            while true {
                let count = read(descriptor, &byte, 1)
                if count == 1, byte != UInt8(ascii: "\n") {
                    text.append(byte)
                } else if count >= 0 || errno != EINTR {
                    return count == 1 ? String(decoding: text, as: UTF8.self) : nil
                }
            }
        }.value
    }
}
