import NIOCore

/// What every answer tells browsers, whoever made it, as bytes that are ready to be sent (OWASP, "HTTP Security Response Headers").
enum SecurityHeaders {
    /// For answers that are no pages: nothing may be loaded by them or frame them.
    static let contentSecurity: StaticString = "Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r\n"
    static let referrer: StaticString = "Referrer-Policy: no-referrer\r\n"
    /// A year, as browsers' preload lists want it. Over plain HTTP browsers take no notice of it, so it is not sent.
    static let strictTransport: StaticString = "Strict-Transport-Security: max-age=31536000; includeSubDomains\r\n"
    static let always: StaticString = "X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\n"
    /// Everything that an answer of an API has, which is nearly every answer.
    static let api: StaticString = """
        X-Content-Type-Options: nosniff\r
        X-Frame-Options: DENY\r
        Content-Security-Policy: default-src 'none'; frame-ancestors 'none'\r
        Referrer-Policy: no-referrer\r

        """
    /// Of the gateway's own pages, beside their `Content-Security-Policy`: no other site holds on to their windows or loads their
    /// parts, and they use no device.
    static let page: StaticString = """
        X-Content-Type-Options: nosniff\r
        X-Frame-Options: DENY\r
        Referrer-Policy: no-referrer\r
        Cross-Origin-Opener-Policy: same-origin\r
        Cross-Origin-Resource-Policy: same-origin\r
        Permissions-Policy: camera=(), geolocation=(), microphone=(), payment=(), usb=()\r

        """

    /// For an answer of a service, which may have said some of it itself.
    static func write(to out: inout ByteBuffer, hasContentSecurity: Bool, hasReferrer: Bool, isEncrypted: Bool) {
        if !hasContentSecurity, !hasReferrer {
            out.writeStaticString(api)
        } else {
            out.writeStaticString(always)
            if !hasContentSecurity { out.writeStaticString(contentSecurity) }
            if !hasReferrer { out.writeStaticString(referrer) }
        }
        if isEncrypted { out.writeStaticString(strictTransport) }
    }

    /// For a page of the gateway itself.
    static func writePage(to out: inout ByteBuffer, isEncrypted: Bool) {
        out.writeStaticString(page)
        if isEncrypted { out.writeStaticString(strictTransport) }
    }
}
