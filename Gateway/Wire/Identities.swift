import Contracts
import NIOCore
import ServiceKit

/// Who calls, with all that is needed at the next request of theirs: made once for a credential, found again by its digest.
final class Identity {
    let verified: VerifiedToken
    /// The token as it was shown; empty where a key was.
    private let token: [UInt8]
    /// `Authorization: Bearer …` with its CRLF, where the client sent something else than a token.
    let replacement: [UInt8]?
    let principalText: String
    let tenantText: String
    private let buckets = HeldBuckets()
    /// With whom kept answers are shared.
    private(set) lazy var cacheScope = CacheScope(verified.caller)

    init(_ verified: VerifiedToken, token: UnsafeRawBufferPointer? = nil, replacement: [UInt8]? = nil) {
        self.verified = verified
        self.token = token.map { Array($0) } ?? []
        self.replacement = replacement
        principalText = verified.caller.principalText
        tenantText = "\(verified.caller.tenant)"
    }

    var caller: Caller { verified.caller }

    /// Whether this is the very token. Takes as long whatever the bytes are: two callers may share a connection, behind a proxy.
    func isToken(_ bytes: UnsafeRawBufferPointer) -> Bool {
        guard bytes.count == token.count else { return false }
        return token.withUnsafeBytes { own in
            var difference: UInt8 = 0
            for index in 0..<bytes.count { difference |= own[index] ^ bytes[index] }
            return difference == 0
        }
    }

    /// Adds the buckets that a request on this route counts against.
    func addBuckets(_ route: Route, _ visitor: Visitor?, _ policy: Policy, _ book: LimitBook, to group: inout LimitGroup) {
        for bucket in buckets.of(route, policy, make: { make(route, policy, book) }) { group.add(bucket) }
        // The same token may come from elsewhere next time: what counts for an address is held with where it comes from.
        if route.limitsAddresses { visitor?.addAddressBuckets(route, plan: caller.plan, policy, book, to: &group) }
    }

    private func make(_ route: Route, _ policy: Policy, _ book: LimitBook) -> [LimitBucket] {
        policy.plans.resolve(route.limits, plan: caller.plan).compactMap { rule in
            guard rule.subject != .address,
                let subject = rule.subject.subject(principal: principalText, tenant: tenantText, address: "", account: nil)
            else { return nil }
            return book.bucket(rule.policy, subject: rule.subjectText(subject))
        }
    }
}

extension Visitor {
    /// Plans of which the buckets are held for one address.
    private static let mostPlans = 8

    /// Adds the buckets of a request that shows no credential.
    func addBuckets(_ route: Route, _ policy: Policy, _ book: LimitBook, to group: inout LimitGroup) {
        for bucket in buckets.of(route, policy, make: { make(route.limits, book) }) { group.add(bucket) }
    }

    /// Adds those that count for the address whoever calls from it.
    fileprivate func addAddressBuckets(_ route: Route, plan: String?, _ policy: Policy, _ book: LimitBook, to group: inout LimitGroup) {
        let name = plan ?? ""
        if callerBuckets[name] == nil, callerBuckets.count >= Self.mostPlans { callerBuckets.removeAll() }
        let held = callerBuckets[name, default: HeldBuckets()]
        callerBuckets[name] = held
        let made = held.of(route, policy) { make(policy.plans.resolve(route.limits, plan: plan).filter { $0.subject == .address }, book) }
        for bucket in made { group.add(bucket) }
    }

    private func make(_ rules: [LimitRule], _ book: LimitBook) -> [LimitBucket] {
        rules.compactMap { rule in
            rule.subject.subject(principal: nil, tenant: nil, address: limitSubject, account: nil).map {
                book.bucket(rule.policy, subject: rule.subjectText($0))
            }
        }
    }
}

/// The buckets of one subject by route, looked up once for as long as a policy is in force. Used on one event loop.
final class HeldBuckets {
    /// Routes beyond this begin anew: a subject calls a few of them again and again.
    static let maximum = 64

    /// The routes themselves, held: what they have in common (a label, and with it an id) says nothing of their limits.
    private var routes: [Route] = []
    /// Beside `routes`.
    private var held: [[LimitBucket]] = []
    private var generation = -1

    @inline(__always)
    func of(_ route: Route, _ policy: Policy, make: () -> [LimitBucket]) -> [LimitBucket] {
        if generation == policy.generation {
            for index in routes.indices where routes[index] === route { return held[index] }
        }
        if generation != policy.generation || routes.count >= Self.maximum {
            generation = policy.generation
            routes.removeAll(keepingCapacity: true)
            held.removeAll(keepingCapacity: true)
        }
        let made = make()
        routes.append(route)
        held.append(made)
        return made
    }
}

/// Whom trusted proxies saw of late, on one event loop: their connections carry everybody's requests.
final class Visitors {
    /// Beyond this all are forgotten; they are made anew in a moment.
    static let maximum = 10_000

    private struct Key: Hashable {
        let text: String
        let isEncrypted: Bool
    }

    private var known: [Key: Visitor] = [:]

    var count: Int { known.count }

    func find(_ text: String, isEncrypted: Bool) -> Visitor {
        let key = Key(text: text, isEncrypted: isEncrypted)
        if let visitor = known[key] { return visitor }
        if known.count >= Self.maximum { known.removeAll(keepingCapacity: true) }
        let visitor = Visitor(text: text, address: NetworkAddress(text), isEncrypted: isEncrypted)
        known[key] = visitor
        return visitor
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

    /// Whose the token is that stands there. Most connections show the same one again and again: that needs no digest.
    func find(_ head: RequestHead, _ place: Place, on connection: ConnectionFacts?) -> Found {
        if let last = connection?.lastCaller, head.with(place, last.isToken),
            case .caller = verifier.check(last.verified, at: WallClock.seconds())
        {
            return .known(last)
        }
        let found = head.with(place, find(token:))
        if case .known(let identity) = found { connection?.lastCaller = identity }
        return found
    }

    func find(token: UnsafeRawBufferPointer) -> Found {
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
            let identity = Identity(verified, token: token)
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
