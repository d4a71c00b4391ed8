import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

extension PageFailure {
    func response(instance: String, requestID: String) -> Response {
        let body = "<p>If it happens again, tell the people who run the application. Request: \(HTMLPage.escape(requestID))</p>"
        var response = PageFrame.page(PageText.somethingIsWrong, error: sentence, body: body, status: kind.status).response
        if case .limited(let seconds) = kind { response.headers[.retryAfter] = String(seconds) }
        return response
    }
}

/// OAuth's own form of refusals: JSON with `error`, never cached (RFC 6749, section 5.2).
extension OAuthFailure: AnsweringFailure {
    private struct Body: Encodable {
        let error: String
        let description: String
        enum CodingKeys: String, CodingKey {
            case error
            case description = "error_description"
        }
    }

    func response(instance: String, requestID: String) -> Response {
        var headers: HTTPFields = [.contentType: "application/json", .cacheControl: "no-store"]
        switch error {
        case .invalidClient: headers[.wwwAuthenticate] = "Basic realm=\"trionex\", charset=\"UTF-8\""
        case .invalidToken, .insufficientScope:
            headers[.wwwAuthenticate] = "Bearer realm=\"trionex\", error=\"\(error.rawValue)\", error_description=\"\(description)\""
        default: break
        }
        let body = (try? JSON.encode(Body(error: error.rawValue, description: description))) ?? Data()
        return Response(status: kind.status, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: body)))
    }
}

/// How a client hears of the outcome: in the query of its address, or in a form that the browser sends there.
enum ClientReply {
    static func answer(
        _ parameters: [(String, String?)], at reply: AuthorizationRequest.ReplyAddress, issuer: String, cookies: [HTTPField] = []
    ) -> PageOrRedirect {
        // `iss` tells a client which of several servers answered (RFC 9207).
        let all = (parameters + [("state", reply.state), ("iss", issuer)]).compactMap { name, value in value.map { (name, $0) } }
        switch reply.mode {
        case .query:
            var headers = HTTPFields()
            for cookie in cookies { headers.append(cookie) }
            return .redirect(Redirect(to: RedirectAddress.adding(all, to: reply.redirectURI), headers: headers))
        case .formPost:
            let fields = all.map { PageFrame.hidden($0.0, $0.1) }.joined(separator: "\n")
            let body = """
                <p>You are on your way back to the application.</p>
                <form method="post" action="\(HTMLPage.escape(reply.redirectURI))">
                \(fields)
                <button type="submit">Continue</button>
                </form>
                """
            return .page(
                PageFrame.page(
                    "Continue", body: body, formTarget: RedirectAddress.formTarget(reply.redirectURI), script: "document.forms[0].submit()",
                    cookies: cookies))
        }
    }

    static func refusal(
        _ failure: OAuthFailure, at reply: AuthorizationRequest.ReplyAddress, issuer: String, cookies: [HTTPField] = []
    ) -> PageOrRedirect {
        answer(
            [("error", failure.error.rawValue), ("error_description", failure.description)], at: reply, issuer: issuer, cookies: cookies)
    }
}
