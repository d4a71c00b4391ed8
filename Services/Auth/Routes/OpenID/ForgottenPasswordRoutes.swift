import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// The page behind the link for those who have forgotten their password. It answers alike for every address.
struct ForgottenPasswordRoutes {
    let password: PasswordRoutes

    static let maximumBodyBytes = 4_096

    var endpoints: Endpoints {
        Endpoints("/oauth2") {
            Endpoint.get("forgotten-password", "A page that sends a letter to whoever has forgotten their password", .public, page)
            Endpoint.form("forgotten-password", "That page's form", .public, maxBodyBytes: Self.maximumBodyBytes, send)
        }
    }

    struct Form: Decodable, Sendable, OpenFields {
        let email: String
        static func refusal(of failure: any Failure) -> any Error { PageFailure(failure) }
    }

    func page(_ request: PublicRequest) async throws -> HTMLPage { Self.form(email: "", error: nil) }

    func send(_ request: PublicRequest, _ form: Form) async throws -> HTMLPage {
        let email: EmailAddress
        do {
            email = try EmailAddress(form.email)
        } catch {
            return Self.form(email: form.email, error: "The e-mail address \(error.detail).")
        }
        _ = try await password.forgot(request, PasswordRoutes.Address(email: email))
        let body = """
            <p>If there is an account with <strong>\(HTMLPage.escape(email.rawValue))</strong>, a letter with a link is on its way to it.</p>
            <p>Open the link, choose a new password, and then go back to the application that you wanted to sign in to.</p>
            """
        return PageFrame.page(PageText.forgotten, heading: "Look into your mailbox", body: body)
    }

    private static func form(email: String, error: String?) -> HTMLPage {
        let body = """
            <form method="post" action="\(OpenIDPaths.forgotten)">
            <label for="email">E-mail address</label>
            <input type="email" id="email" name="email" value="\(HTMLPage.escape(email))" autocomplete="username" required maxlength="255"\
            \(error == nil ? " autofocus" : "")>
            <button type="submit">Send me a link</button>
            </form>
            """
        return PageFrame.page(PageText.forgotten, error: error, body: body, status: error == nil ? .ok : .badRequest)
    }
}
