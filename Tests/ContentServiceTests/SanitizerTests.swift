import Contracts
import Foundation
import Testing

@testable import ContentService

@Suite("The HTML sanitizer")
struct SanitizerTests {
    @Test(
        "what is allowed stays as it is",
        arguments: [
            "<p>Plain <b>bold</b> <strong>strong</strong> <i>i</i> <em>em</em> <u>u</u> <s>s</s></p>",
            "<h1>1</h1><h2>2</h2><h3>3</h3><h4>4</h4><h5>5</h5><h6>6</h6>",
            "<ul><li>one</li><li>two</li></ul><ol><li>first</li></ol>",
            "<blockquote><p>said</p></blockquote><pre><code>let x = 1</code></pre><hr>",
            "<table><caption>c</caption><thead><tr><th colspan=\"2\">h</th></tr></thead><tbody><tr><td>a</td><td rowspan=\"3\">b</td></tr></tbody></table>",
            "<div><span>text</span><br>more</div>",
            "<img src=\"https://example.org/a.png\" alt=\"A picture\">",
            "<a href=\"https://example.org/?a=1&amp;b=2\" title=\"There\" rel=\"noopener\">there</a>",
            "Text without any tag &amp; with &lt;signs&gt;",
            "日本語 🦊 café",
        ])
    func kept(html: String) throws {
        #expect(try SafeHTML(html).rawValue == html)
    }

    @Test(
        "what is not allowed goes, with its content where that is a program",
        arguments: [
            ("<p>a<script>alert(1)</script>b</p>", "<p>ab</p>"),
            ("<style>p{color:red}</style><p>a</p>", "<p>a</p>"),
            ("<iframe src=\"https://evil.example\">fallback</iframe>x", "x"),
            ("<p onclick=\"alert(1)\" style=\"x\" class=\"y\" id=\"z\">a</p>", "<p>a</p>"),
            ("<font color=\"red\">red</font> <custom-tag>kept</custom-tag>", "red kept"),
            ("<!-- comment --><p>a</p><!--[if IE]><b>x</b><![endif]-->", "<p>a</p>"),
            ("<form action=\"https://evil.example\"><input name=\"q\"><p>a</p></form>", "<p>a</p>"),
            ("<a href=\"javascript:alert(1)\">x</a>", "x"),
            ("<a href=\"/relative?x=1#y\">x</a>", "<a href=\"/relative?x=1#y\" rel=\"noopener\">x</a>"),
            ("<a href=\"mailto:a@example.org\">x</a>", "<a href=\"mailto:a@example.org\" rel=\"noopener\">x</a>"),
            (
                "<a href=\"https://example.org\" target=\"_blank\" rel=\"opener\">x</a>",
                "<a href=\"https://example.org\" rel=\"noopener\">x</a>"
            ),
            ("<img src=\"data:image/svg+xml;base64,AAAA\">", ""),
            ("<img src=\"/relative.png\">", ""),
            ("<img src=x onerror=alert(1)>", ""),
            ("<td colspan=\"99999\">x</td>", "<td>x</td>"),
            ("<p>unclosed <b>bold", "<p>unclosed <b>bold</b></p>"),
            ("", ""),
        ])
    func removed(html: String, expected: String) throws {
        #expect(try SafeHTML(html).rawValue == expected)
    }

    @Test("known attacks come out as harmless text and tags, and stay the same when sanitized again", arguments: Attacks.all)
    func attacks(html: String) throws {
        let safe = try SafeHTML(html).rawValue
        try #require(Self.isHarmless(safe), "\(safe)")
        #expect(try SafeHTML(safe).rawValue == safe)
    }

    @Test("random tag soup comes out harmless and stays the same")
    func soup() throws {
        var generator = SystemRandomNumberGenerator()
        let pieces = Attacks.all.flatMap { $0.split(separator: ">", omittingEmptySubsequences: false).map { $0 + ">" } }
        for _ in 0..<300 {
            let html = (0..<12).compactMap { _ in pieces.randomElement(using: &generator) }.joined()
            guard let safe = try? SafeHTML(html).rawValue else { continue }
            try #require(Self.isHarmless(safe), "\(html) became \(safe)")
            try #require(try SafeHTML(safe).rawValue == safe, "\(html) became \(safe)")
        }
    }

    @Test("nesting beyond the parser's limit is refused, not cut")
    func depth() throws {
        let deep = String(repeating: "<div>", count: 200) + "text" + String(repeating: "</div>", count: 200)
        #expect(try SafeHTML(deep).rawValue == deep)
        let problem = #expect(throws: TextProblem.self) {
            try SafeHTML(String(repeating: "<div>", count: 400) + "text")
        }
        #expect(problem?.code == "too-deep")
    }

    /// A reader of its own, stricter than any browser: only known tags with known attributes, and no other sign of markup.
    static func isHarmless(_ html: String) -> Bool {
        let names = "h[1-6]|p|br|b|strong|i|em|u|s|a|ul|ol|li|blockquote|code|pre|img|table|caption|thead|tbody|tfoot|tr|th|td|hr|span|div"
        let address = #"(https?://|mailto:|(?![a-zA-Z][a-zA-Z0-9+.-]*:)[^"<>:]*(?=[/?#"]))"#
        let attributes =
            #"( href="\#(address)[^"<>]*"| src="https?:[^"<>]*"|( title| alt)="[^"<>]*"| rel="noopener"|( colspan| rowspan)="[0-9]+")"#
        guard let tag = try? Regex("<(/(\(names))|(\(names))(\(attributes))*)>") else { return false }
        let text = html.replacing(tag, with: "")
        return !text.contains("<") && !text.contains(">")
            && !html.unicodeScalars.contains { $0.value < 0x20 && !"\t\n\r".unicodeScalars.contains($0) }
    }
}

/// Payloads from the OWASP and PortSwigger cheat sheets and from published mutation attacks.
enum Attacks {
    static let all = [
        "<script>alert(1)</script>", "<SCRIPT SRC=//evil.example/x.js></SCRIPT>", "<scr<script>ipt>alert(1)</scr</script>ipt>",
        "<script\n>alert(1)</script\n>", "<script/x>alert(1)</script>", "<<script>alert(1);//<</script>", "<script>/*</script>*/alert(1)//",
        "<img src=x onerror=alert(1)>", "<img src=\"x\" onerror=\"alert(1)\">", "<img/src=x/onerror=alert(1)>",
        "<img src=`x`onerror=alert(1)>",
        "<img src=\"https://a.example/x\" onerror=alert(1)//>", "<img \"\"\"><script>alert(1)</script>\">", "<img src=javascript:alert(1)>",
        "<img src=https://a.example/`onerror=alert(1)>", "<img alt=\"`><script>alert(1)</script>\" src=https://a.example/x>",
        "<svg onload=alert(1)>", "<svg><script>alert(1)</script></svg>", "<svg/onload=alert(1)//",
        "<svg><a xlink:href=\"javascript:alert(1)\"><text>x</text></a></svg>",
        "<svg></p><style><a id=\"</style><img src=1 onerror=alert(1)>\">", "<svg><style><img src=x onerror=alert(1)></style></svg>",
        "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=1 onerror=alert(1)&gt;\">",
        "<math><mtext><table><mglyph><style><math><img src onerror=alert(1)></style>",
        "<math><maction actiontype=\"statusline#http://x\" xlink:href=\"javascript:alert(1)\">x</maction></math>",
        "<form><math><mtext></form><form><mglyph><svg><mtext><style><path id=\"</style><img onerror=alert(1) src>\">",
        "<noscript><p title=\"</noscript><img src=x onerror=alert(1)>\">", "<noembed><p title=\"</noembed><img src=x onerror=alert(1)>\">",
        "<textarea><p title=\"</textarea><img src=x onerror=alert(1)>\">", "<title><p title=\"</title><img src=x onerror=alert(1)>\">",
        "<xmp><p title=\"</xmp><img src=x onerror=alert(1)>\">", "<template><script>alert(1)</script></template>",
        "<select><template><img src=x onerror=alert(1)></template></select>", "<plaintext><img src=x onerror=alert(1)>",
        "<listing>&lt;img src=x onerror=alert(1)&gt;</listing>", "<style><!--</style><script>alert(1)</script>-->",
        "<!--><script>alert(1)</script>-->", "<!--- --!><img src=x onerror=alert(1)> -->", "<!-- a=\"--><img src=x onerror=alert(1)>\" -->",
        "<![CDATA[<script>alert(1)</script>]]>", "<?xml version=\"1.0\"?><script>alert(1)</script>",
        "<!ENTITY x SYSTEM \"file:///etc/passwd\">&x;",
        "<!DOCTYPE html [<!ENTITY x \"<script>alert(1)</script>\">]>&x;", "<a href=\"javascript:alert(1)\">x</a>",
        "<a href=\"JaVaScRiPt:alert(1)\">x</a>", "<a href=\" javascript:alert(1)\">x</a>", "<a href=\"java\tscript:alert(1)\">x</a>",
        "<a href=\"java&#10;script:alert(1)\">x</a>", "<a href=\"&#x6A;avascript:alert(1)\">x</a>",
        "<a href=\"javascript&colon;alert(1)\">x</a>",
        "<a href=\"java&Tab;script:alert(1)\">x</a>", "<a href=\"&#1;javascript:alert(1)\">x</a>",
        "<a href=\"\u{1}javascript:alert(1)\">x</a>",
        "<a href=\"vbscript:msgbox(1)\">x</a>", "<a href=\"data:text/html,<script>alert(1)</script>\">x</a>",
        "<a href=\"feed:javascript:alert(1)\">x</a>", "<a href=\"view-source:javascript:alert(1)\">x</a>",
        "<a href='x' onmouseover='alert(1)'>x</a>",
        "<a href=\"https://x.example\" title='\" onmouseover=\"alert(1)'>x</a>",
        "<a href=\"https://x.example/&quot; onclick=&quot;alert(1)\">x</a>",
        "<a href=\"\\\\evil.example\">x</a>", "<a href=\"javascript\u{3A}alert(1)\">x</a>", "<a href=\"jav\u{0AD}ascript:alert(1)\">x</a>",
        "<a href=\"javascript\u{FF1A}alert(1)\">x</a>", "<p title=\"</p><script>alert(1)</script>\">x</p>",
        "<div style=\"background:url(javascript:alert(1))\">x</div>", "<div style=\"width:expression(alert(1))\">x</div>",
        "<table background=\"javascript:alert(1)\"><tr><td>x</td></tr></table>", "<table><tr><td><script>alert(1)</script></table>",
        "<table><style><!--</style><img src=x onerror=alert(1)>", "<iframe srcdoc=\"<script>alert(1)</script>\"></iframe>",
        "<iframe src=\"javascript:alert(1)\"></iframe>", "<object data=\"javascript:alert(1)\"></object>",
        "<embed src=\"javascript:alert(1)\">",
        "<base href=\"javascript:alert(1)//\"><a href=\"x\">x</a>", "<meta http-equiv=\"refresh\" content=\"0;url=javascript:alert(1)\">",
        "<link rel=stylesheet href=\"https://evil.example/x.css\">", "<body onload=alert(1)>x", "<html onmouseover=alert(1)><body>x",
        "</body></html><script>alert(1)</script>", "<input autofocus onfocus=alert(1)>", "<details open ontoggle=alert(1)>x</details>",
        "<video><source onerror=\"alert(1)\"></video>", "<audio src onloadstart=alert(1)>", "<marquee onstart=alert(1)>x</marquee>",
        "<isindex action=javascript:alert(1) type=image>", "<button formaction=javascript:alert(1)>x</button>",
        "<x onclick=alert(1)>click</x>", "<x/onclick=alert(1)//>click", "<b/onmouseover=alert(1)>x</b>", "<b\u{0C}onclick=alert(1)>x</b>",
        "<ScRiPt>alert(1)</sCrIpT>", "\u{FEFF}<script>alert(1)</script>", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
        "<meta charset=\"utf-7\">+ADw-script+AD4-alert(1)", "<meta charset=\"iso-2022-jp\">\u{1B}(J<img src=x onerror=alert(1)>",
        "<a href=\"https://x.example\u{2028}\" onclick=alert(1)>x</a>", "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&#60;script&#62;alert(1)&#60;/script&#62;",
        "&amp;lt;script&amp;gt;alert(1)", "<p>&lt;img src=x onerror=alert(1)&gt;</p>",
        "<img src=\"https://x.example/&#34; onerror=alert(1)\">",
        "<a href=\"https://x.example\"\"onclick=alert(1)>x</a>", "<a\nhref\n=\n\"javascript:alert(1)\">x</a>", "<a href>x</a>", "<img src>",
        "<a <a href=\"javascript:alert(1)\">x", "<</p>><script>alert(1)</script>", "<p", "<", "&", "&#", "&#x110000;", "&#0;",
        "</p></p></p>",
    ]
}
