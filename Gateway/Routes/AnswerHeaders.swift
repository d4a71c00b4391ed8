import HTTPTypes
import Hummingbird
import ServiceKit

/// What every answer carries, whoever made it.
enum AnswerHeaders {
    /// Seconds; a year, as browsers' preload lists want it.
    static let strictTransport = "max-age=31536000; includeSubDomains"
    /// For answers that are no pages: nothing may be loaded by them or frame them.
    static let contentSecurity = "default-src 'none'; frame-ancestors 'none'"

    static func finish(_ response: inout Response, _ passage: Passage, _ settings: GatewaySettings) {
        for (name, value) in settings.crossOrigin.headers(origin: passage.request.headers[.origin]) {
            guard let name = HTTPField.Name(name) else { continue }
            if name == .vary { response.headers.append(HTTPField(name: name, value: value)) } else { response.headers[name] = value }
        }
        response.headers[.xContentTypeOptions] = "nosniff"
        response.headers[.frameOptions] = "DENY"
        if response.headers[.contentSecurityPolicy] == nil { response.headers[.contentSecurityPolicy] = contentSecurity }
        if response.headers[.referrerPolicy] == nil { response.headers[.referrerPolicy] = "no-referrer" }
        response.headers[.strictTransportSecurity] = passage.client.isEncrypted ? strictTransport : nil
        guard !passage.limits.isEmpty else { return }
        response.headers[.rateLimitPolicy] = passage.limits.map(\.policy.header).joined(separator: ", ")
        response.headers[.rateLimit] = passage.limits.map(\.header).joined(separator: ", ")
    }
}
