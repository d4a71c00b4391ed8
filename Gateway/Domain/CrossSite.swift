/// The session of the console in cookies: `trionex_session` holds an access token, `trionex_csrf` what pages must repeat in
/// `X-CSRF-Token`. With the prefix `__Host-` (RFC 6265bis, section 4.1.3.2), which no neighbouring subdomain can set, they count before
/// those without it.
struct CookieSession: Sendable, Equatable {
    /// Of the whole `Cookie` field.
    static let maximumBytes = 16_384

    /// Places in the value that was read.
    let token: Range<Int>
    let csrf: Range<Int>?

    /// Nil without a session. A cookie that is there twice is no cookie: one of the two was put there by somebody else.
    static func read(_ cookies: UnsafeRawBufferPointer) -> CookieSession? {
        guard cookies.count <= maximumBytes else { return nil }
        var sessions = Found(), tokens = Found(), hostSessions = Found(), hostTokens = Found()
        var start = 0
        while start < cookies.count {
            var end = start
            while end < cookies.count, cookies[end] != UInt8(ascii: ";") { end += 1 }
            var from = start
            while from < end, cookies[from] == 0x20 || cookies[from] == 0x09 { from += 1 }
            var to = end
            while to > from, cookies[to - 1] == 0x20 || cookies[to - 1] == 0x09 { to -= 1 }
            let pair = UnsafeRawBufferPointer(rebasing: cookies[from..<to])
            sessions.take("trionex_session=", pair, from)
            tokens.take("trionex_csrf=", pair, from)
            hostSessions.take("__Host-trionex_session=", pair, from)
            hostTokens.take("__Host-trionex_csrf=", pair, from)
            start = end + 1
        }
        // The token belongs to the session: a neighbour could plant one without the prefix beside a session that has it.
        let (session, token) = hostSessions.count > 0 ? (hostSessions, hostTokens) : (sessions, tokens)
        guard let place = session.place, !place.isEmpty else { return nil }
        return CookieSession(token: place, csrf: token.place.flatMap { $0.isEmpty ? nil : $0 })
    }

    private struct Found {
        var count = 0
        private var range: Range<Int>?
        var place: Range<Int>? { count == 1 ? range : nil }

        /// Names of cookies have capitals and small letters.
        mutating func take(_ name: StaticString, _ pair: UnsafeRawBufferPointer, _ start: Int) {
            let length = name.utf8CodeUnitCount
            guard pair.count >= length, pair.prefix(length).elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: length)) else {
                return
            }
            count += 1
            range = (start + length)..<(start + pair.count)
        }
    }
}

/// Whether a request that a browser's cookie identifies was meant by the person before it (OWASP, "Cross-Site Request Forgery
/// Prevention": double submit, with the origin beside it). Requests with `Authorization` or `X-API-Key` are not asked: no browser sends
/// those by itself. Nor are routes where the cookie says nothing, such as the forms of `/oauth2`, which have tokens of their own.
enum CrossSite {
    enum Verdict: Sendable, Equatable {
        case fine
        /// No `X-CSRF-Token`, or no cookie to compare it with.
        case tokenMissing
        case tokenWrong
        /// The page is of an origin that may not do this.
        case originForeign
    }

    /// What the request says. The bytes are those of its fields, nil for one that is not there.
    struct Evidence {
        /// Not GET, HEAD or OPTIONS.
        var isUnsafe: Bool
        /// A WebSocket: browsers let any page open one, with cookies and without asking, and no page can add a field to it.
        var isUpgrade = false
        var headerToken: UnsafeRawBufferPointer?
        var cookieToken: UnsafeRawBufferPointer?
        var origin: UnsafeRawBufferPointer?
        var fetchSite: UnsafeRawBufferPointer?
        /// `Host` of the request, and whether it came over TLS.
        var host: UnsafeRawBufferPointer?
        var isEncrypted: Bool
        /// Whether the origin's pages may call (`CrossOrigin`).
        var isOriginAllowed: Bool
    }

    static func check(_ evidence: Evidence) -> Verdict {
        guard evidence.isUnsafe || evidence.isUpgrade else { return .fine }
        guard isFromHome(evidence) || (evidence.origin != nil && evidence.isOriginAllowed) else { return .originForeign }
        if evidence.isUpgrade, !evidence.isUnsafe { return evidence.origin == nil ? .originForeign : .fine }
        guard let said = evidence.headerToken, let held = evidence.cookieToken, !said.isEmpty, !held.isEmpty else { return .tokenMissing }
        return isSame(said, held) ? .fine : .tokenWrong
    }

    /// What a browser says of the page; programs say neither, and have to know the token.
    private static func isFromHome(_ evidence: Evidence) -> Bool {
        if let site = evidence.fetchSite, !site.isWord("same-origin"), !site.isWord("none") { return false }
        guard let origin = evidence.origin else { return true }
        guard let host = evidence.host else { return false }
        let scheme: StaticString = evidence.isEncrypted ? "https://" : "http://"
        guard origin.hasWordPrefix(scheme) else { return false }
        return UnsafeRawBufferPointer(rebasing: origin.dropFirst(scheme.utf8CodeUnitCount)).isSame(as: host.lowercased)
    }

    /// Takes as long whatever the bytes are, so that nobody finds the token letter by letter.
    static func isSame(_ left: UnsafeRawBufferPointer, _ right: UnsafeRawBufferPointer) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for index in 0..<left.count { difference |= left[index] ^ right[index] }
        return difference == 0
    }
}
