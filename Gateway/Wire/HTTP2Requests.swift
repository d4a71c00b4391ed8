import CNghttp2
import NIOCore
import Synchronization

/// What the library tells of a connection: frames, fields and bodies of its requests, and their end.
extension HTTP2Connection {
    func began(_ header: nghttp2_frame_hd) -> Int32 {
        switch UInt32(header.type) {
        case NGHTTP2_HEADERS.rawValue, NGHTTP2_CONTINUATION.rawValue: return 0
        case NGHTTP2_DATA.rawValue where header.length > 0 || header.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0: return 0
        case NGHTTP2_WINDOW_UPDATE.rawValue: windowFrames &+= 1
        default: otherFrames &+= 1
        }
        if windowFrames > Self.maximumWindowFrames || otherFrames > Self.maximumOtherFrames { calm() }
        return 0
    }

    func beganHeaders(_ frame: UnsafePointer<nghttp2_frame>) -> Int32 {
        headTicks = 0
        guard frame.pointee.headers.cat == NGHTTP2_HCAT_REQUEST else {
            headStream = HTTP2Session.stream(session, frame.pointee.hd.stream_id)
            trailers = nil
            trailerFields = 0
            return 0
        }
        begun += 1
        let stream = HTTP2Stream(id: frame.pointee.hd.stream_id, owner: self, out: workspace.takeBuffer())
        stream.index = streams.count
        streams.append(stream)
        nghttp2_session_set_stream_user_data(session, stream.id, Unmanaged.passUnretained(stream).toOpaque())
        headStream = stream
        fields.begin(into: workspace.takeBuffer())
        return 0
    }

    func field(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) {
        guard let headStream else { return }
        if !headStream.hasBegun {
            fields.add(name, nameCount, value, valueCount)
        } else {
            trailer(name, nameCount, value, valueCount)
        }
    }

    /// Only fields that say nothing of framing, routing or credentials go on; beyond the limits of HTTP/1.1's, none.
    private func trailer(_ name: UnsafePointer<UInt8>, _ nameCount: Int, _ value: UnsafePointer<UInt8>, _ valueCount: Int) {
        trailerFields += 1
        guard nameCount > 0, trailerFields <= BodyReader.maximumTrailerFields, ByteClass.isValue(value, valueCount),
            (trailers?.readableBytes ?? 0) + nameCount + valueCount + 4 <= BodyReader.maximumTrailers,
            FieldNames.request(name, nameCount).mayTrail, FieldNames.response(name, nameCount).mayTrail
        else { return }
        var lines = trailers ?? ByteBuffer()
        trailers = nil
        HTTP2RequestFields.write(name, nameCount, value, valueCount, to: &lines)
        trailers = lines
    }

    func received(_ frame: UnsafePointer<nghttp2_frame>) {
        let isEnd = frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_END_STREAM.rawValue) != 0
        switch UInt32(frame.pointee.hd.type) {
        case NGHTTP2_HEADERS.rawValue:
            guard let stream = headStream else { return }
            headStream = nil
            if !stream.hasBegun {
                begin(stream, isWhole: isEnd)
            } else if isEnd {
                stream.receivedEnd(trailers: trailers)
                trailers = nil
            }
        case NGHTTP2_DATA.rawValue where isEnd:
            HTTP2Session.stream(session, frame.pointee.hd.stream_id)?.receivedEnd(trailers: nil)
        case NGHTTP2_PING.rawValue where frame.pointee.hd.flags & UInt8(NGHTTP2_FLAG_ACK.rawValue) != 0: lastCall()
        default: break
        }
    }

    private func begin(_ stream: HTTP2Stream, isWhole: Bool) {
        if begun >= limits.requests { drain() }
        switch fields.finish(hasBody: !isWhole) {
        case .malformed: reset(stream, NGHTTP2_PROTOCOL_ERROR)
        case .tooLarge: stream.refuse(.headTooLarge, source.clientExchange(for: stream), isWhole: isWhole)
        case .head(let bytes):
            let head = source.requestHead()
            var unread = bytes
            do throws(HeadRefusal) {
                // Whole, since it was written as such.
                guard try head.parse(&unread) else { throw .malformedLine }
            } catch {
                source.giveBack(head)
                return stream.refuse(error, source.clientExchange(for: stream), isWhole: isWhole)
            }
            stream.begin(head, in: bytes, source.clientExchange(for: stream), isWhole: isWhole)
        }
    }

    func receivedBody(_ id: Int32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard let base = inputBase, count > 0 else { return }
        let at = input.readerIndex + base.distance(to: UnsafeRawPointer(bytes))
        guard let stream = HTTP2Session.stream(session, id), let slice = input.getSlice(at: at, length: count) else {
            return consumeOfConnection(count)
        }
        stream.received(slice)
    }

    func streamClosed(_ id: Int32, _ error: UInt32) {
        guard let stream = HTTP2Session.stream(session, id) else { return }
        nghttp2_session_set_stream_user_data(session, id, nil)
        if headStream === stream {
            headStream = nil
            fields.drop()
        }
        if stream.index < streams.count, streams[stream.index] === stream {
            let last = streams.removeLast()
            if last !== stream {
                streams[stream.index] = last
                last.index = stream.index
            }
        }
        release(stream)
        if error != NGHTTP2_NO_ERROR.rawValue, !stream.isGivenUp {
            counters.resetStreams.add(1, ordering: .relaxed)
            if !resets.take() { calm() }
        }
    }

    func release(_ stream: HTTP2Stream) {
        stream.closed()
        workspace.give(stream.takeHeadBytes())
        workspace.give(stream.takeOut())
    }

    /// A client that makes work without end is told so and left.
    private func calm() {
        guard !isCalmed else { return }
        isCalmed = true
        counters.calmed.add(1, ordering: .relaxed)
        nghttp2_session_terminate_session(session, NGHTTP2_ENHANCE_YOUR_CALM.rawValue)
        sendSoon()
    }
}
