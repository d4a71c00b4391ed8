import Testing

@testable import SearchService

@Suite("Plain text of HTML")
struct PlainTextTests {
    @Test(
        "tags go, references are resolved, blocks separate words",
        arguments: [
            ("<p>one</p><p>two</p>", "one two"), ("<b>bo</b>ld", "bold"), ("a<br>b", "a b"),
            ("a &amp; b &lt;c&gt; &quot;d&quot; &#96;e&#x41;", "a & b <c> \"d\" `eA"),
            ("<a href=\"https://example.org\" rel=\"noopener\">link</a>ed", "linked"), ("<td>1</td><td>2</td>", "1 2"),
            ("  a \n\t b  ", "a b"),
            ("&unknown; & &; &#xD800; &#9999999999;", "&unknown; & &; &#xD800; &#9999999999;"), ("open <b", "open"), ("", ""),
            ("日本 🦊", "日本 🦊"),
            ("&#2;marked&#3;", "&#2;marked&#3;"),
        ])
    func reading(html: String, expected: String) {
        #expect(PlainText.read(html: html) == expected)
    }

    @Test("of text as it is white space is reduced, and control characters are spaces")
    func plain() {
        #expect(PlainText.read(plain: "a\u{0}b \u{2}c\u{3}\r\n\t d < e &amp; \u{85}\u{9B}f") == "a b c d < e &amp; f")
        let long = PlainText.read(plain: String(repeating: "🦊", count: 100_000))
        let isCut = long.utf8.count <= PlainText.maximumBytes && long.allSatisfy { $0 == "🦊" }
        #expect(isCut)
    }

    @Test("long texts are cut between characters")
    func cut() {
        let text = PlainText.read(html: String(repeating: "🦊", count: 100_000))
        #expect(text.utf8.count <= PlainText.maximumBytes)
        #expect(text.allSatisfy { $0 == "🦊" })
    }

    @Test("a snippet is escaped around its marks")
    func snippet() {
        #expect(Snippet.html(marked: "a <b> \u{2}c & d\u{3} \"e\"") == "a &lt;b&gt; <mark>c &amp; d</mark> &quot;e&quot;")
    }
}
