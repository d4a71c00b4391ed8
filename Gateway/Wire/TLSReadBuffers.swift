import NIOCore

/// Buffers for what is read from connections with TLS: none is kept by a connection that is idle.
///
/// A channel keeps the first buffer it was given, for the next read. Behind TLS that is 2 KB a connection for nothing, as bytes are
/// copied out of it when they are decrypted. So the first is a token, and the others come and go with each read.
struct TLSReadBuffers: RecvByteBufferAllocator {
    /// Less than the header of the first record (RFC 8446, section 5.1) has: the rest is read at once after it.
    private static let token = 4
    private static let least: Int32 = 2_048
    private static let most: Int32 = 65_536

    /// 0 before the first read. Small, since every channel has one of these.
    private var size: Int32 = 0
    private var isScarcelyUsed = false

    /// With what goes with it: a channel that read several times in a row would keep as many buffers. Called before TLS takes its own.
    static func apply(to channel: any Channel) throws {
        try channel.syncOptions?.setOption(.recvAllocator, value: TLSReadBuffers())
        try channel.syncOptions?.setOption(.maxMessagesPerRead, value: 1)
        try channel.syncOptions?.setOption(.allocator, value: .pageAligned)
    }

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer {
        allocator.buffer(capacity: size == 0 ? Self.token : Int(size))
    }

    /// Grows with a full buffer, and shrinks after two that were less than half full. Always true, which is to say that a kept buffer
    /// will not do for the next read.
    mutating func record(actualReadBytes: Int) -> Bool {
        if size == 0 {
            size = Self.least
        } else if actualReadBytes >= size {
            size = min(size * 2, Self.most)
            isScarcelyUsed = false
        } else if actualReadBytes < size / 2 {
            if isScarcelyUsed { size = max(size / 2, Self.least) }
            isScarcelyUsed.toggle()
        }
        return true
    }

    /// Nil: the size of the next buffer is not known, and none that is kept is to be made to fit.
    func nextBufferSize() -> Int? { nil }
}
