import CZlib
import CZstd
import Foundation
import NIOCore
import Testing

@testable import GatewayService

@Suite("Which answers are compressed")
struct CompressionTests {
    private func choose(_ text: String) -> ContentCoding? { Array(text.utf8).withUnsafeBytes { Compression.choose($0) } }

    @Test(
        "The client's weights choose, ours where they are the same",
        arguments: [
            ("gzip", ContentCoding.gzip), ("GZIP;Q=1", .gzip), ("x-gzip", .gzip), ("br, gzip", .brotli), ("gzip, deflate, br, zstd", .zstd),
            ("gzip;q=0.9, br;q=0.8", .gzip), ("zstd;q=0, br;q=0.001", .brotli), ("*", .zstd), ("*;q=0.5, zstd;q=0", .brotli),
            ("identity;q=0, gzip", .gzip), ("gzip ; q=0.5 , identity ; q=0.4", .gzip), (",,gzip,,", .gzip), ("*, zstd;q=0.2", .brotli),
        ])
    func chosen(text: String, coding: ContentCoding) { #expect(choose(text) == coding) }

    @Test(
        "Without a coding that both know the body goes as it is",
        arguments: [
            "", "identity", "deflate", "gzip;q=0", "*;q=0", "gzip;q=x", "gzip;q=2", "gzip;q=0.0000", "gzip;level=9", "gzip;q=0.5, identity",
            "compress, foo;q=1.0", "gzipx",
        ])
    func none(text: String) { #expect(choose(text) == nil) }

    private func decide(_ head: ResponseHead, accept: String? = "gzip", hasBody: Bool = true) -> Compression.Decision {
        let content = Compression.Content(head)
        guard let accept else { return Compression.decide(content, acceptEncoding: nil, hasBody: hasBody) }
        return Array(accept.utf8).withUnsafeBytes { Compression.decide(content, acceptEncoding: $0, hasBody: hasBody) }
    }

    @Test(
        "Text of some length is worth it, whatever it is called",
        arguments: [
            "application/json", "application/problem+json; charset=utf-8", "TEXT/HTML", "text/csv", "image/svg+xml",
            "application/scim+json",
            "application/javascript", "application/atom+xml",
        ])
    func worth(type: String) throws {
        #expect(decide(try CacheFixture.answer(200, "Content-Type: \(type)", "Content-Length: 1000")) == .encode(.gzip))
        #expect(decide(try CacheFixture.answer(200, "Content-Type: \(type)", "Transfer-Encoding: chunked")) == .encode(.gzip))
    }

    @Test(
        "What would not shrink, must not be touched or could tell a secret goes as it is",
        arguments: [
            "Content-Type: image/png", "Content-Type: text/event-stream", "Content-Type: application/json\r\nContent-Encoding: br",
            "Content-Type: application/json\r\nCache-Control: public, no-transform", "Content-Type: application/json\r\nSet-Cookie: a=b",
            "Content-Type: application/json\r\nContent-Length: 999", "Content-Type: application/json\r\nContent-Length: 99999999", "X: y",
        ])
    func left(lines: String) throws { #expect(decide(try CacheFixture.answer(200, lines)) == .asIs) }

    @Test("Parts of a body and answers without one are left alone", arguments: [101, 204, 206, 304])
    func statuses(status: Int) throws { #expect(decide(try CacheFixture.answer(status, "Content-Type: application/json")) == .asIs) }

    @Test("A client that would get another body is told that others do")
    func varies() throws {
        let head = try CacheFixture.answer(200, "Content-Type: application/json")
        #expect(decide(head, accept: nil) == .plain)
        #expect(decide(head, accept: "identity") == .plain)
        #expect(decide(head, hasBody: false) == .plain)
    }

    @Test("Answers of sign-in are never compressed: their length would tell of their tokens")
    func secrets() {
        let table = RoutingState(defaults: .forTests).current.table
        for (path, isSecret) in [
            ("/api/v1/auth/login", true), ("/oauth2/token", true), ("/api/v1/%61uth/login", true), ("/%6fauth2/token", true),
            ("/api/v1/content", false), ("/api/v1/users/auth", false),
        ] {
            guard case .route(let route) = table.match("GET", path) else {
                Issue.record("no route: \(path)")
                continue
            }
            #expect(Compression.mayHoldSecrets(route) == isSecret, "\(path)")
        }
    }

    @Test("However the path of a sign-in is spelt, what comes back is not compressed")
    func spelling() async throws {
        try await SharingUpstream.with { town, _ in
            func coding(_ path: String) async throws -> String? {
                let answer = try await rawGet("\(path)?size=2000", ["Accept-Encoding: gzip"], to: town.port)
                #expect(answer.hasPrefix("HTTP/1.1 200"), "\(path)")
                return answer.contains("Content-Encoding: gzip") ? "gzip" : nil
            }
            let other = try await coding("/api/v1/content/open")
            #expect(other == "gzip")
            for path in ["/api/v1/auth/x", "/api/v1/%61uth/x", "/oauth2/x", "/%6fauth2/x"] {
                #expect(try await coding(path) == nil, "\(path)")
            }
        }
    }

    @Test("The head of an encoded answer says so, weakens its tag and leaves out what is true of the plain body alone")
    func heads() {
        var out = ByteBuffer()
        let lines = ByteBuffer(
            string: "Content-Type: text/plain\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\nContent-Length: 9\r\nContent-MD5: x\r\nX: y\r\n")
        Compression.writeEncoded(lines, .brotli, to: &out)
        #expect(
            String(buffer: out) == "Content-Type: text/plain\r\nETag: W/\"a\"\r\nX: y\r\nContent-Encoding: br\r\nVary: Accept-Encoding\r\n")
    }
}

@Suite("Bodies in other codings")
struct CompressorTests {
    /// Something like an answer: it shrinks, but not to nothing.
    private static func text(_ bytes: Int) -> ByteBuffer {
        var random = SystemRandomNumberGenerator()
        var text = ByteBuffer()
        while text.readableBytes < bytes {
            text.writeString("{\"id\":\"\(UInt64.random(in: .min ... .max, using: &random))\",\"title\":\"Notes on the engine\"},")
        }
        return text.getSlice(at: 0, length: bytes) ?? text
    }

    @Test("What went in comes out again, whatever the pieces", arguments: ContentCoding.allCases)
    func roundTrip(coding: ContentCoding) throws {
        for size in [0, 1, 1_000, 65_536, 3_000_000] {
            let body = Self.text(size)
            let compressor = try Compressor(coding)
            var (rest, out) = (body, ByteBuffer())
            while rest.readableBytes > 0 {
                let piece = rest.readSlice(length: min(rest.readableBytes, Int.random(in: 1...100_000)))
                try compressor.update(try #require(piece), flushing: Bool.random(), into: &out)
            }
            try compressor.finish(into: &out)
            #expect(try Self.decoded(out, coding, capacity: size) == body, "\(coding) \(size)")
            if size > 1_000 { #expect(out.readableBytes < size * 3 / 5) }
        }
    }

    @Test("What is flushed can be read before the end", arguments: ContentCoding.allCases)
    func flushing(coding: ContentCoding) throws {
        let compressor = try Compressor(coding)
        var out = ByteBuffer()
        try compressor.update(ByteBuffer(string: "first"), flushing: false, into: &out)
        let before = out.readableBytes
        try compressor.update(ByteBuffer(), flushing: true, into: &out)
        #expect(out.readableBytes > before)
        let flushed = out.readableBytes
        try compressor.update(ByteBuffer(), flushing: true, into: &out)
        try compressor.finish(into: &out)
        #expect(out.readableBytes >= flushed)
        #expect(try Self.decoded(out, coding, capacity: 5) == ByteBuffer(string: "first"))
    }

    @Test("Compressors are used again, also after a body that broke off, and no more work at a time than may")
    func pool() throws {
        let pool = CompressorPool()
        let body = Self.text(20_000)
        for coding in ContentCoding.allCases {
            let broken = try #require(pool.take(coding))
            var lost = ByteBuffer()
            try broken.update(body, into: &lost)
            pool.giveBack(broken)
            let again = try #require(pool.take(coding))
            #expect(coding == .brotli || again === broken)
            var out = ByteBuffer()
            try again.update(body, into: &out)
            try again.finish(into: &out)
            #expect(try Self.decoded(out, coding, capacity: 20_000) == body)
            pool.giveBack(again)
        }
        #expect(pool.atWork == 0)
        let all = (0..<CompressorPool.mostAtWork).compactMap { _ in pool.take(.gzip) }
        #expect(all.count == CompressorPool.mostAtWork)
        #expect(pool.take(.gzip) == nil)
        all.forEach { pool.giveBack($0) }
        #expect(pool.take(.gzip) != nil)
    }

    @Test("A kept answer is encoded once for all who want it so")
    func kept() throws {
        let body = Self.text(5_000)
        let answer = StoredAnswer(
            status: 200, lines: ByteBuffer(string: "Content-Type: application/json\r\n"), body: body,
            freshness: CacheFreshness(lifetime: 60, staleWhileRevalidate: 0, staleIfError: 0, initialAge: 0), receivedAt: 0)
        let once = try #require(answer.body(in: .zstd))
        #expect(try Self.decoded(once, .zstd, capacity: 5_000) == body)
        #expect(answer.body(in: .zstd) == once)
        #expect(CacheFixture.stored("short").body(in: .gzip) == nil)
    }

    // MARK: The other way

    private static func decoded(_ bytes: ByteBuffer, _ coding: ContentCoding, capacity: Int) throws -> ByteBuffer {
        let input = Array(bytes.readableBytesView)
        var output = [UInt8](repeating: 0, count: capacity + 64)
        let room = output.count
        let count: Int
        switch coding {
        case .gzip:
            var stream = z_stream()
            #expect(inflateInit2_(&stream, 31, ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size)) == Z_OK)
            defer { inflateEnd(&stream) }
            var source = input
            let result = source.withUnsafeMutableBufferPointer { source in
                output.withUnsafeMutableBufferPointer { target in
                    stream.next_in = source.baseAddress
                    stream.avail_in = UInt32(source.count)
                    stream.next_out = target.baseAddress
                    stream.avail_out = UInt32(target.count)
                    return inflate(&stream, Z_FINISH)
                }
            }
            #expect(result == Z_STREAM_END)
            count = Int(stream.total_out)
        case .zstd:
            // A frame without its length in front is read as a stream.
            let context = try #require(ZSTD_createDCtx())
            defer { ZSTD_freeDCtx(context) }
            count = input.withUnsafeBytes { source in
                output.withUnsafeMutableBytes { target in
                    var from = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
                    var to = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
                    #expect(ZSTD_decompressStream(context, &to, &from) == 0)
                    #expect(from.pos == from.size)
                    return to.pos
                }
            }
        case .brotli:
            count = try brotli(input, &output, room)
        }
        return ByteBuffer(bytes: output.prefix(count))
    }

    /// The gateway only encodes, so the library that decodes is looked up where it lies beside the other.
    private static func brotli(_ input: [UInt8], _ output: inout [UInt8], _ room: Int) throws -> Int {
        typealias Decompress = @convention(c) (Int, UnsafePointer<UInt8>?, UnsafeMutablePointer<Int>?, UnsafeMutablePointer<UInt8>?) -> CInt
        let library = try #require(dlopen("libbrotlidec.so.1", RTLD_NOW))
        let symbol = try #require(dlsym(library, "BrotliDecoderDecompress"))
        let decompress = unsafeBitCast(symbol, to: Decompress.self)
        var count = room
        #expect(decompress(input.count, input, &count, &output) == 1)
        return count
    }
}
