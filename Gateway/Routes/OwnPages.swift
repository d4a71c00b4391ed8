import Foundation
import HTTPTypes
import Hummingbird
import NIOCore

/// The two things that the gateway answers itself: the document of the whole platform, and the page that shows it.
struct OwnPages: Sendable {
    let documents: ServiceDocuments

    func page(for path: RequestPath, _ method: HTTPRequest.Method) -> Response? {
        guard method == .get || method == .head else { return nil }
        var response: Response
        switch path.segments {
        case ["api", "v1", "openapi.json"]: response = answer("application/json", Array(documents.merged))
        case ["docs"]:
            response = answer("text/html; charset=utf-8", Array(Explorer.page.utf8))
            response.headers[.contentSecurityPolicy] = Explorer.contentSecurity
        case ["docs", "explorer.css"]: response = answer("text/css; charset=utf-8", Array(Explorer.style.utf8))
        case ["docs", "explorer.js"]: response = answer("text/javascript; charset=utf-8", Array(Explorer.script.utf8))
        default: return nil
        }
        guard method == .head else { return response }
        return response.createHeadResponse()
    }

    private func answer(_ type: String, _ bytes: [UInt8]) -> Response {
        Response(
            status: .ok, headers: [.contentType: type, .cacheControl: "no-cache"], body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes)))
    }
}
