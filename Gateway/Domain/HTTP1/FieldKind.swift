/// What a header field is to the gateway. Told by the length of the name and then its letters, without allocating.
enum FieldKind: UInt8, Sendable {
    /// Passed on as it came.
    case other
    /// Ends here: it belongs to one connection (RFC 9110, section 7.6.1), or a service might take it for the gateway's word.
    case dropped
    // Framing and the connection.
    case host, connection, contentLength, transferEncoding, expect, upgrade, te
    // Who calls.
    case authorization, apiKey, tenantSlug, cookie, csrfToken
    // Where from.
    case origin, forwardedFor, forwardedProto, requestID, traceparent, userAgent, fetchSite, preflightMethod
    // What for.
    case acceptEncoding, ifNoneMatch, ifModifiedSince, ifMatch, range, cacheControl, contentType, contentDisposition, idempotencyKey
    // Of answers.
    case contentEncoding, etag, vary, setCookie, age, expires, lastModified, location, contentSecurityPolicy, referrerPolicy, retryAfter
    case date, pragma

    /// One more than the last: the size of a table by kind.
    static let count = Int(FieldKind.pragma.rawValue) + 1

    /// What a second field of this kind is refused for, because two programs could read it differently; nil where it is harmless.
    var refusalOfSecond: HeadRefusal? {
        switch self {
        case .host: .malformedHost
        case .contentLength, .transferEncoding: .ambiguousLength
        case .authorization, .apiKey: .repeatedCredential
        case .tenantSlug, .expect: .repeatedField
        default: nil
        }
    }

    /// Whether it may be told of twice as a trailer: framing, routing and credentials never (RFC 9110, section 6.5.1).
    var mayTrail: Bool { self == .other }
}

/// Names that are compared with the bytes of a field, in lower case.
enum FieldNames {
    /// Of a request. `name` is at least one byte long.
    static func request(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind {
        let first = name[0] | 0x20
        if first == UInt8(ascii: "x"), count > 2, name[1] == UInt8(ascii: "-") { return custom(name, count) }
        switch count {
        case 2: return same(name, "te") ? .te : .other
        case 4: return same(name, "host") ? .host : .other
        case 5: return same(name, "range") ? .range : .other
        case 6:
            switch first {
            case UInt8(ascii: "e"): return same(name, "expect") ? .expect : .other
            case UInt8(ascii: "c"): return same(name, "cookie") ? .cookie : .other
            default: return same(name, "origin") ? .origin : same(name, "pragma") ? .pragma : .other
            }
        case 7: return same(name, "upgrade") ? .upgrade : same(name, "trailer") ? .dropped : .other
        case 8: return same(name, "if-match") ? .ifMatch : .other
        case 9: return same(name, "forwarded") ? .dropped : .other
        case 10:
            switch first {
            case UInt8(ascii: "c"): return same(name, "connection") ? .connection : .other
            case UInt8(ascii: "u"): return same(name, "user-agent") ? .userAgent : .other
            default: return same(name, "keep-alive") ? .dropped : .other
            }
        case 11: return same(name, "traceparent") ? .traceparent : .other
        case 12: return same(name, "content-type") ? .contentType : .other
        case 13:
            switch first {
            case UInt8(ascii: "a"): return same(name, "authorization") ? .authorization : .other
            case UInt8(ascii: "c"): return same(name, "cache-control") ? .cacheControl : .other
            default: return same(name, "if-none-match") ? .ifNoneMatch : .other
            }
        case 14:
            switch first {
            case UInt8(ascii: "c"): return same(name, "content-length") ? .contentLength : .other
            case UInt8(ascii: "h"): return same(name, "http2-settings") ? .dropped : .other
            case UInt8(ascii: "t"): return same(name, "true-client-ip") ? .dropped : .other
            default: return same(name, "sec-fetch-site") ? .fetchSite : .other
            }
        case 15:
            switch first {
            case UInt8(ascii: "a"): return same(name, "accept-encoding") ? .acceptEncoding : .other
            case UInt8(ascii: "i"): return same(name, "idempotency-key") ? .idempotencyKey : .other
            default: return .other
            }
        case 16: return same(name, "proxy-connection") || same(name, "cf-connecting-ip") ? .dropped : .other
        case 17:
            switch first {
            case UInt8(ascii: "t"): return same(name, "transfer-encoding") ? .transferEncoding : .other
            default: return same(name, "if-modified-since") ? .ifModifiedSince : .other
            }
        case 19: return same(name, "content-disposition") ? .contentDisposition : same(name, "proxy-authorization") ? .dropped : .other
        case 29: return same(name, "access-control-request-method") ? .preflightMethod : .other
        default: return .other
        }
    }

    /// Names that begin with `X-`.
    private static func custom(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind {
        switch count {
        case 9 where same(name, "x-api-key"): return .apiKey
        case 12 where same(name, "x-request-id"): return .requestID
        case 12 where same(name, "x-csrf-token"): return .csrfToken
        case 13 where same(name, "x-tenant-slug"): return .tenantSlug
        case 15 where same(name, "x-forwarded-for"): return .forwardedFor
        case 17 where same(name, "x-forwarded-proto"): return .forwardedProto
        default: break
        }
        for prefix in untrustedPrefixes where count >= prefix.utf8CodeUnitCount && same(name, prefix) { return .dropped }
        for word in untrusted where count == word.utf8CodeUnitCount && same(name, word) { return .dropped }
        return .other
    }

    /// What services might take for the gateway's word. A client that sends them only tries something.
    private static let untrusted: [StaticString] = [
        "x-tenant-id", "x-tenant", "x-org-id", "x-organization-id", "x-user-id", "x-user", "x-session-id", "x-roles", "x-role",
        "x-permissions", "x-principal", "x-caller", "x-authenticated-user", "x-service-token", "x-real-ip", "x-client-ip",
        "x-http-method-override", "x-http-method", "x-method-override",
    ]
    private static let untrustedPrefixes: [StaticString] = [
        "x-forwarded-", "x-internal-", "x-trionex-", "x-original-", "x-rewrite-",
    ]

    /// Of an answer.
    static func response(_ name: UnsafePointer<UInt8>, _ count: Int) -> FieldKind {
        let first = name[0] | 0x20
        switch count {
        case 3: return same(name, "age") ? .age : .other
        case 4: return same(name, "etag") ? .etag : same(name, "vary") ? .vary : same(name, "date") ? .date : .other
        case 6: return same(name, "server") ? .dropped : .other
        case 7:
            switch first {
            case UInt8(ascii: "u"): return same(name, "upgrade") ? .upgrade : .other
            case UInt8(ascii: "t"): return same(name, "trailer") ? .dropped : .other
            case UInt8(ascii: "a"): return same(name, "alt-svc") ? .dropped : .other
            default: return same(name, "expires") ? .expires : .other
            }
        case 8: return same(name, "location") ? .location : .other
        case 9: return same(name, "ratelimit") ? .dropped : .other
        case 10:
            switch first {
            case UInt8(ascii: "c"): return same(name, "connection") ? .connection : .other
            case UInt8(ascii: "s"): return same(name, "set-cookie") ? .setCookie : .other
            default: return same(name, "keep-alive") ? .dropped : .other
            }
        case 11: return same(name, "retry-after") ? .retryAfter : .other
        case 12:
            switch first {
            case UInt8(ascii: "c"): return same(name, "content-type") ? .contentType : .other
            case UInt8(ascii: "x"): return same(name, "x-request-id") || same(name, "x-powered-by") ? .dropped : .other
            default: return .other
            }
        case 13:
            switch first {
            case UInt8(ascii: "c"): return same(name, "cache-control") ? .cacheControl : .other
            default: return same(name, "last-modified") ? .lastModified : .other
            }
        case 14: return same(name, "content-length") ? .contentLength : .other
        case 15: return same(name, "referrer-policy") ? .referrerPolicy : same(name, "x-frame-options") ? .dropped : .other
        case 16:
            switch first {
            case UInt8(ascii: "c"): return same(name, "content-encoding") ? .contentEncoding : .other
            case UInt8(ascii: "r"): return same(name, "ratelimit-policy") ? .dropped : .other
            default: return same(name, "proxy-connection") ? .dropped : .other
            }
        case 17: return same(name, "transfer-encoding") ? .transferEncoding : .other
        case 18: return same(name, "proxy-authenticate") ? .dropped : .other
        case 22: return same(name, "x-content-type-options") ? .dropped : .other
        case 23: return same(name, "content-security-policy") ? .contentSecurityPolicy : .other
        case 25: return same(name, "strict-transport-security") ? .dropped : .other
        default:
            // CORS is the gateway's business alone.
            return count > 15 && first == UInt8(ascii: "a") && same(name, "access-control-") ? .dropped : .other
        }
    }

    /// Whether the bytes begin with the word, whatever the case of their letters. The word is in lower case; there are enough bytes.
    @inline(__always)
    static func same(_ bytes: UnsafePointer<UInt8>, _ word: StaticString) -> Bool {
        let other = word.utf8Start
        for index in 0..<word.utf8CodeUnitCount {
            let letter = bytes[index], wanted = other[index]
            // Setting the bit turns capitals into small letters; what has no capital must be the same as it is.
            guard letter == wanted || (letter | 0x20 == wanted && wanted >= 0x61 && wanted <= 0x7A) else { return false }
        }
        return true
    }
}

extension UnsafeRawBufferPointer {
    /// Whether these bytes are the word, whatever the case of their letters.
    func isWord(_ word: StaticString) -> Bool {
        guard count == word.utf8CodeUnitCount, let base = baseAddress else { return false }
        return FieldNames.same(base.assumingMemoryBound(to: UInt8.self), word)
    }

    func hasWordPrefix(_ word: StaticString) -> Bool {
        guard count >= word.utf8CodeUnitCount, let base = baseAddress else { return false }
        return FieldNames.same(base.assumingMemoryBound(to: UInt8.self), word)
    }

    /// The parts between commas, without the blanks around them.
    func eachElement(_ body: (UnsafeRawBufferPointer) -> Void) {
        var start = 0
        while start <= count {
            var end = start
            while end < count, self[end] != UInt8(ascii: ",") { end += 1 }
            let part = UnsafeRawBufferPointer(rebasing: self[start..<end]).trimmed
            if !part.isEmpty { body(part) }
            start = end + 1
        }
    }

    var trimmed: UnsafeRawBufferPointer {
        var start = 0, end = count
        while start < end, self[start] == 0x20 || self[start] == 0x09 { start += 1 }
        while end > start, self[end - 1] == 0x20 || self[end - 1] == 0x09 { end -= 1 }
        return UnsafeRawBufferPointer(rebasing: self[start..<end])
    }
}
