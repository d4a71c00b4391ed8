import NIOCore

/// What the HTTP/2 connections of one event loop share, so that none has to hold it while it rests.
final class HTTP2Workspace {
    /// Buffers of heads that wait for their next request: at most this many.
    private static let maximumBuffers = 512

    let answer = HTTP2AnswerFields()
    private var buffers: [ByteBuffer] = []
    private var outputs: [ByteBuffer] = []
    private let allocator = ByteBufferAllocator()

    func takeBuffer() -> ByteBuffer { buffers.popLast() ?? allocator.buffer(capacity: 1_024) }
    func takeOutput() -> ByteBuffer { outputs.popLast() ?? allocator.buffer(capacity: 4_096) }

    func give(_ buffer: consuming ByteBuffer) {
        guard buffers.count < Self.maximumBuffers, buffer.capacity <= 8_192 else { return }
        buffer.clear()
        buffers.append(buffer)
    }

    func give(output: consuming ByteBuffer) {
        guard outputs.count < 4, output.capacity <= 4 * HTTP2Connection.maximumWrite else { return }
        output.clear()
        outputs.append(output)
    }
}
