import Contracts
import Crypto

/// Among whom a kept answer may be shared. Made once for each identity and held with it, so that no request pays for it.
///
/// Callers share what is `public` when organization, kind of principal, roles, permissions, plan and strength of sign-in are all the
/// same: whoever may do less never gets what was fetched for somebody who may do more.
final class CacheScope: Sendable {
    /// Whose events purge it: the organization's id, or `public` for those who have not signed in.
    let tenant: String
    let isAnonymous: Bool
    /// 32 bytes that stand for everybody with the same rights in the organization.
    let shared: [UInt8]
    /// 32 bytes that stand for this principal with these rights.
    let own: [UInt8]

    static let everybody = "public"
    static let anonymous = CacheScope(slug: nil)

    /// Nobody has signed in; the organization may be named by the address or `X-Tenant-Slug`.
    init(slug: String?) {
        tenant = Self.everybody
        isAnonymous = true
        shared = Self.digest(["anonymous", slug ?? ""])
        own = shared
    }

    init(_ caller: Caller) {
        tenant = caller.tenant.description
        if case .anonymous = caller.principal { isAnonymous = true } else { isAnonymous = false }
        let kind = caller.principalText.split(separator: ":", maxSplits: 1).first.map(String.init) ?? ""
        let common =
            ["caller", tenant, kind, caller.plan ?? "", caller.client == nil ? "" : "client", caller.impersonator == nil ? "" : "as"]
            + [Self.list(caller.roles), Self.list(caller.permissions.permissions.map(\.description)), Self.list(caller.methods)]
        shared = Self.digest(common)
        own = Self.digest(common + [caller.principalText])
    }

    private static func list(_ texts: [String]) -> String { texts.sorted().map { "\($0.utf8.count):\($0)" }.joined() }

    /// Every text with its length before it, so that no two lists run together into the same bytes.
    private static func digest(_ texts: [String]) -> [UInt8] {
        var hash = SHA256()
        for text in texts { hash.update(data: Array("\(text.utf8.count):\(text)".utf8)) }
        return Array(hash.finalize())
    }
}

/// The name of a kept answer: SHA-256 of all that it depends on, so that nobody can make two requests that share one.
struct CacheKey: Hashable, Sendable {
    let words: (UInt64, UInt64, UInt64, UInt64)

    init(_ digest: SHA256.Digest) {
        words = digest.withUnsafeBytes {
            (
                $0.loadUnaligned(fromByteOffset: 0, as: UInt64.self), $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self),
                $0.loadUnaligned(fromByteOffset: 16, as: UInt64.self), $0.loadUnaligned(fromByteOffset: 24, as: UInt64.self)
            )
        }
    }

    /// Of a path and query as one scope sees them.
    init(scope: [UInt8], service: ServiceName, target: UnsafeRawBufferPointer) {
        var hash = SHA256()
        scope.withUnsafeBytes { hash.update(bufferPointer: $0) }
        var name = service.rawValue
        name.withUTF8 { hash.update(bufferPointer: UnsafeRawBufferPointer($0)) }
        withUnsafeBytes(of: UInt8(0)) { hash.update(bufferPointer: $0) }
        hash.update(bufferPointer: target)
        self.init(hash.finalize())
    }

    /// Of one of several answers to the same path and query: that for these values of the request's fields.
    init(_ resource: CacheKey, _ variation: CacheVariation, of question: CacheQuestion, scope: CacheScope) {
        var hash = SHA256()
        withUnsafeBytes(of: resource.words) { hash.update(bufferPointer: $0) }
        if variation.perPrincipal { scope.own.withUnsafeBytes { hash.update(bufferPointer: $0) } }
        for name in variation.fields {
            question.eachValue(of: name) { value in
                name.withUnsafeBytes { hash.update(bufferPointer: $0) }
                withUnsafeBytes(of: UInt64(value.count)) { hash.update(bufferPointer: $0) }
                hash.update(bufferPointer: value)
            }
        }
        self.init(hash.finalize())
    }

    /// 64 characters, for Redis.
    var text: String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        text.reserveCapacity(64)
        withUnsafeBytes(of: words) { for byte in $0 { text += [digits[Int(byte >> 4)], digits[Int(byte & 15)]] } }
        return String(decoding: text, as: UTF8.self)
    }

    static func == (left: CacheKey, right: CacheKey) -> Bool {
        left.words.0 == right.words.0 && left.words.1 == right.words.1 && left.words.2 == right.words.2 && left.words.3 == right.words.3
    }

    /// The digest is as even as a hash can be; the key of a table needs no more of it.
    func hash(into hasher: inout Hasher) { hasher.combine(words.0) }
}

/// What an answer depends on beside path and query: the request's fields that `Vary` names, in lower case, and perhaps the principal.
struct CacheVariation: Sendable, Equatable {
    /// More than these and the answer is not kept.
    static let mostFields = 8

    var fields: [[UInt8]] = []
    var perPrincipal = false
    var isPlain: Bool { fields.isEmpty && !perPrincipal }
}

/// What is purged together: the answers of one service for one organization, or for those who have not signed in.
struct CacheGroup: Hashable, Sendable {
    let tenant: String
    let service: ServiceName
}

/// A path without its query, for telling that an unsafe method has changed it.
struct CachePath: Hashable, Sendable {
    let hash: UInt64

    /// FNV-1a: two paths of one hash are purged together, which does no harm.
    init(_ target: UnsafeRawBufferPointer) {
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325
        for byte in target {
            if byte == UInt8(ascii: "?") { break }
            hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3
        }
        self.hash = hash
    }
}
