import Crypto
import Foundation
import NIOCore

/// An answer that the gateway makes itself: whole, in memory, the same for everybody.
struct OwnPage: Sendable {
    /// Its bytes as they are, or in one of the codings that clients accept.
    struct Form: Sendable {
        /// Nil: as they are.
        let coding: ContentCoding?
        /// Strong, with its quotes: SHA-256 of the bytes, and the coding.
        let etag: String
        let body: ByteBuffer
    }

    let status: Int
    let contentType: String
    let cacheControl: String
    let contentSecurityPolicy: String
    private let plain: Form
    /// By `ContentCoding.rawValue`; none where the bytes are too few to be worth it.
    private let encoded: [Form]

    var etag: String { plain.etag }
    var body: ByteBuffer { plain.body }

    /// Compresses the body once for all who will ask for it: not to be made on an event loop.
    init(contentType: String, cacheControl: String, contentSecurityPolicy: String, body: ByteBuffer) {
        status = 200
        self.contentType = contentType
        self.cacheControl = cacheControl
        self.contentSecurityPolicy = contentSecurityPolicy
        let digest = SHA256.hash(data: body.readableBytesView).prefix(OwnPages.etagBytes)
        let tag = digest.map { $0 < 16 ? "0" + String($0, radix: 16) : String($0, radix: 16) }.joined()
        plain = Form(coding: nil, etag: "\"\(tag)\"", body: body)
        let forms = ContentCoding.allCases.compactMap { coding -> Form? in
            guard body.readableBytes >= Compression.leastBytes, let packed = Compressor.whole(body, coding) else { return nil }
            return Form(coding: coding, etag: "\"\(tag)-\(coding.name)\"", body: packed)
        }
        // A library that fails fails for all: then everybody gets the bytes as they are.
        encoded = forms.count == ContentCoding.allCases.count ? forms : []
    }

    /// The document of the platform.
    static func document(_ json: Data) -> OwnPage {
        OwnPage(
            contentType: "application/json", cacheControl: "no-cache", contentSecurityPolicy: HubFiles.inertPolicy,
            body: ByteBuffer(bytes: json))
    }

    /// Whether the answer depends on `Accept-Encoding`.
    var varies: Bool { !encoded.isEmpty }

    /// What the client likes best of what there is; without an `Accept-Encoding` the bytes as they are.
    func form(_ acceptEncoding: UnsafeRawBufferPointer?) -> Form {
        guard varies, let acceptEncoding, let coding = Compression.choose(acceptEncoding) else { return plain }
        return encoded[Int(coding.rawValue)]
    }

    /// Whether the client has it already, in whatever coding (`If-None-Match`).
    func isKnown(_ condition: UnsafeRawBufferPointer) -> Bool {
        var isKnown = false
        condition.eachElement { tag in
            let bare = tag.starts(with: "W/".utf8) ? UnsafeRawBufferPointer(rebasing: tag[2...]) : tag
            if bare.elementsEqual(etag.utf8) || tag.elementsEqual("*".utf8) { isKnown = true }
            if encoded.contains(where: { bare.elementsEqual($0.etag.utf8) }) { isKnown = true }
        }
        return isKnown
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

    private let document: @Sendable () -> OwnPage
    private let files: [Entry]

    convenience init(documents: ServiceDocuments) {
        self.init { documents.page }
    }

    /// `document`: the merged OpenAPI document as it is at the moment, as JSON.
    init(document: @escaping @Sendable () -> OwnPage) {
        self.document = document
        // Asked about each time, answered with 304 mostly: a gateway that was replaced shows its own hub at once, whole.
        files = HubFiles.all.map { file in
            let page = OwnPage(
                contentType: file.contentType, cacheControl: "no-cache", contentSecurityPolicy: file.contentSecurityPolicy,
                body: ByteBuffer(bytes: file.bytes))
            return Entry(path: Array(file.path.utf8), page: page)
        }
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
            return path.count == own.count && path.elementsEqual(own) ? document() : nil
        default:
            return nil
        }
    }
}
