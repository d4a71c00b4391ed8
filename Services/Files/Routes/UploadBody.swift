import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// The body of an upload: the content itself with `Content-Disposition`, or a form with one file.
///
/// The next bytes are taken from the connection when those before are written, so a fast client waits for a slow disk.
struct UploadBody {
    /// What a form may add to its file: boundaries, heads, line ends.
    static let formOverhead = MultipartParser.maximumParts * (MultipartParser.maximumHeadBytes + 256)
    /// The field that holds the file.
    static let field = "file"

    enum Form {
        case raw(FileName, MediaType)
        case multipart(MultipartParser)
    }

    struct Named {
        let name: FileName
        let contentType: MediaType
    }

    let form: Form
    /// As the client announced it; nil when it did not.
    let announced: Int?
    private let request: CallerRequest

    /// Refuses what can be known from the head alone, before a byte is read.
    init(_ request: CallerRequest) throws {
        self.request = request
        announced = request.headers[.contentLength].flatMap(Int.init)
        let contentType = request.headers[.contentType]
        if contentType?.lowercased().hasPrefix("multipart/") == true {
            guard let boundary = MultipartParser.boundary(of: contentType ?? ""), let parser = MultipartParser(boundary: boundary) else {
                throw MultipartFailure.noBoundary
            }
            form = .multipart(parser)
        } else {
            form = .raw(try Self.fileName(of: request.headers[.contentDisposition]), MediaType(declared: contentType))
        }
    }

    private static func fileName(of header: String?) throws -> FileName {
        let pointer = "Content-Disposition"
        guard let header else { throw ValidationFailure(pointer, "missing", "must name the file: attachment; filename=\"report.pdf\"") }
        guard let name = ContentDisposition(header)?.fileName else {
            throw ValidationFailure(pointer, "invalid", "must name the file: attachment; filename=\"report.pdf\"")
        }
        return try checked(name, pointer)
    }

    private static func checked(_ name: String, _ pointer: String) throws -> FileName {
        do {
            return try FileName(name)
        } catch {
            throw ValidationFailure(pointer, error.code, error.detail)
        }
    }

    /// Holds the announced length against what may be stored.
    func check(_ allowance: StorageLimits.Allowance) throws(FileFailure) {
        guard let announced else { return }
        switch form {
        case .raw: try allowance.check(announced)
        case .multipart: try allowance.check(max(0, announced - Self.formOverhead))
        }
    }

    func copy(into file: inout IncomingFile) async throws -> Named {
        switch form {
        case .raw(let name, let type):
            try await forEachPart { bytes in try await file.append(bytes) }
            return Named(name: name, contentType: type)
        case .multipart(let parser):
            return try await copyForm(parser, into: &file)
        }
    }

    private func copyForm(_ parser: MultipartParser, into file: inout IncomingFile) async throws -> Named {
        var parser = parser
        var named: Named?
        var received = 0
        try await forEachPart { bytes in
            received += bytes.count
            // The file itself is counted where it is written; this bounds all that is not the file.
            guard received - file.size <= Self.formOverhead + bytes.count else { throw MultipartFailure.malformed }
            for event in try parser.feed(bytes) {
                switch event {
                case .part(let head): named = try Self.named(head, after: named)
                case .body(let data): try await file.append(data)
                case .endOfPart: break
                }
            }
        }
        guard parser.isComplete else { throw MultipartFailure.malformed }
        guard let named else { throw ValidationFailure("/\(Self.field)", "missing", "is required") }
        return named
    }

    private static func named(_ head: PartHead, after earlier: Named?) throws -> Named {
        guard head.name == field else {
            throw ValidationFailure("/\(head.name.prefix(100))", "unknown-field", "is not a field of this request")
        }
        guard let name = head.fileName else { throw ValidationFailure("/\(field)", "wrong-type", "must be a file, with a filename") }
        guard earlier == nil else { throw ValidationFailure("/\(field)", "duplicate", "must be there once: one file a request") }
        return Named(name: try checked(name, "/\(field)"), contentType: MediaType(declared: head.contentType))
    }

    /// Gives the body piece by piece. Throws `uploadIncomplete` when the connection ends first: the server's stream ends without
    /// an error in some of those cases, so the announced length is held against what came.
    private func forEachPart(_ take: (Data) async throws -> Void) async throws {
        var received = 0
        var body = request.body.makeAsyncIterator()
        while true {
            let next: ByteBuffer?
            do {
                next = try await body.next()
            } catch {
                throw FileFailure.uploadIncomplete
            }
            guard let next else { break }
            received += next.readableBytes
            try await take(Data(next.readableBytesView))
        }
        if let announced, received != announced { throw FileFailure.uploadIncomplete }
        if Task.isCancelled { throw FileFailure.uploadIncomplete }
    }
}
