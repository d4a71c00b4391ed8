import CBrotli
import CZlib
import CZstd
import NIOCore

/// Encodes one body after another, piece by piece. Used by one thread at a time.
///
/// Memory of one: gzip 270 kB, zstd about 1 MB, brotli about 1.5 MB; hence `CompressorPool`.
final class Compressor {
    enum Failure: Error, Sendable { case refusedByLibrary }

    /// Chosen for speed: beyond these each step of size costs much more time than it saves bytes.
    private static let gzipLevel: CInt = 4
    private static let zstdLevel: CInt = 3
    private static let brotliQuality: UInt32 = 4
    /// 256 KiB behind the current byte: what bounds the memory, and less than every client has (RFC 9659 asks for 8 MiB).
    private static let windowBits: UInt32 = 18
    private static let zlibWindowBits: CInt = 15
    /// Added to the window's bits this asks for gzip's frame rather than zlib's.
    private static let gzipFrame: CInt = 16
    private static let zlibMemoryLevel: CInt = 8
    /// Room that each step of a library gets at least.
    private static let step = 16_384

    private enum Engine {
        case gzip(UnsafeMutablePointer<z_stream>)
        case zstd(OpaquePointer)
        case brotli(OpaquePointer)
    }

    let coding: ContentCoding
    private let engine: Engine

    init(_ coding: ContentCoding) throws(Failure) {
        self.coding = coding
        switch coding {
        case .gzip:
            let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
            stream.initialize(to: z_stream())
            let result = deflateInit2_(
                stream, Self.gzipLevel, Z_DEFLATED, Self.zlibWindowBits + Self.gzipFrame, Self.zlibMemoryLevel, Z_DEFAULT_STRATEGY,
                ZLIB_VERSION, CInt(MemoryLayout<z_stream>.size))
            guard result == Z_OK else {
                stream.deallocate()
                throw .refusedByLibrary
            }
            engine = .gzip(stream)
        case .zstd:
            guard let context = ZSTD_createCCtx() else { throw .refusedByLibrary }
            _ = ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, Self.zstdLevel)
            _ = ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, CInt(Self.windowBits))
            engine = .zstd(context)
        case .brotli:
            guard let state = BrotliEncoderCreateInstance(nil, nil, nil) else { throw .refusedByLibrary }
            _ = BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, Self.brotliQuality)
            _ = BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, Self.windowBits)
            _ = BrotliEncoderSetParameter(state, BROTLI_PARAM_MODE, BROTLI_MODE_TEXT.rawValue)
            engine = .brotli(state)
        }
    }

    deinit {
        switch engine {
        case .gzip(let stream):
            deflateEnd(stream)
            stream.deallocate()
        case .zstd(let context): ZSTD_freeCCtx(context)
        case .brotli(let state): BrotliEncoderDestroyInstance(state)
        }
    }

    /// Makes it ready for another body. False for a coding that must be made anew.
    func reset() -> Bool {
        switch engine {
        case .gzip(let stream): deflateReset(stream) == Z_OK
        case .zstd(let context): ZSTD_isError(ZSTD_CCtx_reset(context, ZSTD_reset_session_only)) == 0
        case .brotli: false
        }
    }

    /// Encodes the next bytes of the body. What comes out may be nothing yet; with `flushing`, all of it comes out.
    func update(_ input: ByteBuffer, flushing: Bool = false, into out: inout ByteBuffer) throws(Failure) {
        try run(input, flushing ? .flush : .process, into: &out)
    }

    /// Writes what is left and the end of the frame.
    func finish(into out: inout ByteBuffer) throws(Failure) { try run(ByteBuffer(), .finish, into: &out) }

    /// A whole body at once; nil when the library cannot.
    static func whole(_ body: ByteBuffer, _ coding: ContentCoding) -> ByteBuffer? {
        var out = ByteBuffer()
        out.reserveCapacity(max(step, body.readableBytes / 3))
        guard let compressor = try? Compressor(coding), (try? compressor.run(body, .finish, into: &out)) != nil else { return nil }
        return out
    }

    // MARK: The libraries

    private enum Operation { case process, flush, finish }

    private func run(_ input: ByteBuffer, _ operation: Operation, into out: inout ByteBuffer) throws(Failure) {
        if operation == .process, input.readableBytes == 0 { return }
        let engine = engine
        // The closure gives back whether it went well: rethrowing through the buffer's methods would lose the type of the error.
        let isDone = input.withUnsafeReadableBytes { bytes in
            switch engine {
            case .gzip(let stream): Self.gzip(stream, bytes, operation, &out)
            case .zstd(let context): Self.zstd(context, bytes, operation, &out)
            case .brotli(let state): Self.brotli(state, bytes, operation, &out)
            }
        }
        guard isDone else { throw .refusedByLibrary }
    }

    private static func gzip(
        _ stream: UnsafeMutablePointer<z_stream>, _ input: UnsafeRawBufferPointer, _ operation: Operation, _ out: inout ByteBuffer
    ) -> Bool {
        let flush =
            switch operation {
            case .process: Z_NO_FLUSH
            case .flush: Z_SYNC_FLUSH
            case .finish: Z_FINISH
            }
        // zlib does not write there; its header only does not say so.
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.baseAddress?.assumingMemoryBound(to: UInt8.self))
        stream.pointee.avail_in = UInt32(input.count)
        while true {
            var result = Z_OK
            out.writeWithUnsafeMutableBytes(minimumWritableBytes: step) { room in
                stream.pointee.next_out = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
                stream.pointee.avail_out = UInt32(clamping: room.count)
                let before = stream.pointee.avail_out
                result = deflate(stream, flush)
                return Int(before - stream.pointee.avail_out)
            }
            let isFull = stream.pointee.avail_out == 0
            stream.pointee.next_out = nil
            // No progress is no error here: all that was to be written has been (zlib.h).
            guard result == Z_OK || result == Z_STREAM_END || result == Z_BUF_ERROR else { return false }
            if operation == .finish ? result == Z_STREAM_END : !isFull { break }
            if operation == .finish, result == Z_BUF_ERROR, !isFull { return false }
        }
        stream.pointee.next_in = nil
        return true
    }

    private static func zstd(
        _ context: OpaquePointer, _ input: UnsafeRawBufferPointer, _ operation: Operation, _ out: inout ByteBuffer
    ) -> Bool {
        let directive =
            switch operation {
            case .process: ZSTD_e_continue
            case .flush: ZSTD_e_flush
            case .finish: ZSTD_e_end
            }
        var source = ZSTD_inBuffer(src: input.baseAddress, size: input.count, pos: 0)
        while true {
            var remaining = 0
            var isFull = false
            out.writeWithUnsafeMutableBytes(minimumWritableBytes: step) { room in
                var target = ZSTD_outBuffer(dst: room.baseAddress, size: room.count, pos: 0)
                remaining = ZSTD_compressStream2(context, &target, &source, directive)
                isFull = target.pos == target.size
                return target.pos
            }
            if ZSTD_isError(remaining) != 0 { return false }
            if operation == .process ? (source.pos == source.size && !isFull) : remaining == 0 { return true }
        }
    }

    private static func brotli(
        _ state: OpaquePointer, _ input: UnsafeRawBufferPointer, _ operation: Operation, _ out: inout ByteBuffer
    ) -> Bool {
        let wanted =
            switch operation {
            case .process: BROTLI_OPERATION_PROCESS
            case .flush: BROTLI_OPERATION_FLUSH
            case .finish: BROTLI_OPERATION_FINISH
            }
        var source = input.baseAddress?.assumingMemoryBound(to: UInt8.self)
        var sourceLeft = input.count
        while true {
            var isFine = false
            out.writeWithUnsafeMutableBytes(minimumWritableBytes: step) { room in
                var target = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
                var targetLeft = room.count
                isFine = BrotliEncoderCompressStream(state, wanted, &sourceLeft, &source, &targetLeft, &target, nil) != 0
                return room.count - targetLeft
            }
            guard isFine else { return false }
            let isDone = operation == .finish ? BrotliEncoderIsFinished(state) != 0 : BrotliEncoderHasMoreOutput(state) == 0
            if sourceLeft == 0, isDone { return true }
        }
    }
}

/// The compressors of one event loop: used again, and no more at a time than fit into memory. Beyond that answers go as they are.
final class CompressorPool {
    /// At work at a time: with the largest windows about 100 MB for each loop.
    static let mostAtWork = 64
    /// Kept for the next, of each coding.
    static let mostIdle = 8

    private var idle: [[Compressor]] = Array(repeating: [], count: ContentCoding.allCases.count)
    private(set) var atWork = 0

    /// Nil when too many are at work.
    func take(_ coding: ContentCoding) -> Compressor? {
        guard atWork < Self.mostAtWork else { return nil }
        let taken = idle[Int(coding.rawValue)].popLast() ?? (try? Compressor(coding))
        if taken != nil { atWork += 1 }
        return taken
    }

    /// Also after a failure, or a body that was not finished.
    func giveBack(_ compressor: Compressor) {
        atWork -= 1
        let place = Int(compressor.coding.rawValue)
        if idle[place].count < Self.mostIdle, compressor.reset() { idle[place].append(compressor) }
    }
}
