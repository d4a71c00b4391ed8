import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit
import ServiceLifecycle

/// What happens just now, as server-sent events (WHATWG HTML, section 9.2).
struct RealtimeRoutes {
    let hub: RealtimeHub

    /// Without news a comment is sent after so long: nobody on the way then takes the connection for a dead one, and that a client has
    /// gone, whose place others wait for, is found out by writing to it.
    static let heartbeat: Duration = .seconds(3)
    /// A stream ends after so long; browsers open it again by themselves, with whatever rights they have by then.
    static let lifetime: Duration = .seconds(600)
    /// What browsers are told to wait before they do.
    static let retryMilliseconds = 2_000

    var endpoints: Endpoints {
        Endpoints("analytics") {
            Endpoint.get("realtime", "The last thirty minutes, about every second (server-sent events)", may: "analytics:read", realtime)
        }
    }

    func realtime(_ request: CallerRequest) async throws -> EventsResult {
        let seat = try hub.enter(request.caller.tenant)
        return EventsResult(
            Response(
                status: .ok,
                headers: [.contentType: "text/event-stream", .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
                body: ResponseBody { writer in
                    try await writer.write(ByteBuffer(string: "retry: \(Self.retryMilliseconds)\n\n"))
                    try await Self.send(seat, to: &writer)
                    try await writer.finish(nil)
                }))
    }

    /// Sends each view that says something new, until the program stops, the time is over, or the client has gone.
    static func send(_ seat: RealtimeHub.Seat, to writer: inout any ResponseBodyWriter) async throws {
        let clock = ContinuousClock()
        let end = clock.now + lifetime
        var sent: (view: RealtimeView?, at: ContinuousClock.Instant) = (nil, clock.now)
        for await view in seat.views.cancelOnGracefulShutdown() {
            if view != sent.view {
                var buffer = ByteBuffer(string: "event: activity\ndata: ")
                buffer.writeBytes(try JSON.encode(view))
                buffer.writeString("\n\n")
                try await writer.write(buffer)
                sent = (view, clock.now)
            } else if clock.now - sent.at > heartbeat {
                try await writer.write(ByteBuffer(string: ": still here\n\n"))
                sent.at = clock.now
            }
            if clock.now > end { return }
        }
    }
}

/// An answer that goes on.
struct EventsResult: EndpointResult {
    private let streamed: Response
    init(_ response: Response) { streamed = response }
    static var status: HTTPResponse.Status { .ok }
    static var bodySchema: NamedSchema? { NamedSchema(name: nil, schema: .string()) }
    static var mediaType: String { "text/event-stream" }
    func response(to request: PublicRequest) throws -> Response { streamed }
}
