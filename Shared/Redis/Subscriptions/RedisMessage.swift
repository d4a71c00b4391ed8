/// What a subscription yields.
package enum RedisMessage: Sendable, Hashable {
    /// From here on every message arrives.
    case subscribed
    /// Messages may have been lost: the connection was gone for a while, or the listener was too slow.
    case resubscribed
    case message(channel: String, payload: [UInt8])

    /// The payload as UTF-8, when this is a message.
    package var text: String? {
        if case .message(_, let payload) = self { String(decoding: payload, as: UTF8.self) } else { nil }
    }
}
