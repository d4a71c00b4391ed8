/// Which web pages of other origins may call the platform (Fetch standard, CORS protocol).
struct CrossOrigin: Sendable, Equatable {
    static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE"
    static let requestHeaders =
        "Authorization, Content-Type, Content-Disposition, Idempotency-Key, If-Match, If-None-Match, Range, X-API-Key, X-CSRF-Token, "
        + "X-Request-Id, X-Tenant-Slug, traceparent"
    static let exposedHeaders =
        "Accept-Ranges, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Link, Location, RateLimit, RateLimit-Policy, "
        + "Retry-After, WWW-Authenticate, X-Request-Id"
    /// Seconds for which a browser need not ask again.
    static let maximumAge = 600

    private let origins: Set<String>

    /// Origins as browsers send them, `https://console.example.org`; there is no wildcard, since credentials are allowed.
    init(origins: [String]) { self.origins = Set(origins.map { $0.lowercased() }) }

    func allows(_ origin: String) -> Bool { origins.contains(origin.lowercased()) }

    /// Headers for any answer to a page of that origin. Without an allowed origin there are none,
    /// and the browser keeps the answer from the page.
    func headers(origin: String?) -> [(String, String)] {
        guard !origins.isEmpty else { return [] }
        guard let origin, allows(origin) else { return [("Vary", "Origin")] }
        return [
            ("Vary", "Origin"), ("Access-Control-Allow-Origin", origin), ("Access-Control-Allow-Credentials", "true"),
            ("Access-Control-Expose-Headers", Self.exposedHeaders),
        ]
    }

    /// Further headers for the answer to a preflight.
    func preflightHeaders(origin: String) -> [(String, String)] {
        guard allows(origin) else { return [] }
        return [
            ("Access-Control-Allow-Methods", Self.methods), ("Access-Control-Allow-Headers", Self.requestHeaders),
            ("Access-Control-Max-Age", String(Self.maximumAge)),
        ]
    }
}
