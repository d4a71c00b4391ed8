import Contracts
import Foundation
import Testing

@Suite("Values that check themselves")
struct ValueTests {
    @Test("good addresses are kept in lower case", arguments: ["Ada@Example.org", "a.b+c@mail.example.co.uk", "x_1@a-b.io"])
    func goodEmail(text: String) throws { #expect(try EmailAddress(text).rawValue == text.lowercased()) }

    @Test(
        "bad addresses are refused",
        arguments: [
            "", "ada", "ada@", "@example.org", "a b@example.org", "a@b", "a@@b.org", ".a@b.org", "a.@b.org", "a..b@c.org", "a@-b.org",
            "a@b-.org",
            "a\r\nbcc:x@y.org", "ä@example.org", "a@exämple.org", String(repeating: "a", count: 65) + "@example.org",
            "a@" + String(repeating: "b.", count: 130) + "org", "\"a b\"@example.org", "a@b..org",
        ])
    func badEmail(text: String) { #expect(throws: TextProblem.self) { try EmailAddress(text) } }

    @Test(
        "slugs are made of titles",
        arguments: [("Notes on the Engine!", "notes-on-the-engine"), ("Ünïcödé  Übung", "unicode-ubung"), ("日本", "untitled")])
    func slugs(title: String, slug: String) { #expect(Slug.make(from: title).rawValue == slug) }

    @Test("bad slugs are refused", arguments: ["", "A", "a--b", "-a", "a-", "a b", "a/b", "ä"])
    func badSlug(text: String) { #expect(throws: TextProblem.self) { try Slug(text) } }

    @Test("a made slug is always a valid one, however long the title")
    func slugLength() throws {
        let slug = Slug.make(from: String(repeating: "many words ", count: 200))
        #expect(try Slug(slug.rawValue) == slug)
    }

    @Test("texts are trimmed, bounded and free of control characters")
    func texts() throws {
        #expect(try Title("  Engine  ").rawValue == "Engine")
        #expect(throws: TextProblem.self) { try Title("   ") }
        #expect(throws: TextProblem.self) { try Title(String(repeating: "x", count: 501)) }
        #expect(throws: TextProblem.self) { try Title("a\u{0}b") }
        #expect(throws: TextProblem.self) { try Name("a\nb") }
        #expect(try ShortText("a\nb").rawValue == "a\nb")
    }

    @Test(
        "only absolute web addresses pass",
        arguments: [
            "javascript:alert(1)", "ftp://a.org", "//a.org", "a.org", "https://", "http:///x", "https://e.org/a\n\"><script>",
            "https://e.org/\r\nX: y", "http://e.org/\u{01}x",
            "https://e.org/a b", "https://e.org/<x>",
        ])
    func badURL(text: String) { #expect(throws: TextProblem.self) { try WebAddress(text) } }

    @Test("identifiers made later sort later, are version 7 and survive their text")
    func identifiers() throws {
        let early = ArticleID.make(at: Date(timeIntervalSince1970: 1_000))
        let late = ArticleID.make(at: Date(timeIntervalSince1970: 2_000))
        #expect(early < late)
        #expect(Array(early.description)[14] == "7" && "89ab".contains(Array(early.description)[19]))
        #expect(ArticleID(early.description) == early)
        #expect(ArticleID(early.description.uppercased()) == early)
        for bad in ["", "x", early.description + "0", "{\(early)}", String(early.description.dropLast())] { #expect(ArticleID(bad) == nil) }
    }

    @Test("times are RFC 3339 in UTC with milliseconds, and offsets are understood")
    func times() {
        let date = Date(timeIntervalSince1970: 1_768_473_000.123)
        #expect(Timestamp.text(date) == "2026-01-15T10:30:00.123Z")
        let parsed = Timestamp.date("2026-01-15T10:30:00.123Z")?.timeIntervalSince1970 ?? 0
        #expect(abs(parsed - date.timeIntervalSince1970) < 0.000_5)
        for millisecond in 0..<1000 {
            let text = Timestamp.text(Date(timeIntervalSince1970: 1_768_473_000 + Double(millisecond) / 1000))
            #expect(text.dropFirst(20).prefix(3) == String(format: "%03d", millisecond))
        }
        #expect(Timestamp.date("2026-01-15T11:30:00+01:00") == Date(timeIntervalSince1970: 1_768_473_000))
        for bad in ["", "2026-01-15", "2026-13-15T10:30:00Z", "tomorrow", "2026-01-15 10:30:00"] {
            #expect(Timestamp.date(bad) == nil, "\(bad)")
        }
    }
}

@Suite("Permissions")
struct PermissionTests {
    @Test(
        "grant what they name, with a star on either side",
        arguments: [
            ("*", "content:write", true), ("content:*", "content:write", true), ("*:read", "content:read", true),
            ("*:read", "content:write", false),
            ("content:read", "content:read", true), ("content:read", "content:write", false), ("content:*", "files:read", false),
            ("content:read", "*", false),
        ])
    func matching(held: String, needed: String, allowed: Bool) throws {
        #expect(try #require(Permission(held)).allows(try #require(Permission(needed))) == allowed)
    }

    @Test("are refused in any other form", arguments: ["", "read", ":", "a:", ":b", "a:b:c", "**"])
    func malformed(text: String) { #expect(Permission(text) == nil) }

    @Test("of the roles that ship are as the contract says")
    func roles() {
        #expect(PermissionSet(BuiltInRole.owner.permissions).allows("anything:at-all"))
        #expect(PermissionSet(BuiltInRole.viewer.permissions).allows("content:read"))
        #expect(!PermissionSet(BuiltInRole.viewer.permissions).allows("content:write"))
        #expect(!PermissionSet(BuiltInRole.user.permissions).allows("content:publish"))
        #expect(PermissionSet(BuiltInRole.editor.permissions).allows("content:publish"))
    }
}
