/// How long an answer is fresh, and for how long it may be used after that. In seconds.
struct CacheFreshness: Sendable, Equatable {
    var lifetime: Int
    /// While somebody fetches it anew (RFC 5861, section 3).
    var staleWhileRevalidate: Int
    /// While the service fails (RFC 5861, section 4).
    var staleIfError: Int
    /// How old it was when it came.
    var initialAge: Int
}

/// Whether a shared cache may keep an answer (RFC 9111, sections 3 and 4.2), and how long. Nothing is ever guessed: without
/// `public` or `s-maxage` from the service, and without seconds or a date, nothing is kept.
enum CachePolicy: Sendable, Equatable {
    case keep(CacheFreshness, CacheVariation)
    case leave(Reason)

    enum Reason: Sendable, Equatable {
        /// The status is not one of those that are kept. It says nothing of the next answer.
        case status
        /// The service does not say that a shared cache may keep it, or says that none may.
        case notAllowed
        /// `Set-Cookie` is for one browser.
        case cookie
        /// `Vary: *`, or more fields than we look at.
        case varies
        /// No lifetime, or one of 0 with nothing to ask again by.
        case lifetime
    }

    static func keeps(status: Int) -> Bool {
        switch status {
        case 200, 203, 301, 308, 404, 410: true
        default: false
        }
    }

    /// - Parameters:
    ///   - wall: seconds since 1970, for dates alone.
    ///   - delay: seconds from the question to the answer.
    static func judge(_ head: ResponseHead, rule: CacheRule, scope: CacheScope, wall: Int, delay: Int) -> CachePolicy {
        guard keeps(status: head.status) else { return .leave(.status) }
        if head.has(.setCookie) { return .leave(.cookie) }
        var control = CacheControl()
        head.eachValue(.cacheControl) { control.read($0) }
        let isAllowed = control.flags.contains(.isPublic) || control.sharedMaxAge != nil
        guard isAllowed, control.flags.isDisjoint(with: [.isPrivate, .noStore]) else { return .leave(.notAllowed) }
        guard var variation = variation(head) else { return .leave(.varies) }
        // `s-maxage` lets a shared cache keep what a token opened (RFC 9111, section 3.5), but does not say that others may see it.
        variation.perPrincipal = variation.perPrincipal || (!scope.isAnonymous && !control.flags.contains(.isPublic))
        guard let freshness = freshness(head, control, rule, wall: wall, delay: delay) else { return .leave(.lifetime) }
        return .keep(freshness, variation)
    }

    /// Nil when the answer cannot be told by the request's fields.
    private static func variation(_ head: ResponseHead) -> CacheVariation? {
        var variation = CacheVariation()
        var isBounded = true
        head.eachValue(.vary) { value in
            value.eachElement { name in
                if name.isWord("*") {
                    isBounded = false
                } else if name.isWord("authorization") || name.isWord("x-api-key") {
                    variation.perPrincipal = true
                } else {
                    let name = name.lowercased
                    if !variation.fields.contains(name) { variation.fields.append(name) }
                }
            }
        }
        variation.fields.sort { $0.lexicographicallyPrecedes($1) }
        return isBounded && variation.fields.count <= CacheVariation.mostFields ? variation : nil
    }

    private static func freshness(
        _ head: ResponseHead, _ control: CacheControl, _ rule: CacheRule, wall: Int, delay: Int
    ) -> CacheFreshness? {
        let date = head.withValue(.date) { CacheDate.seconds($0) } ?? nil
        var lifetime = control.sharedMaxAge ?? control.maxAge
        if lifetime == nil, head.has(.expires) {
            // A date that cannot be read is in the past (RFC 9111, section 5.3).
            let expires = head.withValue(.expires) { CacheDate.seconds($0) } ?? nil
            lifetime = expires.map { max(0, $0 - (date ?? wall)) } ?? 0
        }
        guard var lifetime else { return nil }
        if control.flags.contains(.noCache) { lifetime = 0 }
        lifetime = min(lifetime, rule.maximumSeconds)
        let age = head.withValue(.age) { CacheControl.seconds($0) } ?? nil
        let initialAge = max(date.map { max(0, wall - $0) } ?? 0, (age ?? 0) + delay)
        // `s-maxage` alone forbids stale answers too (RFC 9111, section 5.2.2.10); the seconds of RFC 5861 beside it allow them again.
        let mayBeStale = control.flags.isDisjoint(with: [.noCache, .mustRevalidate])
        let freshness = CacheFreshness(
            lifetime: lifetime,
            staleWhileRevalidate: mayBeStale ? min(control.staleWhileRevalidate ?? 0, rule.staleSeconds) : 0,
            staleIfError: mayBeStale ? min(control.staleIfError ?? 0, rule.staleSeconds) : 0, initialAge: initialAge)
        let hasValidator = head.has(.etag) || head.has(.lastModified)
        let lasts = initialAge < lifetime + max(freshness.staleWhileRevalidate, freshness.staleIfError)
        return lasts || hasValidator ? freshness : nil
    }
}
