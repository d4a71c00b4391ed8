import Contracts
import Foundation
import TestKit
import Testing

@testable import SearchService

@Suite("Snippets")
struct SnippetTests {
    /// Letters that make one character with the sign after them (UAX 29, rule GB9b), and one that does so with the sign before it.
    private static let joining = ["\u{600}", "\u{605}", "\u{6DD}", "\u{70F}", "\u{110BD}", "\u{301}", "\u{200D}"]

    @Test(
        "every sign of HTML is escaped, whatever letter stands beside it",
        arguments: [("<", "&lt;"), (">", "&gt;"), ("&", "&amp;"), ("\"", "&quot;")])
    func escaping(sign: String, escaped: String) {
        #expect(Snippet.html(marked: "a\(sign)b") == "a\(escaped)b")
        for letter in Self.joining {
            let html = Snippet.html(marked: letter + sign + letter)
            #expect(Array(html.unicodeScalars) == Array((letter + escaped + letter).unicodeScalars), "\(letter.unicodeScalars)")
        }
    }

    @Test("what was found is marked, also after a letter that joins")
    func marks() {
        #expect(Snippet.html(marked: "a \u{2}<b>\u{3} c") == "a <mark>&lt;b&gt;</mark> c")
        let html = Snippet.html(marked: "\u{600}\u{2}x\u{301}\u{3}")
        #expect(Array(html.unicodeScalars) == Array("\u{600}<mark>x\u{301}</mark>".unicodeScalars))
    }

    @Test("a title with markup behind a joining letter comes out as text")
    func throughTheIndex() async throws {
        let library = try await Library.open()
        try await library.add("\u{600}<img src=x onerror=alert(1) \u{600}> gazelle", "<p>\u{600}&lt;img src=y\u{600}&gt; gazelle</p>")
        let hit = try await library.search("gazelle")["data"][0]
        for field in ["highlightedTitle", "snippet"] {
            let html = try #require(hit[field].string)
            let scalars = html.replacing("<mark>", with: "").replacing("</mark>", with: "").unicodeScalars
            #expect(!scalars.isEmpty && !scalars.contains("<") && !scalars.contains(">"), "\(field)")
        }
    }
}
