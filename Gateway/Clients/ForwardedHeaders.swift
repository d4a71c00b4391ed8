import HTTPTypes
import NIOHTTP1
import ServiceKit

/// Which header fields go through the gateway, and which end here.
enum ForwardedHeaders {
    /// They belong to one connection (RFC 9110, section 7.6.1); `Expect` is answered by whoever reads the body first.
    private static let hopByHop: Set<String> = [
        "connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
        "upgrade", "expect", "host", "content-length", "http2-settings",
    ]

    /// What services might take for the gateway's word. A client that sends them only tries something.
    private static let trusted: Set<String> = [
        "x-tenant-id", "x-tenant", "x-org-id", "x-organization-id", "x-user-id", "x-user", "x-session-id", "x-roles", "x-role",
        "x-permissions", "x-principal", "x-caller", "x-authenticated-user", "x-service-token", "x-real-ip", "x-client-ip", "true-client-ip",
        "cf-connecting-ip", "forwarded", "x-http-method-override", "x-http-method", "x-method-override", "x-request-id", "traceparent",
    ]
    private static let trustedPrefixes = ["x-forwarded-", "x-internal-", "x-trionex-", "x-original-", "x-rewrite-"]

    /// The gateway's own on the way back: CORS is its business, and the name of a server is nobody's.
    private static let answeredHere: Set<String> = [
        "server", "x-powered-by", "date", "x-request-id", "ratelimit", "ratelimit-policy", "alt-svc",
    ]

    struct Origin {
        let client: ClientAddress
        let requestID: String
        let traceParent: String?
        let host: String?
        /// Takes the place of the client's own credentials: an API key ends here.
        let token: String?
        /// Where the gateway cannot exchange keys, the services do.
        let keepsKeys: Bool
    }

    static func request(_ fields: HTTPFields, origin: Origin) -> HTTPHeaders {
        let named = connectionNames(fields[values: .connection])
        var headers = HTTPHeaders()
        for field in fields {
            let name = field.name.canonicalName
            guard !hopByHop.contains(name), !named.contains(name), !trusted.contains(name),
                !trustedPrefixes.contains(where: { name.hasPrefix($0) })
            else { continue }
            if !origin.keepsKeys, isKey(field, name) || (origin.token != nil && name == "authorization") { continue }
            headers.add(name: field.name.rawName, value: field.value)
        }
        if let token = origin.token { headers.add(name: "Authorization", value: "Bearer \(token)") }
        headers.add(name: "X-Request-Id", value: origin.requestID)
        headers.add(name: "X-Forwarded-For", value: origin.client.text)
        headers.add(name: "X-Forwarded-Proto", value: origin.client.isEncrypted ? "https" : "http")
        if let host = origin.host { headers.add(name: "X-Forwarded-Host", value: host) }
        if let traceParent = origin.traceParent { headers.add(name: "traceparent", value: traceParent) }
        return headers
    }

    private static func isKey(_ field: HTTPField, _ name: String) -> Bool {
        name == "x-api-key" || (name == "authorization" && APIKeys.isKey(field.value.dropFirst(7)))
    }

    static func response(_ headers: HTTPHeaders) -> HTTPFields {
        let named = connectionNames(headers["connection"])
        var fields = HTTPFields()
        for (name, value) in headers {
            let lowered = name.lowercased()
            guard lowered == "content-length" || !hopByHop.contains(lowered), !named.contains(lowered), !answeredHere.contains(lowered),
                !lowered.hasPrefix("access-control-"), let fieldName = HTTPField.Name(name)
            else { continue }
            fields.append(HTTPField(name: fieldName, value: value))
        }
        return fields
    }

    private static func connectionNames(_ values: [String]) -> Set<String> {
        Set(values.flatMap { $0.split(separator: ",") }.map { $0.trimmingPrefix { $0 == " " }.lowercased() })
            .subtracting(["close", "keep-alive", "content-length", "content-type", "authorization", "x-request-id"])
    }
}
