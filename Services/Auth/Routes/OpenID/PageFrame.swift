import Contracts
import Crypto
import Foundation
import HTTPTypes
import ServiceKit

/// What all our pages share: a document that needs no script, loads nothing, reflows at any zoom, follows the reader's choice of light or
/// dark, and says its errors first (WCAG 2.2: 1.4.10, 1.4.3, 3.3.1, 2.4.2).
enum PageFrame {
    static func page(
        _ title: String, heading: String? = nil, error: String? = nil, body: String, status: HTTPResponse.Status = .ok,
        formTarget: String? = nil, script: String? = nil, cookies: [HTTPField] = []
    ) -> HTMLPage {
        let alert = error.map {
            """
            <div class="alert" role="alert" tabindex="-1" autofocus>
            <h2>\(HTMLPage.escape(PageText.somethingIsWrong))</h2>
            <p>\(HTMLPage.escape($0))</p>
            </div>

            """
        }
        let html = """
            <!doctype html>
            <html lang="\(PageText.language)">
            <head>
            <meta charset="utf-8">
            <title>\(error == nil ? "" : "Error: ")\(HTMLPage.escape(title)) – Trionex</title>
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="robots" content="noindex">
            <meta name="color-scheme" content="light dark">
            <style>\(style)</style>
            </head>
            <body>
            <main>
            <p class="brand">Trionex</p>
            <h1>\(HTMLPage.escape(heading ?? title))</h1>
            \(alert ?? "")\(body)
            </main>
            \(script.map { "<script>\($0)</script>\n" } ?? "")</body>
            </html>

            """
        var headers: HTTPFields = [.contentSecurityPolicy: policy(formTarget: formTarget, script: script)]
        for cookie in cookies { headers.append(cookie) }
        return HTMLPage(html, status: status, headers: headers)
    }

    /// Forms go to ourselves, and from there on to the client's own address, which browsers hold against `form-action` too.
    private static func policy(formTarget: String?, script: String?) -> String {
        let target = formTarget.map { " \($0)" } ?? ""
        let scripts = script.map { "; script-src 'sha256-\(digest(of: $0))'" } ?? ""
        return "default-src 'none'; style-src 'sha256-\(digest(of: style))'\(scripts); form-action 'self'\(target); base-uri 'none'; "
            + "frame-ancestors 'none'"
    }

    private static func digest(of text: String) -> String { Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString() }

    static func hidden(_ name: String, _ value: String) -> String {
        "<input type=\"hidden\" name=\"\(HTMLPage.escape(name))\" value=\"\(HTMLPage.escape(value))\">"
    }

    static let style = """
        :root{color-scheme:light dark;--ink:#1a1c23;--paper:#fff;--soft:#f1f3f8;--line:#6b7280;--act:#1d4ed8;--on:#fff;--bad:#b00020}\
        @media (prefers-color-scheme:dark){:root{--ink:#f2f4f8;--paper:#14161c;--soft:#1f232d;--line:#9aa3b2;--act:#9db8ff;--on:#0b1020;\
        --bad:#ffb3ba}}\
        *{box-sizing:border-box}body{margin:0;background:var(--soft);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}\
        [hidden]{display:none}main{max-width:28rem;margin:2rem auto;padding:1.5rem;background:var(--paper);border:1px solid var(--line);border-radius:.5rem;\
        overflow-wrap:anywhere}\
        .brand{margin:0;font-weight:700}h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0 1rem}h2{font-size:1.1rem;margin:0}\
        label{display:block;font-weight:600;margin:1rem 0 .25rem}\
        input[type=email],input[type=password],input[type=text]{width:100%;min-height:2.75rem;padding:.5rem;font:inherit;color:inherit;\
        background:var(--paper);border:1px solid var(--line);border-radius:.25rem}\
        button{min-height:2.75rem;margin:1.25rem .5rem 0 0;padding:.5rem 1.25rem;font:inherit;font-weight:600;cursor:pointer;\
        color:var(--on);background:var(--act);border:2px solid var(--act);border-radius:.25rem}\
        button.second{color:var(--act);background:var(--paper)}\
        a{color:var(--act)}:focus-visible{outline:3px solid var(--act);outline-offset:2px}\
        .alert{padding:.75rem 1rem;border:2px solid var(--bad);border-radius:.25rem}.alert p{margin:.25rem 0 0}.alert h2{color:var(--bad)}\
        .hint{margin:.25rem 0 0}fieldset{border:0;margin:1rem 0 0;padding:0}legend{font-weight:600;padding:0}\
        .choice{display:flex;gap:.5rem;align-items:center;font-weight:400;margin:.25rem 0;min-height:2rem}
        """
}

/// A page that an error shows to a person instead of an answer for a program.
struct PageFailure: AnsweringFailure {
    let code: String
    let kind: FailureKind
    let sentence: String

    var detail: String? { sentence }

    init(_ failure: any Failure) {
        code = failure.code
        kind = failure.kind
        sentence = failure.detail ?? "The request could not be read."
    }

    init(_ code: String, _ sentence: String, kind: FailureKind = .invalid) {
        self.code = code
        self.kind = kind
        self.sentence = sentence
    }

    /// The form that was sent is not one that this browser was shown, or no longer.
    static let stale = PageFailure(
        "stale-page", "This page has been open for too long, or was opened in another browser. Go back to the application and start again.")
}
