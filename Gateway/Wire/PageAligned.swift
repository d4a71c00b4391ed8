import Glibc
// What a channel's buffers are made of can be chosen only through this interface; NIO's others always use malloc.
@_spi(CustomByteBufferAllocator) import NIOCore

extension ByteBufferAllocator {
    /// Gives large buffers whole pages.
    ///
    /// TLS takes 48 KB of buffers for each connection, of which one that is idle has used the beginnings. The system counts memory by
    /// pages: where such a buffer begins in the middle of one, its beginning and its end take parts of pages that nothing else uses.
    static let pageAligned = ByteBufferAllocator(
        allocate: { size in size < 2 * pageSize ? malloc(size) : aligned_alloc(pageSize, (size + pageSize - 1) / pageSize * pageSize) },
        reallocate: { pointer, _, size in realloc(pointer, size) },
        deallocate: { pointer in free(pointer) },
        copy: { target, source, count in target.copyMemory(from: source, byteCount: count) })
}

private let pageSize = 4_096
