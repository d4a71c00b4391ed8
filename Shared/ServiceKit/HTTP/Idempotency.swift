import Contracts
import Crypto
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Postgres
import Synchronization

/// `Idempotency-Key` (IETF draft): the same key, tenant, principal and payload within 24 hours replays the first answer.
///
/// The key is kept as a hash only, and the answer is encrypted under a key derived from it: what an answer may hold (tokens,
/// an API key shown once) can be read back by nobody but the client that sends the same key again.
struct Idempotency: Sendable {
    let database: Database
    let now: @Sendable () -> Date

    static let maximumKeyLength = 255
    static let maximumStoredBytes = 1_000_000
    /// After this a request that never finished is taken for dead, and may run again.
    static let runningSeconds = 120.0
    /// How often, and how far apart, it is tried to note an answer.
    static let noteTries = 3
    static let notePause = Duration.milliseconds(200)

    enum Refusal: String, Failure {
        case reused = "idempotency-key-reused"
        case running = "idempotency-key-running"
        case malformed = "idempotency-key-malformed"

        var kind: FailureKind {
            switch self {
            case .reused: .unprocessable
            case .running: .conflict
            case .malformed: .invalid
            }
        }

        var detail: String? {
            switch self {
            case .reused: "This Idempotency-Key was used with another payload: take a new key for a new request."
            case .running: "The first request with this Idempotency-Key is still running: ask again shortly."
            case .malformed: "An Idempotency-Key has 1 to \(Idempotency.maximumKeyLength) printable characters."
            }
        }
    }

    private struct Answer: Codable, Sendable {
        let status: Int
        let contentType: String?
        let location: String?
        let entityTag: String?
        let cacheControl: String?
        /// What was streamed up, for endpoints that read their body themselves.
        let payload: Data?
        let body: Data
    }

    /// `streamed` is the digest of a body that the handler reads itself; it is complete only once the handler has run.
    func once(
        _ key: String, _ request: PublicRequest, caller: Caller, body: Data, streamed: BodyDigest?, _ run: () async throws -> Response
    ) async throws -> Response {
        guard (1...Self.maximumKeyLength).contains(key.utf8.count), key.utf8.allSatisfy({ $0 > 31 && $0 < 127 }) else {
            throw Refusal.malformed
        }
        let keyHash = Self.digest("key", key)
        // Where the caller is nobody, what the client proves itself with is a part of what was asked: an OAuth client's password is in
        // the header, and whoever has not got it must not be given the answer again.
        let proof = caller.principal == .anonymous ? [request.headers[.authorization] ?? "", request.headers[.cookie] ?? ""] : []
        // Keyed with what the database has not: a body may hold a password, and a plain hash of it would be cheaper to guess at than ours.
        let fingerprint = Data(
            HMAC<SHA256>.authenticationCode(
                for: Self.digest(
                    [
                        request.method.rawValue, request.path, request.headers[.contentLength] ?? "",
                        request.headers[.contentDisposition] ?? "", body.base64EncodedString(),
                    ] + proof), using: SymmetricKey(data: SHA256.hash(data: Data("fingerprint\u{0}\(key)".utf8)))))
        let secret = SymmetricKey(data: SHA256.hash(data: Data("answer\u{0}\(key)\u{0}\(caller.principalText)".utf8)))
        let store = IdempotencyStore(keyHash: keyHash, principal: caller.principalText)
        let now = now()

        let earlier = try await database.transaction(as: caller) { tx in
            try store.begin(fingerprint: fingerprint, now: now, staleBefore: now.addingTimeInterval(-Self.runningSeconds), in: tx)
        }
        if let earlier {
            guard earlier.fingerprint == fingerprint else { throw Refusal.reused }
            guard let sealed = earlier.answer else { throw Refusal.running }
            return try await replay(sealed, secret, request, streamed)
        }
        let response: Response
        do {
            response = try await run()
        } catch {
            // Nothing was done, or it was rolled back: the client may try again with the same key. With a dependency away that is not
            // certain (a commit may have been lost on its way back), so the key then stays taken until it counts as dead.
            if !(error is DependencyFailure) { _ = try? await database.execute(store.forget, as: caller) }
            throw error
        }
        return try await keep(response, store, caller, secret, streamed)
    }

    private func keep(
        _ response: Response, _ store: IdempotencyStore, _ caller: Caller, _ secret: SymmetricKey, _ streamed: BodyDigest?
    ) async throws -> Response {
        guard response.status.code < 500, let length = response.body.contentLength, length <= Self.maximumStoredBytes else {
            _ = try? await database.execute(store.forget, as: caller)
            return response
        }
        let collector = CollectingWriter()
        try await response.body.write(collector)
        let bytes = collector.bytes
        let answer = Answer(
            status: response.status.code, contentType: response.headers[.contentType], location: response.headers[.location],
            entityTag: response.headers[.eTag], cacheControl: response.headers[.cacheControl], payload: streamed?.value, body: bytes)
        let sealed = try AES.GCM.seal(try JSONEncoder().encode(answer), using: secret).combined ?? Data()
        // The work is committed: failing to note it must neither free the key nor turn the answer into an error. Without the note
        // the key counts as running for `runningSeconds`. A task of its own, because the caller's may be cancelled.
        let (database, finish) = (database, store.finish(sealed))
        await Task {
            for _ in 0..<Self.noteTries {
                if (try? await database.execute(finish, as: caller)) != nil { return }
                try? await Task.sleep(for: Self.notePause)
            }
        }.value
        var response = response
        response.body = .init(byteBuffer: ByteBuffer(bytes: bytes))
        return response
    }

    private func replay(
        _ sealed: Data, _ secret: SymmetricKey, _ request: PublicRequest, _ streamed: BodyDigest?
    ) async throws -> Response {
        let plain = try AES.GCM.open(try AES.GCM.SealedBox(combined: sealed), using: secret)
        let answer = try JSONDecoder().decode(Answer.self, from: plain)
        if let streamed {
            for try await _ in request.body {}
            guard answer.payload == streamed.value else { throw Refusal.reused }
        }
        var headers: HTTPFields = [.idempotencyReplayed: "true"]
        headers[.contentType] = answer.contentType
        headers[.location] = answer.location
        headers[.eTag] = answer.entityTag
        headers[.cacheControl] = answer.cacheControl
        return Response(status: .init(code: answer.status), headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: answer.body)))
    }

    private static func digest(_ parts: String...) -> Data { digest(parts) }

    private static func digest(_ parts: [String]) -> Data {
        Data(SHA256.hash(data: Data(parts.joined(separator: "\u{0}").utf8)))
    }
}

/// Hashes a streamed body as it is read, so that an answer is tied to its payload.
final class BodyDigest: Sendable {
    private let hash = Mutex(SHA256())

    var value: Data { hash.withLock { Data($0.finalize()) } }

    /// The same body; what is read of it is hashed.
    func reading(_ body: RequestBody) -> RequestBody {
        RequestBody(
            asyncSequence: body.map { [self] chunk in
                hash.withLock { $0.update(data: Data(chunk.readableBytesView)) }
                return chunk
            })
    }
}

/// The rows of `idempotency_keys`, one table of the same form in each service's schema (`migrations/_shared/idempotency.sql`).
private struct IdempotencyStore: Sendable {
    let keyHash: Data
    let principal: String

    struct Earlier: Sendable {
        let fingerprint: Data
        let answer: Data?
    }

    /// Takes the key, or says who has it. Two at once: one inserts, the other waits for it and then sees its row.
    func begin(fingerprint: Data, now: Date, staleBefore: Date, in tx: Transaction) throws -> Earlier? {
        let taken = try tx.execute(
            """
            INSERT INTO idempotency_keys (tenant_id, principal, key_hash, fingerprint, created_at)
            VALUES (\(tx.caller.tenant), \(principal), \(keyHash), \(fingerprint), \(now))
            ON CONFLICT (tenant_id, principal, key_hash) DO UPDATE
            SET fingerprint = excluded.fingerprint, created_at = excluded.created_at, answer = NULL
            WHERE idempotency_keys.created_at < \(now.addingTimeInterval(-86_400))
               OR (idempotency_keys.answer IS NULL AND idempotency_keys.created_at < \(staleBefore))
            """)
        if taken == 1 { return nil }
        return try tx.first(
            Query("SELECT fingerprint, answer FROM idempotency_keys WHERE principal = \(principal) AND key_hash = \(keyHash)") { row in
                Earlier(fingerprint: try row("fingerprint"), answer: try row("answer"))
            })
    }

    func finish(_ answer: Data) -> SQL {
        "UPDATE idempotency_keys SET answer = \(answer) WHERE principal = \(principal) AND key_hash = \(keyHash)"
    }

    var forget: SQL { "DELETE FROM idempotency_keys WHERE principal = \(principal) AND key_hash = \(keyHash) AND answer IS NULL" }
}

/// Holds a small body that has a known length.
private final class CollectingWriter: ResponseBodyWriter {
    private(set) var bytes = Data()
    func write(_ buffer: ByteBuffer) async throws { bytes.append(contentsOf: buffer.readableBytesView) }
    func finish(_ trailingHeaders: HTTPFields?) async throws {}
}
