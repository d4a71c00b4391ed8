import NIOCore
import Testing

@testable import GatewayService

@Suite("Buffers of connections with TLS")
struct TLSReadBuffersTests {
    @Test("the first is a token, since the channel keeps it")
    func first() {
        var buffers = TLSReadBuffers()
        #expect(buffers.buffer(allocator: ByteBufferAllocator()).capacity < 16)
        let mayBeKept = !buffers.record(actualReadBytes: 4)
        #expect(!mayBeKept)
        #expect(buffers.buffer(allocator: ByteBufferAllocator()).capacity == 2_048)
    }

    @Test("no more is kept by a channel that reads over and over")
    func kept() {
        var pool = NIOPooledRecvBufferAllocator(capacity: 1, recvAllocator: TLSReadBuffers())
        for _ in 0..<3 {
            let (_, count) = pool.buffer(allocator: ByteBufferAllocator()) { buffer in
                buffer.writeRepeatingByte(1, count: buffer.writableBytes)
            }
            pool.record(actualReadBytes: count)
        }
        #expect(pool.count == 1)
        // The one that is kept is the first; a read of the size that has been reached gets one of its own.
        let (buffer, _) = pool.buffer(allocator: ByteBufferAllocator()) { $0.writableBytes }
        #expect(buffer.capacity >= 4_096)
    }

    @Test("they grow with what comes, and shrink after it, within bounds")
    func sizes() {
        var buffers = TLSReadBuffers()
        func capacity() -> Int { buffers.buffer(allocator: ByteBufferAllocator()).capacity }
        _ = buffers.record(actualReadBytes: 4)
        for _ in 0..<10 { _ = buffers.record(actualReadBytes: capacity()) }
        #expect(capacity() == 65_536)
        _ = buffers.record(actualReadBytes: 100)
        #expect(capacity() == 65_536)
        for _ in 0..<40 { _ = buffers.record(actualReadBytes: 100) }
        #expect(capacity() == 2_048)
    }

    @Test("large ones begin with a page, keep what is in them when they grow, and small ones are as usual")
    func aligned() {
        let allocator = ByteBufferAllocator.pageAligned
        var large = allocator.buffer(capacity: 16_384)
        let address = large.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        #expect(address % 4_096 == 0)
        large.writeRepeatingByte(7, count: 16_384)
        large.writeRepeatingByte(8, count: 100_000)
        #expect(large.readBytes(length: 16_384)?.allSatisfy { $0 == 7 } == true)
        #expect(large.readableBytesView.allSatisfy { $0 == 8 })
        var small = allocator.buffer(capacity: 100)
        small.writeString("small")
        #expect(small.getString(at: 0, length: 5) == "small")
    }
}
