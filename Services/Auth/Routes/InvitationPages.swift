import HTTPTypes
import ServiceKit

/// What the page of an invitation shows, and what it answers.
extension AccountPages {
    /// What somebody typed into the form, but for the password, which is never sent back.
    struct Invited {
        let token: String
        var email = ""
        var firstName = ""
        var lastName = ""
    }

    /// What is wrong with the form; `field` is the id of an input, nil for what no field is to blame for.
    struct Problem {
        let field: String?
        let sentence: String
    }

    static func invitation(_ typed: Invited, _ problems: [Problem] = [], status: HTTPResponse.Status = .ok) -> HTMLPage {
        let lengths = Password.lengths
        let fields = [
            input(
                "email", "email", "E-mail address", typed.email, "type=\"email\" autocomplete=\"email\" maxlength=\"255\" required",
                problems),
            input(
                "first-name", "firstName", "First name (optional)", typed.firstName,
                "type=\"text\" autocomplete=\"given-name\" maxlength=\"255\"", problems),
            input(
                "last-name", "lastName", "Last name (optional)", typed.lastName,
                "type=\"text\" autocomplete=\"family-name\" maxlength=\"255\"", problems),
            input(
                "password", "password", "Password", nil,
                "type=\"password\" autocomplete=\"new-password\" minlength=\"\(lengths.lowerBound)\" "
                    + "maxlength=\"\(lengths.upperBound)\" required",
                hint: "\(lengths.lowerBound) to \(lengths.upperBound) characters. A few words that nobody else would put together are "
                    + "best.",
                problems),
        ]
        return page(
            "Accept the invitation",
            summary(problems)
                + "<p>Make your account, with the e-mail address that the invitation came to.</p>\n"
                + form("/api/v1/auth/invitation/confirm", typed.token, fields.joined(), "Make the account and join")
                + "\n<details><summary>I have an account already</summary>\n\(accepting(typed.token))\n</details>",
            status: status.code)
    }

    static let joined = page(
        "Your account is ready", "<p>You have joined the organization. You can close this page and sign in in your application.</p>")

    /// For somebody who has an account, or who signs in with their organization: they accept signed in.
    static func acceptSignedIn(token: String, withOrganization: Bool = false, status: HTTPResponse.Status) -> HTMLPage {
        let reason =
            withOrganization
            ? "People with this e-mail domain sign in with their organization." : "There is an account with this e-mail address already."
        return page(
            "Sign in to accept", "<p role=\"alert\" class=\"problem\">\(reason)</p>\n" + accepting(token), status: status.code)
    }

    /// Says the same whether or not there is an account.
    static func mailboxUnproven(token: String) -> HTMLPage {
        page(
            "Look into your mailbox",
            "<p>A letter is on its way to you. Its link completes your account. If it says that you have one already:</p>\n"
                + accepting(token),
            status: HTTPResponse.Status.accepted.code)
    }

    static func badInvitation(_ detail: String) -> HTMLPage {
        page("This invitation is not valid", "<p class=\"problem\" role=\"alert\">\(HTMLPage.escape(detail))</p>", status: 400)
    }

    private static func accepting(_ token: String) -> String {
        """
        <p>Sign in in your application, and accept the invitation there with <code>POST /api/v1/invitations/accept</code> and this
        token.</p>
        <label for="token">Token of the invitation, for copying</label>
        <input id="token" type="text" value="\(HTMLPage.escape(token))" autocomplete="off" spellcheck="false" readonly>
        """
    }

    private static func summary(_ problems: [Problem]) -> String {
        guard !problems.isEmpty else { return "" }
        let items = problems.map { problem in
            let sentence = HTMLPage.escape(problem.sentence)
            return "<li>" + (problem.field.map { "<a href=\"#\($0)\">\(sentence)</a>" } ?? sentence) + "</li>\n"
        }
        return """
            <div class="problem" role="alert" tabindex="-1" autofocus>
            <h2>Something is not right yet</h2>
            <ul>
            \(items.joined())</ul>
            </div>

            """
    }

    private static func input(
        _ id: String, _ name: String, _ label: String, _ value: String?, _ attributes: String, hint: String? = nil, _ problems: [Problem]
    ) -> String {
        let known = value.map { " value=\"\(HTMLPage.escape($0))\"" } ?? ""
        let described = hint == nil ? "" : " aria-describedby=\"\(id)-hint\""
        let invalid = problems.contains { $0.field == id } ? " aria-invalid=\"true\"" : ""
        return """
            <label for="\(id)">\(label)</label>
            <input id="\(id)" name="\(name)"\(known) \(attributes)\(described)\(invalid)>
            \(hint.map { "<p id=\"\(id)-hint\">\($0)</p>\n" } ?? "")
            """
    }
}
