import CNghttp2
import NIOCore

/// What nghttp2 calls, and how a session is set up. The session belongs to its `HTTP2Connection`, whose address is the user data.
enum HTTP2Session {
    /// Nil without memory. The caller ends it by `nghttp2_session_del`.
    static func make(for connection: HTTP2Connection, limits: HTTP2Limits, maximumHeadBytes: Int) -> OpaquePointer? {
        var option: OpaquePointer?
        guard nghttp2_option_new(&option) == 0, let option else { return nil }
        defer { nghttp2_option_del(option) }
        // Windows are given back when a service has taken the bytes, not when they came.
        nghttp2_option_set_no_auto_window_update(option, 1)
        nghttp2_option_set_no_closed_streams(option, 1)
        nghttp2_option_set_max_outbound_ack(option, limits.waitingAcknowledgements)
        nghttp2_option_set_max_settings(option, limits.settingsEntries)
        nghttp2_option_set_stream_reset_rate_limit(option, UInt64(limits.resetBurst), UInt64(limits.resetsPerSecond))
        nghttp2_option_set_max_continuations(option, limits.continuations)
        nghttp2_option_set_server_fallback_rfc7540_priorities(option, 0)
        var session: OpaquePointer?
        let address = Unmanaged.passUnretained(connection).toOpaque()
        guard nghttp2_session_server_new2(&session, callbacks, address, option) == 0, let session else { return nil }
        var settings = [
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS.rawValue), value: limits.concurrentStreams),
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE.rawValue), value: limits.streamWindow),
            nghttp2_settings_entry(
                settings_id: Int32(NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE.rawValue), value: UInt32(clamping: maximumHeadBytes)),
            // Extended priorities (RFC 9218) instead of the tree of RFC 7540, which costs more than it gives.
            nghttp2_settings_entry(settings_id: Int32(NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES.rawValue), value: 1),
        ]
        let flags = UInt8(NGHTTP2_FLAG_NONE.rawValue)
        guard nghttp2_submit_settings(session, flags, &settings, settings.count) == 0,
            nghttp2_session_set_local_window_size(session, flags, 0, limits.connectionWindow) == 0
        else {
            nghttp2_session_del(session)
            return nil
        }
        return session
    }

    @inline(__always)
    static func connection(_ data: UnsafeMutableRawPointer?) -> HTTP2Connection {
        // Set once in `make`, and never nil while a session calls.
        Unmanaged<HTTP2Connection>.fromOpaque(data!).takeUnretainedValue()
    }

    @inline(__always)
    static func stream(_ session: OpaquePointer?, _ id: Int32) -> HTTP2Stream? {
        guard let data = nghttp2_session_get_stream_user_data(session, id) else { return nil }
        return Unmanaged<HTTP2Stream>.fromOpaque(data).takeUnretainedValue()
    }

    /// Copied into each session. Filled once, read by all event loops.
    nonisolated(unsafe) private static let callbacks: OpaquePointer? = {
        var made: OpaquePointer?
        guard nghttp2_session_callbacks_new(&made) == 0, let made else { return nil }
        nghttp2_session_callbacks_set_on_begin_frame_callback(made) { _, header, data in
            guard let header else { return 0 }
            return HTTP2Session.connection(data).began(header.pointee)
        }
        nghttp2_session_callbacks_set_on_begin_headers_callback(made) { session, frame, data in
            guard let frame else { return 0 }
            return HTTP2Session.connection(data).beganHeaders(frame)
        }
        nghttp2_session_callbacks_set_on_header_callback(made) { _, _, name, nameCount, value, valueCount, _, data in
            guard let name, let value else { return 0 }
            HTTP2Session.connection(data).field(name, nameCount, value, valueCount)
            return 0
        }
        // The default is to forget such a field; but a message with one is malformed.
        nghttp2_session_callbacks_set_on_invalid_header_callback(made) { _, _, _, _, _, _, _, _ in
            NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue
        }
        nghttp2_session_callbacks_set_on_frame_recv_callback(made) { _, frame, data in
            guard let frame else { return 0 }
            HTTP2Session.connection(data).received(frame)
            return 0
        }
        nghttp2_session_callbacks_set_on_data_chunk_recv_callback(made) { _, _, id, bytes, count, data in
            guard let bytes else { return 0 }
            HTTP2Session.connection(data).receivedBody(id, bytes, count)
            return 0
        }
        nghttp2_session_callbacks_set_on_stream_close_callback(made) { _, id, error, data in
            HTTP2Session.connection(data).streamClosed(id, error)
            return 0
        }
        nghttp2_session_callbacks_set_send_data_callback(made) { _, frame, header, count, _, data in
            guard let frame, let header else { return NGHTTP2_ERR_CALLBACK_FAILURE.rawValue }
            return HTTP2Session.connection(data).sendData(frame.pointee.hd.stream_id, header, count)
        }
        return made
    }()

    /// Where the library takes the bytes of an answer from.
    static let source:
        @convention(c) (
            OpaquePointer?, Int32, UnsafeMutablePointer<UInt8>?, Int, UnsafeMutablePointer<UInt32>?,
            UnsafeMutablePointer<nghttp2_data_source>?, UnsafeMutableRawPointer?
        ) -> Int = { session, id, _, limit, flags, _, _ in
            guard let flags, let stream = HTTP2Session.stream(session, id) else {
                return Int(NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE.rawValue)
            }
            return stream.offer(limit, flags)
        }
}
