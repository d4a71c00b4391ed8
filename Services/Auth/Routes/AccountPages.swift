import HTTPTypes
import ServiceKit

/// The few pages that letters lead to. Plain HTML without scripts: they work in any browser, with a keyboard and with a screen reader.
enum AccountPages {
    private static let style = """
        :root{color-scheme:light dark}body{font:1.0625rem/1.5 system-ui,sans-serif;max-width:32rem;margin:12vh auto;padding:0 1rem}\
        h1{font-size:1.5rem}label{display:block;margin:1rem 0 .25rem}\
        input,button{font:inherit;padding:.6rem .8rem;border-radius:.4rem;border:1px solid #767676;box-sizing:border-box}\
        input{width:100%}button{margin-top:1rem;background:#1a56db;color:#fff;border-color:#1a56db;cursor:pointer}\
        main{overflow-wrap:anywhere}h2{font-size:1.125rem;margin:0}details{margin-top:2rem}\
        :focus-visible{outline:3px solid #f59e0b;outline-offset:2px}.problem{border-left:4px solid #c81e1e;padding-left:.75rem}
        """

    static func page(_ title: String, _ body: String, status: Int = 200) -> HTMLPage {
        HTMLPage(
            """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="robots" content="noindex"><title>\(title) – Trionex</title><style>\(style)</style></head>
            <body><main><h1>\(title)</h1>
            \(body)
            </main></body></html>
            """, status: .init(code: status))
    }

    private static func alert(_ problem: String?) -> String {
        problem.map { "<p class=\"problem\" role=\"alert\">\(HTMLPage.escape($0))</p>\n" } ?? ""
    }

    static func form(_ action: String, _ token: String, _ fields: String, _ button: String) -> String {
        """
        <form method="post" action="\(action)">
        <input type="hidden" name="token" value="\(HTMLPage.escape(token))">
        \(fields)<button type="submit">\(button)</button>
        </form>
        """
    }

    /// The button verifies; opening the page does not.
    static func verify(token: String, asksPassword: Bool, problem: String? = nil) -> HTMLPage {
        let field = """
            <label for="password">The password that you registered with</label>
            <input id="password" name="password" type="password" autocomplete="current-password" required>

            """
        return page(
            "Confirm your e-mail address",
            alert(problem) + "<p>Press the button to confirm that this address is yours.</p>\n"
                + form("/api/v1/auth/email/verify/confirm", token, asksPassword ? field : "", "Confirm the address"),
            status: problem == nil ? 200 : 400)
    }

    static let verified = page("Your address is confirmed", "<p>You can close this page and sign in.</p>")

    static func reset(token: String, problem: String? = nil) -> HTMLPage {
        let lengths = Password.lengths
        let field = """
            <label for="password">New password</label>
            <input id="password" name="password" type="password" autocomplete="new-password" minlength="\(lengths.lowerBound)" \
            maxlength="\(lengths.upperBound)" aria-describedby="rules" required>
            <p id="rules">\(lengths.lowerBound) to \(lengths.upperBound) characters. A few words that nobody else would put together are best.</p>

            """
        return page(
            "Choose a new password",
            alert(problem) + "<p>You will be signed out everywhere.</p>\n"
                + form("/api/v1/auth/password/reset/confirm", token, field, "Set the password"),
            status: problem == nil ? 200 : 400)
    }

    static let passwordSet = page("Your password is changed", "<p>All sessions have ended. Sign in with the new password.</p>")

    static let badLink = page(
        "This link is not valid", "<p>It was used, replaced by a later one, or has expired. Ask for another.</p>", status: 400)

    static let taken = page("There is an account already", "<p>Somebody has registered this address meanwhile. Sign in.</p>", status: 409)
}
