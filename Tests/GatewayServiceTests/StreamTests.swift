import AsyncHTTPClient
import Contracts
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import Testing

@testable import GatewayService
@testable import TestKit

/// Chunks made as they are asked for, counted.
struct Chunks: AsyncSequence, Sendable {
    let count: Int
    let made: Made

    final class Made: Sendable {
        private let held = Mutex(0)
        var bytes: Int { held.withLock { $0 } }
        func add(_ count: Int) { held.withLock { $0 += count } }
    }

    func makeAsyncIterator() -> Iterator { Iterator(left: count, made: made) }

    struct Iterator: AsyncIteratorProtocol {
        var left: Int
        let made: Made
        mutating func next() async throws -> ByteBuffer? {
            guard left > 0 else { return nil }
            left -= 1
            made.add(Upstream.chunk.readableBytes)
            return Upstream.chunk
        }
    }
}

func residentBytes() -> Int {
    let pages = (try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8))?.split(separator: " ").dropFirst().first.flatMap {
        Int($0)
    }
    return (pages ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE)))
}

@Suite("Streams and faults", .serialized, .alone)
struct StreamTests {
    private func bearer() async throws -> String { "Bearer \(try await TestTenant().editor.token())" }

    static let chunkCount = 4_000
    static let total = chunkCount * 65_536

    @Test("250 MB flow down in flat memory")
    func down() async throws {
        try await Town.with { town in
            let before = residentBytes()
            var peak = before
            let response = try await HTTPClient.shared.execute(
                HTTPClientRequest(url: town.url + "/api/v1/content/large?chunks=\(Self.chunkCount)"), timeout: .seconds(60))
            var count = 0
            for try await chunk in response.body {
                count += chunk.readableBytes
                peak = max(peak, residentBytes())
            }
            #expect(count == Self.total)
            #expect(peak - before < 100_000_000)
        }
    }

    @Test("250 MB flow up in flat memory, and a service that does not read holds the client back")
    func up() async throws {
        try await Town.with { town in
            town.rest.seen.setReading(false)
            let before = residentBytes()
            let client = try RawConnection(port: town.port)
            client.send(
                "POST /api/v1/files HTTP/1.1\r\nHost: localhost\r\nAuthorization: \(try await bearer())\r\nConnection: close\r\n"
                    + "Content-Length: \(Self.total)\r\n\r\n")
            let taken = try await client.push(Self.total, patience: .milliseconds(700))
            // The kernel's buffers of two connections hold a few MB each.
            #expect(taken < Self.total / 2)
            #expect(residentBytes() - before < 60_000_000)
            town.rest.seen.setReading(true)
            let rest = try await client.push(Self.total - taken, patience: .seconds(10))
            #expect(taken + rest == Self.total)
            #expect(try await client.receive().contains("\"bytes\":\(Self.total)"))
            #expect(residentBytes() - before < 100_000_000)
        }
    }

    @Test("Both directions flow at once")
    func mirror() async throws {
        try await Town.with { town in
            var request = HTTPClientRequest(url: town.url + "/api/v1/content/mirror")
            request.method = .POST
            request.body = .stream(Chunks(count: 100, made: Chunks.Made()), length: .known(Int64(100 * 65_536)))
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(30))
            var count = 0
            for try await chunk in response.body { count += chunk.readableBytes }
            #expect(count == 100 * 65_536)
        }
    }

    @Test("A body beyond the limit answers 413, whether its length was said or not")
    func tooLarge() async throws {
        try await Town.with(["TRIONEX_MAX_BODY_BYTES": "100000"]) { town in
            let said = try await town.client().send(.POST, "/api/v1/products", bytes: Data(count: 100_001))
            #expect(said.status == 413)
            #expect(said.problem == "body-too-large")
            var request = HTTPClientRequest(url: town.url + "/api/v1/products")
            request.method = .POST
            request.body = .stream(Chunks(count: 10, made: Chunks.Made()), length: .unknown)
            let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
            #expect(response.status.code == 413)
            let files = try await town.client(TestTenant().editor).send(.POST, "/api/v1/files", bytes: Data(count: 100_001))
            #expect(files.status == 200)
        }
    }

    @Test("An answer before the end of a long body reaches the client, and the gateway goes on")
    func early() async throws {
        try await Town.with { town in
            for _ in 0..<3 {
                var request = HTTPClientRequest(url: town.url + "/api/v1/content/early")
                request.method = .POST
                request.body = .stream(Chunks(count: 15, made: Chunks.Made()), length: .known(Int64(15 * 65_536)))
                let response = try await HTTPClient.shared.execute(request, timeout: .seconds(20))
                #expect(response.status.code == 403)
                _ = try? await response.body.collect(upTo: 1000)
            }
            #expect(try await town.client().get("/api/v1/search").status == 200)
        }
    }

    @Test("A service that is away answers 503 with the time to try again, and is used again as soon as it is back")
    func away() async throws {
        try await Town.with { town in
            let client = try await town.client()
            let port = town.content.port
            #expect(try await client.get("/api/v1/products").status == 200)
            await town.content.kill()
            for _ in 0..<2 {
                let get = try await client.get("/api/v1/products")
                #expect(get.status == 503)
                #expect(get.problem == "dependency-unavailable")
                #expect(get.headers.first(name: "retry-after") != nil)
                #expect(try await client.post("/api/v1/products", ["a": 1]).status == 503)
            }
            #expect(try await client.get("/api/v1/search").status == 200)
            let again = try await Upstream.start("again", port: port)
            #expect(try await client.get("/api/v1/products")["upstream"] == "again")
            await again.kill()
        }
    }

    @Test("Several addresses all have a part, and one that is away costs no request")
    func balanced() async throws {
        let second = try await Upstream.start("second")
        let third = try await Upstream.start("third")
        try await Town.with(["TRIONEX_SEARCH_URL": "\(second.url),\(third.url)"]) { town in
            let client = try await town.client()
            var names: [String] = []
            for _ in 0..<60 { names.append(try await client.get("/api/v1/search")["upstream"].string ?? "") }
            #expect(names.filter { $0 == "second" }.count >= 10, "\(names)")
            #expect(names.filter { $0 == "third" }.count >= 10, "\(names)")
            await third.kill()
            for index in 0..<6 {
                let answer =
                    index.isMultiple(of: 2)
                    ? try await client.get("/api/v1/search") : try await client.post("/api/v1/search/reindex", ["a": 1])
                #expect(answer["upstream"] == "second")
            }
        }
        await second.kill()
    }

    @Test("A service that dies in the middle of its answer breaks the client's answer off, never completes it")
    func broken() async throws {
        try await Town.with { town async throws -> Void in
            await #expect(throws: (any Error).self) {
                let response = try await HTTPClient.shared.execute(
                    HTTPClientRequest(url: town.url + "/api/v1/content/broken"), timeout: .seconds(20))
                _ = try await response.body.collect(upTo: 2_000_000)
            }
            #expect(try await town.client().get("/api/v1/search").status == 200)
        }
    }

    @Test("A service that does not begin to answer in time is given up with 503")
    func slow() async throws {
        try await Town.with(["TRIONEX_UPSTREAM_FIRST_BYTE_MILLISECONDS": "300"]) { town in
            let start = ContinuousClock.now
            let answer = try await town.client().get("/api/v1/content/slow")
            #expect(answer.status == 503)
            #expect(ContinuousClock.now - start < .seconds(15))
            // A body that takes longer than that to send is no reason to give up.
            town.rest.seen.setReading(false)
            let upload = Task {
                var request = HTTPClientRequest(url: town.url + "/api/v1/files")
                request.headers.add(name: "authorization", value: try await bearer())
                request.method = .POST
                request.body = .stream(Chunks(count: 400, made: Chunks.Made()), length: .unknown)
                return try await HTTPClient.shared.execute(request, timeout: .seconds(20)).status.code
            }
            try await Task.sleep(for: .milliseconds(900))
            town.rest.seen.setReading(true)
            #expect(try await upload.value == 200)
        }
    }

    @Test("A client that breaks off its upload leaves nothing behind that disturbs the next")
    func brokenUpload() async throws {
        try await Town.with { town in
            for _ in 0..<5 {
                let upload = Task {
                    var request = HTTPClientRequest(url: town.url + "/api/v1/files")
                    request.headers.add(name: "authorization", value: try await bearer())
                    request.method = .POST
                    request.body = .stream(Chunks(count: 100_000, made: Chunks.Made()), length: .unknown)
                    return try await HTTPClient.shared.execute(request, timeout: .seconds(20)).status.code
                }
                try await Task.sleep(for: .milliseconds(50))
                upload.cancel()
                _ = try? await upload.value
            }
            #expect(try await town.client().get("/api/v1/search").status == 200)
            #expect(try await town.client(TestTenant().editor).send(.POST, "/api/v1/files", bytes: Data("x".utf8))["bytes"].int == 1)
        }
    }

    @Test("HEAD has the headers of GET and no body, and the connection can be used again")
    func head() async throws {
        try await Town.with { town in
            let answer = try await raw(
                "HEAD /api/v1/products HTTP/1.1\r\nHost: localhost\r\n\r\n"
                    + "GET /api/v1/search HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
                to: town.port)
            #expect(answer.hasPrefix("HTTP/1.1 200"))
            #expect(answer.contains("HTTP/1.1 200 OK\r\n") && answer.components(separatedBy: "HTTP/1.1 200").count == 3)
        }
    }
}
