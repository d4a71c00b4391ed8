import Contracts
import Foundation
package import HTTPTypes
package import Hummingbird
import NIOCore

/// A page for people. It loads nothing and is framed by nobody, unless its headers say otherwise.
package struct HTMLPage: EndpointResult {
    package let html: String
    package let answeredStatus: HTTPResponse.Status
    package let headers: HTTPFields

    package init(_ html: String, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) {
        self.html = html
        answeredStatus = status
        self.headers = headers
    }

    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? { NamedSchema(name: nil, schema: .string()) }
    package static var mediaType: String { "text/html" }

    /// What a page may do: its own inline style, forms to itself, nothing else.
    package static let policy =
        "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

    package var response: Response {
        var headers = headers
        headers[.contentType] = "text/html; charset=utf-8"
        if headers[.cacheControl] == nil { headers[.cacheControl] = "no-store" }
        if headers[.contentSecurityPolicy] == nil { headers[.contentSecurityPolicy] = Self.policy }
        if headers[.referrerPolicy] == nil { headers[.referrerPolicy] = "no-referrer" }
        headers[.xContentTypeOptions] = "nosniff"
        return Response(status: answeredStatus, headers: headers, body: .init(byteBuffer: ByteBuffer(string: html)))
    }

    package func response(to request: PublicRequest) throws -> Response { response }

    /// Text that can stand in an element or an attribute. By scalars: some letters join the sign after them into one `Character`.
    package static func escape(_ text: String) -> String {
        var escaped = ""
        escaped.reserveCapacity(text.utf8.count)
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(scalar)
            }
        }
        return escaped
    }
}

/// 303: look there, with GET.
package struct Redirect: EndpointResult {
    package let location: String
    package let headers: HTTPFields

    package init(to location: String, headers: HTTPFields = [:]) {
        self.location = location
        self.headers = headers
    }

    package static var status: HTTPResponse.Status { .seeOther }
    package static var bodySchema: NamedSchema? { nil }

    package var response: Response {
        var headers = headers
        headers[.location] = location
        headers[.cacheControl] = "no-store"
        headers[.referrerPolicy] = "no-referrer"
        return Response(status: .seeOther, headers: headers)
    }

    package func response(to request: PublicRequest) throws -> Response { response }
}

/// A page, or on to somewhere else.
package enum PageOrRedirect: EndpointResult {
    case page(HTMLPage)
    case redirect(Redirect)

    package static var status: HTTPResponse.Status { .ok }
    package static var bodySchema: NamedSchema? { HTMLPage.bodySchema }
    package static var mediaType: String { HTMLPage.mediaType }

    package func response(to request: PublicRequest) throws -> Response {
        switch self {
        case .page(let page): page.response
        case .redirect(let redirect): redirect.response
        }
    }
}

extension HTTPField.Name {
    package static let referrerPolicy = HTTPField.Name("Referrer-Policy")!
}
