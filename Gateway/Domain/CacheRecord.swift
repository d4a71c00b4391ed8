import NIOCore

/// An answer, or what answers vary by, as bytes in Redis. All numbers have the first byte first.
///
/// `version 1 · kind 1 · generation 8 · mark 8`, then for an answer `status 2 · made at 8 · lifetime 4 · while revalidating 4 ·
/// on errors 4 · length of the lines 4 · lines · body`, for a variation `per principal 1 · names, a line feed between`.
enum CacheRecord: Sendable {
    struct Answer: Sendable, Equatable {
        var status = 0
        /// Seconds since 1970 at which its age was 0.
        var madeAt = 0
        var lifetime = 0
        var staleWhileRevalidate = 0
        var staleIfError = 0
        var lines = ByteBuffer()
        var body = ByteBuffer()

        func stored(now: UInt64, wall: Int) -> StoredAnswer {
            let freshness = CacheFreshness(
                lifetime: lifetime, staleWhileRevalidate: staleWhileRevalidate, staleIfError: staleIfError,
                initialAge: max(0, wall - madeAt))
            return StoredAnswer(status: status, lines: lines, body: body, freshness: freshness, receivedAt: now)
        }
    }

    case answer(Answer)
    case variation(CacheVariation)

    private static let version: UInt8 = 1
    private static let answerKind: UInt8 = 1
    private static let variationKind: UInt8 = 2
    private static let stampBytes = 8

    /// Nil when there is nothing, it cannot be read, or it was kept under another generation.
    init?(_ bytes: [UInt8]?, under token: ResponseCacheRemote.Token) {
        guard let bytes, let generation = token.generation else { return nil }
        var buffer = ByteBuffer(bytes: bytes)
        guard buffer.readInteger(as: UInt8.self) == Self.version, let kind = buffer.readInteger(as: UInt8.self),
            buffer.readBytes(length: Self.stampBytes) == Self.stamp(generation),
            buffer.readBytes(length: Self.stampBytes) == Self.stamp(token.mark)
        else { return nil }
        switch kind {
        case Self.answerKind:
            guard let answer = Self.answer(&buffer) else { return nil }
            self = .answer(answer)
        case Self.variationKind:
            guard let perPrincipal = buffer.readInteger(as: UInt8.self) else { return nil }
            let names = buffer.readableBytesView.split(separator: 10).map { Array($0) }
            self = .variation(CacheVariation(fields: names, perPrincipal: perPrincipal == 1))
        default: return nil
        }
    }

    private static func answer(_ buffer: inout ByteBuffer) -> Answer? {
        guard let status = buffer.readInteger(as: UInt16.self), let madeAt = buffer.readInteger(as: Int64.self),
            let lifetime = buffer.readInteger(as: UInt32.self), let revalidating = buffer.readInteger(as: UInt32.self),
            let onErrors = buffer.readInteger(as: UInt32.self), let length = buffer.readInteger(as: UInt32.self),
            let lines = buffer.readSlice(length: Int(length))
        else { return nil }
        return Answer(
            status: Int(status), madeAt: Int(madeAt), lifetime: Int(lifetime), staleWhileRevalidate: Int(revalidating),
            staleIfError: Int(onErrors), lines: lines, body: buffer)
    }

    static func bytes(of answer: StoredAnswer, under token: ResponseCacheRemote.Token, now: UInt64, wall: Int) -> [UInt8] {
        var buffer = start(answerKind, token, answer.lines.readableBytes + answer.body.readableBytes)
        buffer.writeInteger(UInt16(clamping: answer.status))
        buffer.writeInteger(Int64(wall - answer.age(now)))
        buffer.writeInteger(UInt32(clamping: answer.freshness.lifetime))
        buffer.writeInteger(UInt32(clamping: answer.freshness.staleWhileRevalidate))
        buffer.writeInteger(UInt32(clamping: answer.freshness.staleIfError))
        buffer.writeInteger(UInt32(clamping: answer.lines.readableBytes))
        buffer.writeImmutableBuffer(answer.lines)
        buffer.writeImmutableBuffer(answer.body)
        return Array(buffer.readableBytesView)
    }

    static func bytes(of variation: CacheVariation, under token: ResponseCacheRemote.Token) -> [UInt8] {
        var buffer = start(variationKind, token, 64)
        buffer.writeInteger(UInt8(variation.perPrincipal ? 1 : 0))
        for (index, name) in variation.fields.enumerated() {
            if index > 0 { buffer.writeInteger(UInt8(10)) }
            buffer.writeBytes(name)
        }
        return Array(buffer.readableBytesView)
    }

    private static func start(_ kind: UInt8, _ token: ResponseCacheRemote.Token, _ bytes: Int) -> ByteBuffer {
        var buffer = ByteBuffer()
        buffer.reserveCapacity(bytes + 64)
        buffer.writeInteger(version)
        buffer.writeInteger(kind)
        buffer.writeBytes(stamp(token.generation ?? []))
        buffer.writeBytes(stamp(token.mark))
        return buffer
    }

    /// Eight bytes, whatever Redis held.
    private static func stamp(_ bytes: [UInt8]) -> [UInt8] {
        Array((bytes + [UInt8](repeating: 0, count: stampBytes)).prefix(stampBytes))
    }
}
