import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import NIOCore
import ServiceKit

/// An answer as server-sent events (WHATWG HTML, section 9.2): `delta` with `{"text"}` for each piece, then `done` with what the
/// answer would have been without streaming; or `error` with a problem, after which nothing was kept.
struct EventStream: Sendable {
    let exchange: Exchange
    let request: PublicRequest
    let logger: Logger

    private struct Delta: Encodable {
        let text: String
    }

    func response() -> Response {
        Response(
            status: .ok,
            headers: [.contentType: "text/event-stream", .cacheControl: "no-store", .xContentTypeOptions: "nosniff"],
            body: ResponseBody { writer in
                do {
                    let view = try await exchange.run { text in
                        try await writer.write(try Self.event("delta", Delta(text: text)))
                    }
                    try await writer.write(try Self.event("done", view))
                } catch {
                    try await writer.write(try Self.event("error", problem(for: error)))
                }
                try await writer.finish(nil)
            })
    }

    private func problem(for error: any Error) -> Problem {
        if let failure = error as? any Failure {
            // The status was sent long ago, so the request's log event is told here.
            request.note("problem", failure.code)
            if let dependency = failure as? DependencyFailure {
                request.note("dependency", dependency.dependency)
                request.note("dependencyReason", dependency.reason)
            }
            return Problem(failure, instance: request.path, requestID: request.requestID)
        }
        logger.error("a streamed answer failed", metadata: ["requestId": "\(request.requestID)", "error": "\(type(of: error))"])
        return Problem(
            code: "internal-error", status: .internalServerError, detail: "Something went wrong on our side. Nothing was kept.",
            instance: request.path, requestID: request.requestID)
    }

    /// JSON has no line ends in it, so one `data` line is enough.
    private static func event(_ name: String, _ value: some Encodable) throws -> ByteBuffer {
        var buffer = ByteBuffer(string: "event: \(name)\ndata: ")
        buffer.writeBytes(try JSON.encode(value))
        buffer.writeString("\n\n")
        return buffer
    }
}
