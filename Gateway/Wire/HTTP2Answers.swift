import CNghttp2
import NIOCore

/// What streams ask their connection for: heads and trailers to be sent, windows to be moved, streams to be reset.
extension HTTP2Connection {
    func owesFlush(_ stream: HTTP2Stream) {
        unflushed.append(stream)
        sendSoon()
    }

    func consume(_ stream: HTTP2Stream, _ count: Int) {
        nghttp2_session_consume(session, stream.id, count)
        sendSoon()
    }

    func consumeOfConnection(_ count: Int) {
        nghttp2_session_consume_connection(session, count)
        sendSoon()
    }

    func resume(_ stream: HTTP2Stream) { nghttp2_session_resume_data(session, stream.id) }

    func reset(_ stream: HTTP2Stream, _ error: nghttp2_error_code) {
        nghttp2_submit_rst_stream(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, error.rawValue)
        sendSoon()
    }

    func submitContinue(_ stream: HTTP2Stream) {
        let answer = workspace.answer
        answer.begin(status: 100)
        nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, nil, answer.fields, answer.count, nil)
        sendSoon()
    }

    func submitInterim(_ stream: HTTP2Stream, _ status: Int) {
        let answer = workspace.answer
        answer.begin(status: status)
        stream.out.withUnsafeReadableBytes { bytes in
            answer.add(bytes, skippingFirst: true)
            nghttp2_submit_headers(session, UInt8(NGHTTP2_FLAG_NONE.rawValue), stream.id, nil, answer.fields, answer.count, nil)
        }
    }

    func submitHead(_ stream: HTTP2Stream, _ status: Int, length: Int?, hasBody: Bool) {
        let answer = workspace.answer
        answer.begin(status: status)
        var provider = nghttp2_data_provider(source: nghttp2_data_source(), read_callback: HTTP2Session.source)
        let result = stream.out.withUnsafeReadableBytes { bytes -> Int32 in
            answer.add(bytes, skippingFirst: true)
            if let length { answer.addLength(length) }
            return withUnsafePointer(to: &provider) {
                nghttp2_submit_response(session, stream.id, answer.fields, answer.count, hasBody ? $0 : nil)
            }
        }
        if result != 0 { reset(stream, NGHTTP2_INTERNAL_ERROR) }
    }

    func submitTrailers(_ stream: HTTP2Stream, _ trailers: ByteBuffer) -> Bool {
        let answer = workspace.answer
        answer.beginTrailers()
        return trailers.withUnsafeReadableBytes { bytes in
            answer.add(bytes, skippingFirst: false)
            return answer.count > 0 && nghttp2_submit_trailer(session, stream.id, answer.fields, answer.count) == 0
        }
    }
}
