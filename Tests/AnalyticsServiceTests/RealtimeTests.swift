import AsyncHTTPClient
import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import NIOHTTP1
import ServiceLifecycle
import Synchronization
import TestKit
import Testing

@testable import AnalyticsService

@Suite("What happens just now", .timeLimit(.minutes(2)))
struct RealtimeTests {
    /// The data of the events of a stream, as they come.
    private func stream(_ client: TestClient) async throws -> (HTTPClientResponse, AsyncThrowingStream<JSONValue, any Error>) {
        var request = HTTPClientRequest(url: client.base + "/api/v1/analytics/realtime")
        if let token = client.token { request.headers.add(name: "authorization", value: "Bearer \(token)") }
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(60))
        let (views, continuation) = AsyncThrowingStream<JSONValue, any Error>.makeStream()
        let reading = Task {
            var text = ""
            do {
                for try await part in response.body {
                    text += String(buffer: part)
                    while let end = text.range(of: "\n\n") {
                        let event = text[..<end.lowerBound]
                        text.removeSubrange(..<end.upperBound)
                        guard let data = event.split(separator: "\n").first(where: { $0.hasPrefix("data: ") }) else { continue }
                        continuation.yield(try JSON.decode(JSONValue.self, from: Data(data.dropFirst(6).utf8)))
                    }
                }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
        continuation.onTermination = { _ in reading.cancel() }
        return (response, views)
    }

    @Test("A stream shows what is reported, within seconds, to its own organization alone")
    func shows() async throws {
        let host = try await TestHost.start(Analytics.self)
        let (tenant, other) = (TestTenant(), TestTenant())
        let client = try await host.client(tenant.owner)
        let (response, views) = try await stream(client)
        #expect(response.status == .ok)
        #expect(response.headers.first(name: "content-type") == "text/event-stream")
        let (_, foreign) = try await stream(try await host.client(other.viewer))
        var iterator = views.makeAsyncIterator()
        let empty = try #require(try await iterator.next())
        #expect(empty["activeUsers"] == 0)
        #expect(empty["series"].array.count == 30)

        let people = (0..<3).map { _ in UserID.make().description }
        let events = people.map { person -> JSONValue in ["eventName": "clicked", "userId": .string(person)] }
        let earlier = Timestamp.text(Date().addingTimeInterval(-10 * 60))
        let old: JSONValue = ["eventName": "opened", "userId": .string(UserID.make().description), "occurredAt": .string(earlier)]
        #expect(try await client.post("/api/v1/analytics/events", ["events": .array(events + events + [old])]).status == 202)
        #expect(try await client.post("/api/v1/analytics/page-views", ["url": "/", "userId": .string(people[0])]).status == 202)
        while let view = try await iterator.next() {
            guard view["events"] == 7, view["pageViews"] == 1 else { continue }
            #expect(view["activeUsers"] == 3)
            #expect(view["uniqueUsers"] == 4)
            #expect(view["topEvents"].array == [["eventName": "clicked", "events": 6], ["eventName": "opened", "events": 1]])
            #expect(view["series"].array.reduce(0) { $0 + ($1["events"].int ?? 0) } == 7)
            break
        }
        var strangers = foreign.makeAsyncIterator()
        let seen = try #require(try await strangers.next())
        #expect(seen["events"] == 0)
    }

    @Test("An organization has so many streams and no more; who leaves makes room")
    func limits() async throws {
        let host = try await TestHost.start(Analytics.self)
        let hub = RealtimeHub(
            database: host.database, limits: .init(streamsPerTenant: 2, streams: 3), now: { Date() }, logger: Logger(label: "test"))
        let (one, two) = (TenantID.make(), TenantID.make())
        var seats = [try hub.enter(one), try hub.enter(one)]
        #expect(throws: AnswerFailure.tooManyStreams) { try hub.enter(one) }
        seats.append(try hub.enter(two))
        #expect(throws: AnswerFailure.tooManyStreams) { try hub.enter(two) }
        #expect(hub.streams == 3)
        seats.removeFirst()
        #expect(hub.streams == 2)
        seats.append(try hub.enter(one))
        #expect(seats.count == 3)
        seats.removeAll()
        #expect(hub.streams == 0)
    }

    @Test("When the program stops, streams end cleanly and do not hold it up")
    func stops() async throws {
        let host = try await TestHost.start(Analytics.self)
        let logger = Logger(label: "test")
        let hub = RealtimeHub(database: host.database, now: { Date() }, logger: logger)
        let reader = StreamReader(seat: try hub.enter(TestTenant().id))
        let group = ServiceGroup(services: [hub, reader], gracefulShutdownSignals: [], logger: logger)
        let running = Task { try await group.run() }
        try await host.eventually("the stream has begun") { reader.text.contains("event: activity\ndata: {") }
        await group.triggerGracefulShutdown()
        // It ends by itself, and without an error.
        try await running.value
        #expect(reader.hasEnded)
        #expect(reader.text.hasSuffix("\n\n"))
    }
}

/// Somebody at the other end of a stream.
private final class StreamReader: Service {
    private let seat: RealtimeHub.Seat
    private let state = Mutex((text: "", hasEnded: false))

    init(seat: RealtimeHub.Seat) { self.seat = seat }

    var text: String { state.withLock { $0.text } }
    var hasEnded: Bool { state.withLock { $0.hasEnded } }

    func run() async throws {
        var writer: any ResponseBodyWriter = Writer(reader: self)
        try await RealtimeRoutes.send(seat, to: &writer)
        state.withLock { $0.hasEnded = true }
    }

    private struct Writer: ResponseBodyWriter {
        let reader: StreamReader

        mutating func write(_ buffer: ByteBuffer) async throws {
            let text = String(buffer: buffer)
            reader.state.withLock { $0.text += text }
        }

        consuming func finish(_ trailingHeaders: HTTPFields?) async throws {}
    }
}
