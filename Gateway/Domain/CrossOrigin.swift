import NIOCore

/// Which web pages of other origins may call the platform (Fetch standard, CORS protocol): those of everybody's origins, and those of
/// one organization's for what is that organization's.
///
/// Every line that can be sent is made once, at the start: a request only finds its own.
final class CrossOrigin: Sendable {
    static let methods = "GET, HEAD, POST, PUT, PATCH, DELETE"
    static let requestHeaders =
        "Authorization, Content-Type, Content-Disposition, Idempotency-Key, If-Match, If-None-Match, Range, X-API-Key, X-CSRF-Token, "
        + "X-Request-Id, X-Tenant-Slug, traceparent"
    static let exposedHeaders =
        "Accept-Ranges, Age, Cache-Status, Content-Disposition, Content-Range, ETag, Idempotency-Replayed, Link, Location, RateLimit, "
        + "RateLimit-Policy, Retry-After, WWW-Authenticate, X-Request-Id"
    /// Seconds for which a browser need not ask again.
    static let maximumAge = 600
    static let vary: StaticString = "Vary: Origin\r\n"

    /// One origin, and what its pages are told.
    final class Grant: Sendable {
        /// In lower case, as browsers send it.
        let origin: [UInt8]
        /// `Vary: Origin` and the lines of an answer.
        let answer: ByteBuffer
        /// The same, and those of the answer to a preflight.
        let preflight: ByteBuffer
        /// Whether its pages may call whatever the organization.
        let isForAll: Bool
        /// Slugs and ids of organizations.
        let tenants: Set<String>

        init(origin: String, isForAll: Bool, tenants: Set<String>) {
            self.origin = Array(origin.utf8)
            self.isForAll = isForAll
            self.tenants = tenants
            answer = ByteBuffer(
                string: "Vary: Origin\r\nAccess-Control-Allow-Origin: \(origin)\r\nAccess-Control-Allow-Credentials: true\r\n"
                    + "Access-Control-Expose-Headers: \(CrossOrigin.exposedHeaders)\r\n")
            preflight = ByteBuffer(
                string: "Vary: Origin\r\nAccess-Control-Allow-Origin: \(origin)\r\nAccess-Control-Allow-Credentials: true\r\n"
                    + "Access-Control-Allow-Methods: \(CrossOrigin.methods)\r\n"
                    + "Access-Control-Allow-Headers: \(CrossOrigin.requestHeaders)\r\n"
                    + "Access-Control-Max-Age: \(CrossOrigin.maximumAge)\r\n")
        }
    }

    private let grants: [UInt64: [Grant]]

    /// Origins as browsers send them, `https://console.example.org`; there is no wildcard, since credentials are allowed.
    /// `tenants` has those of organizations, by slug or id.
    init(origins: [String], tenants: [String: [String]] = [:]) {
        var owners: [String: Set<String>] = [:]
        for (tenant, origins) in tenants {
            for origin in origins { owners[origin.lowercased(), default: []].insert(tenant.lowercased()) }
        }
        let all = Set(origins.map { $0.lowercased() })
        for origin in all { owners[origin, default: []] = owners[origin] ?? [] }
        var grants: [UInt64: [Grant]] = [:]
        for (origin, tenants) in owners {
            let grant = Grant(origin: origin, isForAll: all.contains(origin), tenants: tenants)
            grants[Self.hash(grant.origin.withUnsafeBytes { $0.lazy.map { $0 } }), default: []].append(grant)
        }
        self.grants = grants
    }

    /// Without origins there is nothing to be said, not even `Vary`.
    var isEmpty: Bool { grants.isEmpty }

    /// What a preflight is answered with; nil: without lines of CORS, and the browser refuses. It has no token, so it says nothing of
    /// the organization: an origin that any of them allows may ask on.
    func preflight(_ origin: UnsafeRawBufferPointer) -> Grant? { find(origin) }

    /// What an answer to that origin's page is told; nil: only `vary`, and the browser keeps the answer from the page.
    /// - Parameters:
    ///   - tenant: the id of the caller's organization; nil for nobody's.
    ///   - slug: the organization that the address or `X-Tenant-Slug` names.
    ///   - byCookie: whether the service may answer for whom a cookie names that nobody has looked at here. Then the answer may be
    ///     any organization's data, whatever the page says of itself, and is for those alone that may see all.
    /// Before a sign-in no organization is known, and an answer is nobody's data: then it is as with the preflight.
    func grant(_ origin: UnsafeRawBufferPointer, tenant: String?, slug: String?, byCookie: Bool = false) -> Grant? {
        guard let grant = find(origin) else { return nil }
        if grant.isForAll { return grant }
        if byCookie { return nil }
        if let tenant, grant.tenants.contains(tenant) { return grant }
        if let slug, grant.tenants.contains(slug) { return grant }
        return tenant == nil && slug == nil ? grant : nil
    }

    private func find(_ origin: UnsafeRawBufferPointer) -> Grant? {
        guard !grants.isEmpty, origin.count <= Self.maximumOrigin else { return nil }
        for grant in grants[Self.hash(origin)] ?? [] where origin.isSame(as: grant.origin) { return grant }
        return nil
    }

    /// A scheme, a name of 253 characters and a port.
    private static let maximumOrigin = 300

    /// FNV-1a over small letters.
    private static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        bytes.reduce(0xCBF2_9CE4_8422_2325) { hash, byte in
            let small = (0x41...0x5A).contains(byte) ? byte | 0x20 : byte
            return (hash ^ UInt64(small)) &* 0x100_0000_01B3
        }
    }
}
