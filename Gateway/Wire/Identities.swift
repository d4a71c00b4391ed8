import Contracts
import NIOCore
import ServiceKit

/// Who calls, with all that is needed at the next request of theirs: made once for a credential, found again by its digest.
final class Identity {
    let verified: VerifiedToken
    /// `Authorization: Bearer …` with its CRLF, where the client sent something else than a token.
    let replacement: [UInt8]?
    let principalText: String
    let tenantText: String
    private var routeBuckets: [Int: [LimitBucket]] = [:]
    private var policyGeneration = -1
    /// With whom kept answers are shared.
    private(set) lazy var cacheScope = CacheScope(verified.caller)

    init(_ verified: VerifiedToken, replacement: [UInt8]? = nil) {
        self.verified = verified
        self.replacement = replacement
        principalText = verified.caller.principalText
        tenantText = "\(verified.caller.tenant)"
    }

    var caller: Caller { verified.caller }

    /// Adds the buckets that a request on this route counts against.
    func addBuckets(_ route: Route, _ visitor: Visitor?, _ policy: Policy, _ book: LimitBook, to group: inout LimitGroup) {
        if policyGeneration != policy.generation {
            policyGeneration = policy.generation
            routeBuckets.removeAll(keepingCapacity: true)
        }
        if let known = routeBuckets[route.id] {
            for bucket in known { group.add(bucket) }
            return
        }
        let address = visitor?.limitSubject ?? ""
        var isOfAddress = false
        var buckets: [LimitBucket] = []
        for rule in policy.plans.resolve(route.limits, plan: caller.plan) {
            if rule.subject == .address { isOfAddress = true }
            guard
                let subject = rule.subject.subject(principal: principalText, tenant: tenantText, address: address, account: nil)
            else { continue }
            buckets.append(book.bucket(rule.policy, subject: rule.subjectText(subject)))
        }
        for bucket in buckets { group.add(bucket) }
        // The same token may come from elsewhere next time.
        if !isOfAddress { routeBuckets[route.id] = buckets }
    }
}

extension Visitor {
    /// Adds the buckets of a request that shows no credential.
    func addBuckets(_ route: Route, _ policy: Policy, _ book: LimitBook, to group: inout LimitGroup) {
        for rule in route.limits {
            guard let subject = rule.subject.subject(principal: nil, tenant: nil, address: limitSubject, account: nil) else { continue }
            group.add(book.bucket(rule.policy, subject: rule.subjectText(subject)))
        }
    }
}

/// Tokens and keys that were found good, by their digests, on one event loop.
final class Identities {
    /// Beyond this those are forgotten that have expired, and if that is not enough all of them.
    static let maximum = 20_000

    /// Seconds before its end at which the token of a key is no longer used.
    static let renewBefore = 5

    enum Found {
        case known(Identity)
        case refused(AccessFailure)
        /// Signed by a key that must be fetched first.
        case unknownKey
    }

    private let verifier: TokenVerifier
    private var known: [TokenDigest: Identity] = [:]

    init(verifier: TokenVerifier) { self.verifier = verifier }

    var count: Int { known.count }

    /// Whose the token is that stands there.
    @inline(__always)
    func find(_ head: RequestHead, _ place: Place) -> Found { head.with(place, find) }

    func find(_ token: UnsafeRawBufferPointer) -> Found {
        let digest = TokenDigest(of: token)
        let now = WallClock.seconds()
        if let identity = known[digest] {
            switch verifier.check(identity.verified, at: now) {
            case .caller: return .known(identity)
            case .refused(let failure):
                known[digest] = nil
                return .refused(failure)
            case .needsKeys: return .unknownKey
            }
        }
        switch verifier.verifyNow(token, digest: digest, at: now) {
        case .caller(let verified):
            // A program's own token opens internal calls, and those do not come through here.
            if case .service = verified.caller.principal { return .refused(.badToken) }
            let identity = Identity(verified)
            keep(identity, digest)
            return .known(identity)
        case .refused(let failure): return .refused(failure)
        case .needsKeys: return .unknownKey
        }
    }

    /// Whose the key is that was exchanged a short while ago; nil where auth must be asked.
    func find(key: UnsafeRawBufferPointer) -> Identity? {
        let digest = TokenDigest(of: key)
        guard let identity = known[digest] else { return nil }
        let now = WallClock.seconds()
        if identity.verified.expires > now + Self.renewBefore, case .caller = verifier.check(identity.verified, at: now) { return identity }
        known[digest] = nil
        return nil
    }

    /// Keeps a key with the token that it was exchanged for; nil where the token is not good any more.
    func keep(key: String, token: String) -> Identity? {
        var key = key, token = token
        let verdict = token.withUTF8 { verifier.verifyNow(UnsafeRawBufferPointer($0), at: WallClock.seconds()) }
        guard case .caller(let verified) = verdict else { return nil }
        let identity = Identity(verified, replacement: Array("Authorization: Bearer \(token)\r\n".utf8))
        keep(identity, key.withUTF8 { TokenDigest(of: UnsafeRawBufferPointer($0)) })
        return identity
    }

    private func keep(_ identity: Identity, _ digest: TokenDigest) {
        if known.count >= Self.maximum {
            let now = WallClock.seconds()
            known = known.filter { $0.value.verified.expires > now }
            if known.count >= Self.maximum { known.removeAll(keepingCapacity: true) }
        }
        known[digest] = identity
    }
}

