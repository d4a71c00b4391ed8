import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// The pages on the way to a code. Each form carries the whole request sealed, and is good in the browser that it was shown in.
struct SignInPages {
    let state: PageState
    let request: AuthorizationRequest
    let clientName: String
    let cookies: [HTTPField]

    private var formTarget: String? { RedirectAddress.formTarget(request.redirectURI) }

    func signIn(email: String?, passkeyOptions: String, error: String? = nil, status: HTTPResponse.Status = .ok) -> HTMLPage {
        let known = email ?? request.loginHint ?? ""
        let body = """
            <p>to continue to <strong>\(HTMLPage.escape(clientName))</strong></p>
            <form method="post" action="\(OpenIDPaths.signIn)">
            \(PageFrame.hidden("request", state.text))
            <label for="email">E-mail address</label>
            <input type="email" id="email" name="email" value="\(HTMLPage.escape(known))" autocomplete="username" required maxlength="255"\
            \(known.isEmpty && error == nil ? " autofocus" : "")>
            <label for="password">Password</label>
            <input type="password" id="password" name="password" autocomplete="current-password" required maxlength="512"\
            \(!known.isEmpty && error == nil ? " autofocus" : "")>
            <button type="submit">\(PageText.signIn)</button>
            </form>
            \(keyForm(OpenIDPaths.passkey, passkeyOptions, "Sign in with a passkey"))
            <p><a href="\(OpenIDPaths.forgotten)">Forgotten your password?</a></p>
            """
        return page(PageText.signIn, error, body, status, script: KeyScript.text)
    }

    /// Shown by the script alone, where the browser knows what to do with it; without a script the page is whole without it.
    private func keyForm(_ action: String, _ options: String, _ label: String) -> String {
        """
        <form method="post" action="\(action)" id="key-form" data-options="\(HTMLPage.escape(options))" hidden>
        \(PageFrame.hidden("request", state.text))
        \(PageFrame.hidden("credential", ""))
        <button type="submit" class="second">\(label)</button>
        <p id="key-status" role="status"></p>
        </form>
        """
    }

    func secondFactor(methods: [String], chosen: String?, keyOptions: String?, error: String? = nil, status: HTTPResponse.Status = .ok)
        -> HTMLPage
    {
        let first = chosen ?? methods.first ?? ""
        let choices = methods.map { method in
            """
            <label class="choice"><input type="radio" name="method" value="\(HTMLPage.escape(method))"\
            \(method == first ? " checked" : "")> \(HTMLPage.escape(PageText.method(method)))</label>
            """
        }
        let methodFields =
            methods.count > 1
            ? "<fieldset><legend>How do you want to confirm that it is you?</legend>\n\(choices.joined(separator: "\n"))\n</fieldset>"
            : PageFrame.hidden("method", first)
        let canBeSent = methods.contains { SecondFactorFields.sent.contains($0) }
        let send =
            canBeSent
            ? "\n<button type=\"submit\" class=\"second\" name=\"action\" value=\"send\" formnovalidate>Send me a code</button>" : ""
        let codeForm = """
            <form method="post" action="\(OpenIDPaths.secondFactor)">
            \(PageFrame.hidden("request", state.text))
            \(methodFields)
            <label for="code">\(methods.count > 1 ? "Code" : HTMLPage.escape(PageText.method(first)))</label>
            <input type="text" id="code" name="code" autocomplete="one-time-code" autocapitalize="characters" spellcheck="false" required \
            maxlength="64"\(error == nil ? " autofocus" : "")>
            <button type="submit" name="action" value="verify">Continue</button>\(send)
            </form>
            """
        let body = [
            methods.isEmpty ? "<p>Your account is protected by a security key.</p>" : codeForm,
            keyOptions.map { keyForm(OpenIDPaths.secondFactor, $0, "Use your security key") } ?? "",
        ].joined(separator: "\n")
        return page(PageText.secondFactor, error, body, status, script: keyOptions == nil ? nil : KeyScript.text)
    }

    func consent(email: String, organization: String, scopes: [OAuthScope], other: PageState) -> HTMLPage {
        let meanings = scopes.map { "<li>\(HTMLPage.escape(PageText.meaning(of: $0)))</li>" }.joined(separator: "\n")
        let body = """
            <p><strong>\(HTMLPage.escape(clientName))</strong> of \(HTMLPage.escape(organization)) wants to:</p>
            <ul>
            \(meanings)
            </ul>
            <p>You can withdraw this at any time.</p>
            <form method="post" action="\(OpenIDPaths.consent)">
            \(PageFrame.hidden("request", state.text))
            <button type="submit" name="decision" value="allow">Allow</button>
            <button type="submit" name="decision" value="deny" class="second">Do not allow</button>
            </form>
            <p>You are signed in as <strong>\(HTMLPage.escape(email))</strong>.
            <a href="\(OpenIDPaths.proceed)?request=\(other.text)">Use another account</a></p>
            """
        return page(PageText.consent, nil, body, .ok)
    }

    private func page(
        _ title: String, _ error: String?, _ body: String, _ status: HTTPResponse.Status, script: String? = nil
    ) -> HTMLPage {
        PageFrame.page(title, error: error, body: body, status: status, formTarget: formTarget, script: script, cookies: cookies)
    }
}

/// Second factors that come in a form: all but those that need a script.
enum SecondFactorFields {
    /// Those whose code is sent to the person when they ask for it.
    static let sent: Set<String> = ["sms", "email"]
}

/// What a page needs a script for: browsers speak to passkeys and security keys through one alone. It calls nobody; its answer goes into
/// a form like everything else.
enum KeyScript {
    static let text = """
        "use strict";(()=>{const form=document.getElementById("key-form");\
        if(!form||!window.PublicKeyCredential||!PublicKeyCredential.parseRequestOptionsFromJSON)return;form.hidden=false;\
        form.addEventListener("submit",async event=>{event.preventDefault();try{\
        const publicKey=PublicKeyCredential.parseRequestOptionsFromJSON(JSON.parse(form.dataset.options));\
        const answer=await navigator.credentials.get({publicKey});\
        form.elements.credential.value=JSON.stringify(answer.toJSON());form.submit()}catch(error){\
        document.getElementById("key-status").textContent="Nothing was chosen, or it took too long. Try again."}})})()
        """
}
