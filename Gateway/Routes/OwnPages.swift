import Crypto
import Foundation
import NIOCore
import Synchronization

/// An answer that the gateway makes itself: whole, in memory, the same for everybody.
struct OwnPage: Sendable {
    let status: Int
    let contentType: String
    /// Strong, with its quotes: SHA-256 of the bytes.
    let etag: String
    let cacheControl: String
    let contentSecurityPolicy: String
    let body: ByteBuffer

    init(contentType: String, cacheControl: String, contentSecurityPolicy: String, body: ByteBuffer) {
        status = 200
        self.contentType = contentType
        self.cacheControl = cacheControl
        self.contentSecurityPolicy = contentSecurityPolicy
        self.body = body
        let digest = SHA256.hash(data: body.readableBytesView).prefix(OwnPages.etagBytes)
        etag = "\"" + digest.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined() + "\""
    }
}

/// The paths that no service has a part in: the developer hub, the document of the whole platform, and what browsers and crawlers ask for.
final class OwnPages: Sendable {
    /// Of the 32 of SHA-256: more than enough to tell versions apart.
    static let etagBytes = 16
    static let documentPath: StaticString = "/api/v1/openapi.json"

    private struct Entry {
        let path: [UInt8]
        let page: OwnPage
    }

    private struct Document {
        let source: Data
        let page: OwnPage
    }

    private let source: @Sendable () -> Data
    private let files: [Entry]
    private let document: Mutex<Document?>

    convenience init(documents: ServiceDocuments) {
        self.init { documents.merged }
    }

    /// `document`: the merged OpenAPI document as it is at the moment, as JSON.
    init(document source: @escaping @Sendable () -> Data) {
        self.source = source
        files = HubFiles.all.map { file in
            let page = OwnPage(
                contentType: file.contentType, cacheControl: "public, max-age=300", contentSecurityPolicy: file.contentSecurityPolicy,
                body: ByteBuffer(bytes: file.bytes))
            return Entry(path: Array(file.path.utf8), page: page)
        }
        document = Mutex(nil)
    }

    /// The page at a path without its query; nil where the gateway has none. For GET and HEAD.
    ///
    /// Asked for every request, so a path that cannot be one of ours is let go at its second byte or its length.
    func page(_ path: UnsafeRawBufferPointer) -> OwnPage? {
        guard path.count >= 5 else { return nil }
        switch path[1] {
        case UInt8(ascii: "d"), UInt8(ascii: "f"), UInt8(ascii: "r"):
            return files.first { $0.path.count == path.count && $0.path.elementsEqual(path) }?.page
        case UInt8(ascii: "a"):
            let own = UnsafeBufferPointer(start: Self.documentPath.utf8Start, count: Self.documentPath.utf8CodeUnitCount)
            return path.count == own.count && path.elementsEqual(own) ? currentDocument() : nil
        default:
            return nil
        }
    }

    /// Hashed once for each time that it changes.
    private func currentDocument() -> OwnPage {
        let source = source()
        return document.withLock { held in
            if let held, held.source == source { return held.page }
            let page = OwnPage(
                contentType: "application/json", cacheControl: "no-cache", contentSecurityPolicy: HubFiles.inertPolicy,
                body: ByteBuffer(bytes: source))
            held = Document(source: source, page: page)
            return page
        }
    }
}
