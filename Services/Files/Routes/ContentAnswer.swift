import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// The answer to a download: conditions, ranges, and headers that keep a browser from running what somebody uploaded.
struct ContentAnswer: Sendable {
    let file: StoredFile
    let request: CallerRequest
    /// Told when content turns out damaged after the answer has begun.
    let damaged: @Sendable (DamagedContent) -> Void
    let sent: @Sendable (Int) -> Void

    private var entityTag: EntityTag { EntityTag(digest: file.sha256) }

    func response(_ open: () async throws -> ContentReader) async throws -> Response {
        try request.requireMatch(entityTag)
        if let condition = request.headers[.ifNoneMatch], entityTag.matches(condition) {
            return Response(status: .notModified, headers: [.eTag: entityTag.description, .cacheControl: Self.caching])
        }
        switch range {
        case .whole: return try await body(0..<file.size, status: .ok, try await open())
        case .part(let range): return try await body(range, status: .partialContent, try await open())
        case .unsatisfiable:
            request.note("problem", FileFailure.rangeNotSatisfiable.code)
            return Problem(FileFailure.rangeNotSatisfiable, instance: request.http.path, requestID: request.requestID)
                .response(headers: [.contentRange: "bytes */\(file.size)", .acceptRanges: "bytes"])
        }
    }

    /// A range counts for GET alone, and with `If-Range` only when the client's part is of this very content (RFC 9110, 13.1.5);
    /// no date is sent, so a date never matches.
    private var range: ByteRange {
        guard request.method == .get else { return .whole }
        if let condition = request.headers[.ifRange], condition.trimmingCharacters(in: .whitespaces) != entityTag.description {
            return .whole
        }
        return ByteRange(header: request.headers[.range], size: file.size)
    }

    private static let caching = "private, no-cache"

    private func headers(_ range: Range<Int>, _ status: HTTPResponse.Status) -> HTTPFields {
        var headers: HTTPFields = [
            .contentType: file.contentType.text,
            .contentDisposition: ContentDisposition.attachment(file.name.rawValue),
            .xContentTypeOptions: "nosniff",
            .contentSecurityPolicy: "default-src 'none'; sandbox",
            .eTag: entityTag.description,
            .acceptRanges: "bytes",
            .cacheControl: Self.caching,
        ]
        if status == .partialContent { headers[.contentRange] = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(file.size)" }
        return headers
    }

    /// The first chunk is read before the answer begins, so that damage there is still a problem and not a broken download. Damage
    /// further on ends the connection before the announced length: the client cannot take it for the whole.
    private func body(_ range: Range<Int>, status: HTTPResponse.Status, _ reader: ContentReader) async throws -> Response {
        let headers = headers(range, status)
        guard request.method == .get else {
            return Response(status: status, headers: headers, body: ResponseBody(contentLength: range.count) { _ in })
        }
        let chunks = ContentReader.chunks(of: range)
        let first = try await reader.chunk(chunks.lowerBound)
        let (damaged, sent) = (damaged, sent)
        let body = ResponseBody(contentLength: range.count) { writer in
            for chunk in chunks {
                do {
                    let data = chunk == chunks.lowerBound ? first : try await reader.chunk(chunk)
                    let part = ContentReader.part(data, of: chunk, in: range)
                    try await writer.write(ByteBuffer(bytes: part))
                    sent(part.count)
                } catch let error as DamagedContent {
                    damaged(error)
                    throw error
                }
            }
            try await writer.finish(nil)
        }
        return Response(status: status, headers: headers, body: body)
    }
}
