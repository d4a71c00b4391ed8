import CHiredis
import Foundation

/// One connection through hiredis, used by one thread. Not Sendable, so it cannot leave that thread.
final class HiredisConnection {
    enum Trouble: Error, Equatable {
        case cannotConnect(String)
        /// The server refused the handshake (a wrong password, a database that is not there, still loading).
        case refused(String)
        case broken(String)
        case timedOut

        /// What callers are told of it.
        var failure: RedisFailure { self == .timedOut ? .timedOut : .away }
        var reason: String {
            switch self {
            case .cannotConnect(let text), .refused(let text), .broken(let text): text
            case .timedOut: "no answer in time"
            }
        }
    }

    private let context: UnsafeMutablePointer<redisContext>

    /// Connects, signs in, selects the database and waits for the first answer.
    init(_ configuration: RedisConfiguration) throws(Trouble) {
        let limit = timeval(configuration.connectTimeout)
        guard let context = redisConnectWithTimeout(configuration.host, Int32(configuration.port), limit) else {
            throw .cannotConnect("out of memory")
        }
        self.context = context
        guard context.pointee.err == 0 else { throw .cannotConnect(Self.errorText(context)) }
        redisSetTimeout(context, timeval(configuration.timeout))
        redisEnableKeepAlive(context)
        for command in Self.handshake(configuration) {
            try append(CommandEncoding.encode(command))
            if case .error(let message) = try reply() { throw .refused(message) }
        }
    }

    deinit { redisFree(context) }

    private static func handshake(_ configuration: RedisConfiguration) -> [[String]] {
        var commands: [[String]] = []
        if let password = configuration.password {
            commands.append(["AUTH"] + [configuration.username, password].compactMap { $0 })
        }
        if configuration.database != 0 { commands.append(["SELECT", String(configuration.database)]) }
        commands.append(["PING"])
        return commands
    }

    var descriptor: Int32 { context.pointee.fd }

    /// Whether the server has hung up since the last answer: nothing may come unasked on a command connection.
    var isStale: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK) | Int32(MSG_DONTWAIT))
        return count >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
    }

    /// Sends all in one write and hands out the answers in their order. On trouble those not yet handed out have no answer.
    func exchange(_ commands: [[UInt8]], within timeout: Duration, answer: (Int, RedisValue) -> Void) throws(Trouble) {
        let deadline = ContinuousClock.now + timeout
        for command in commands { try append(command) }
        for index in commands.indices {
            if index > 0, ContinuousClock.now > deadline { throw .timedOut }
            answer(index, try reply())
        }
    }

    func probe() throws(Trouble) {
        try append(CommandEncoding.encode(["PING"]))
        if case .error(let message) = try reply() { throw .refused(message) }
    }

    // MARK: For subscriptions, where answers come unasked

    /// Writes a command now.
    func send(_ command: [String]) throws(Trouble) {
        try append(CommandEncoding.encode(command))
        var done: Int32 = 0
        while done == 0 {
            guard redisBufferWrite(context, &done) == REDIS_OK else { throw trouble() }
        }
    }

    /// Reads once from a socket that is known to be readable, and returns the whole answers that are there.
    func receive() throws(Trouble) -> [RedisValue] {
        guard redisBufferRead(context) == REDIS_OK else { throw trouble() }
        return try buffered()
    }

    private func buffered() throws(Trouble) -> [RedisValue] {
        var values: [RedisValue] = []
        while true {
            var raw: UnsafeMutableRawPointer?
            guard redisGetReplyFromReader(context, &raw) == REDIS_OK else { throw trouble() }
            guard let raw else { return values }
            defer { freeReplyObject(raw) }
            values.append(Self.value(raw.assumingMemoryBound(to: redisReply.self)))
        }
    }

    // MARK: The C calls

    private func append(_ command: [UInt8]) throws(Trouble) {
        let status = command.withUnsafeBytes { bytes in
            redisAppendFormattedCommand(context, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        guard status == REDIS_OK else { throw trouble() }
    }

    private func reply() throws(Trouble) -> RedisValue {
        var raw: UnsafeMutableRawPointer?
        errno = 0
        guard redisGetReply(context, &raw) == REDIS_OK, let raw else { throw trouble() }
        defer { freeReplyObject(raw) }
        return Self.value(raw.assumingMemoryBound(to: redisReply.self))
    }

    private func trouble() -> Trouble {
        let code = errno
        if context.pointee.err == REDIS_ERR_IO, code == EAGAIN || code == EWOULDBLOCK { return .timedOut }
        return .broken(Self.errorText(context))
    }

    private static func errorText(_ context: UnsafeMutablePointer<redisContext>) -> String {
        withUnsafeBytes(of: &context.pointee.errstr) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    }

    private static func value(_ reply: UnsafeMutablePointer<redisReply>) -> RedisValue {
        let reply = reply.pointee
        func text() -> String { String(decoding: UnsafeRawBufferPointer(start: reply.str, count: reply.len), as: UTF8.self) }
        switch reply.type {
        case REDIS_REPLY_STRING: return .bytes([UInt8](UnsafeRawBufferPointer(start: reply.str, count: reply.len)))
        case REDIS_REPLY_INTEGER: return .integer(Int(reply.integer))
        case REDIS_REPLY_ARRAY:
            return .array((0..<reply.elements).map { index in reply.element[index].map { value($0) } ?? .null })
        case REDIS_REPLY_STATUS: return .status(text())
        case REDIS_REPLY_ERROR: return .error(text())
        default: return .null
        }
    }
}

extension timeval {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}
