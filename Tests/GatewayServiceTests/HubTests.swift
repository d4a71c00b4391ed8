import Contracts
import Foundation
import NIOCore
import NIOHTTP1
import Synchronization
import TestKit
import Testing

@testable import GatewayService

@Suite("The developer hub")
struct HubTests {
    private static let texts = HubFiles.all.map { (path: $0.path, text: String(decoding: $0.bytes, as: UTF8.self)) }

    private static let forbidden = [
        "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage", "sessionStorage",
    ]

    private func text(_ path: String) throws -> String {
        try #require(Self.texts.first { $0.path == path }?.text, "\(path) is not served")
    }

    @Test("Every file has bytes, and no path is there twice")
    func files() {
        #expect(HubFiles.all.allSatisfy { !$0.bytes.isEmpty })
        #expect(Set(HubFiles.all.map(\.path)).count == HubFiles.all.count)
    }

    @Test("Every file of Gateway/Hub is served under its own name")
    func complete() throws {
        let folder = URL(filePath: Repository.root).appending(path: "Gateway/Hub")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(names.count > 5)
        for name in names {
            let bytes = try Data(contentsOf: folder.appending(path: name))
            let path = name == "index.html" ? "/docs" : "/docs/\(name)"
            #expect(HubFiles.all.first { $0.path == path }.map { Data($0.bytes) } == bytes, "\(name) is not served as it is")
        }
    }

    @Test("The page's policy allows its own files alone: nothing inline, nothing from elsewhere, no frames, no markup by script")
    func policy() throws {
        let policy = try #require(HubFiles.all.first { $0.path == "/docs" }).contentSecurityPolicy
        let rules = Dictionary(
            uniqueKeysWithValues: policy.split(separator: ";").map { rule in
                let words = rule.split(separator: " ").map(String.init)
                return (words[0], words.dropFirst().joined(separator: " "))
            })
        #expect(rules["default-src"] == "'none'")
        for name in ["script-src", "style-src", "connect-src", "img-src"] { #expect(rules[name] == "'self'") }
        for name in ["base-uri", "form-action", "frame-ancestors", "trusted-types"] { #expect(rules[name] == "'none'") }
        #expect(rules["require-trusted-types-for"] == "'script'")
        #expect(!policy.contains("unsafe") && !policy.contains("*") && !policy.contains("http"))
    }

    @Test("No script or style stands in the page itself, and no handler")
    func nothingInline() throws {
        let page = try text("/docs")
        #expect(try !page.contains(Regex(#"<script(?![^>]*\bsrc=)"#)))
        #expect(try !page.contains(Regex(#"<script[^>]*>[^<]"#)))
        #expect(!page.contains("<style"))
        #expect(try !page.contains(Regex(#"\s(style|on[a-z]+)\s*="#)))
        #expect(!page.contains("javascript:"))
    }

    @Test("No file names another host, but for examples and the name of the SVG language")
    func nothingForeign() throws {
        let address = try Regex(#"(https?:)?//[a-z][a-z0-9.-]*\.[a-z]{2,}"#)
        for (path, text) in Self.texts {
            let foreign = text.matches(of: address).map { String(text[$0.range]) }
                .filter { $0 != "http://www.w3.org" && $0 != "https://example.org" }
            #expect(foreign.isEmpty, "\(path) names \(foreign)")
        }
    }

    @Test("All that a file asks for is served: scripts, styles, icons and imported modules")
    func nothingMissing() throws {
        let served = Set(HubFiles.all.map(\.path))
        let own = try Regex(#"["'(](/docs/[^"')#]+)["')]"#)
        var asked: Set<String> = []
        for (_, text) in Self.texts { asked.formUnion(text.matches(of: own).compactMap { $0.output[1].substring.map(String.init) }) }
        #expect(asked.count > 5)
        #expect(asked.isSubset(of: served), "\(asked.subtracting(served)) is not served")
    }

    @Test("Nothing makes markup out of text")
    func noMarkup() {
        for (path, text) in Self.texts where path.hasSuffix(".js") {
            for word in Self.forbidden { #expect(!text.contains(word), "\(path) says \(word)") }
        }
    }

    @Test("Without JavaScript the page says so, and leads to the document")
    func withoutScripts() throws {
        let page = try text("/docs")
        let note = try #require(page.firstMatch(of: try Regex(#"<noscript>([\s\S]*?)</noscript>"#))?.output[1].substring)
        #expect(note.contains("JavaScript") && note.contains("href=\"/api/v1/openapi.json\""))
    }

    @Test("The page has a language, a title, one heading of the first level, a skip link and landmarks")
    func structure() throws {
        let page = try text("/docs")
        #expect(page.contains("<html lang=\"en\">") && page.contains("<title>"))
        #expect(page.matches(of: try Regex("<h1[ >]")).count == 1)
        for landmark in ["<header", "<nav", "<main", "<footer", "role=\"search\"", "class=\"skip\" id=\"skip\" href=\"#main\""] {
            #expect(page.contains(landmark), "there is no \(landmark)")
        }
    }
}

/// A document that a test changes.
private final class HeldDocument: Sendable {
    private let held: Mutex<Data>
    var bytes: Data { held.withLock { $0 } }

    init(_ text: String) { held = Mutex(Data(text.utf8)) }

    func set(_ text: String) { held.withLock { $0 = Data(text.utf8) } }
}

@Suite("What the gateway answers itself")
struct OwnPagesTests {
    private func page(_ path: String, of pages: OwnPages) -> OwnPage? { Array(path.utf8).withUnsafeBytes { pages.page($0) } }

    @Test("The hub, its files, the document, and what browsers and crawlers ask for are found by their whole paths")
    func found() throws {
        let pages = OwnPages(document: { .document(Data("{}".utf8)) })
        for path in ["/docs", "/docs/", "/docs/hub.js", "/docs/hub.css", "/favicon.ico", "/robots.txt", "/api/v1/openapi.json"] {
            let found = try #require(page(path, of: pages), "\(path) is not there")
            #expect(found.status == 200)
            #expect(found.body.readableBytes > 0)
        }
        #expect(page("/docs", of: pages)?.contentType == "text/html; charset=utf-8")
        #expect(page("/docs/hub.js", of: pages)?.contentType == "text/javascript; charset=utf-8")
        #expect(page("/docs/hub.css", of: pages)?.contentType == "text/css; charset=utf-8")
        #expect(page("/docs/hub.css", of: pages)?.cacheControl == "no-cache")
        #expect(page("/api/v1/openapi.json", of: pages)?.cacheControl == "no-cache")
        #expect(page("/robots.txt", of: pages).map { String(buffer: $0.body) } == "User-agent: *\nDisallow: /\n")
    }

    @Test(
        "Nothing else is a page of the gateway's",
        arguments: [
            "", "/", "/d", "/doc", "/docs2", "/docs//", "/docs/index.html", "/docs/../hub.js", "/docs/hub.jsx", "/Docs", "/favicon.icon",
            "/robots.tx", "/api/v1/openapi.jso", "/api/v1/openapi.jsonx", "/api/v2/openapi.json", "/api/v1/articles/xy",
        ])
    func absent(path: String) {
        #expect(page(path, of: OwnPages(document: { .document(Data("{}".utf8)) })) == nil)
    }

    @Test("Tags are strong, differ with the bytes, and stay while those stay")
    func tags() throws {
        let pages = OwnPages(document: { .document(Data("{}".utf8)) })
        let tags = HubFiles.all.compactMap { page($0.path, of: pages)?.etag }
        #expect(tags.allSatisfy { $0.wholeMatch(of: /"[0-9a-f]{32}"/) != nil })
        #expect(Set(tags).count == Set(HubFiles.all.map { Data($0.bytes) }).count)
        #expect(page("/docs", of: pages)?.etag == page("/docs", of: OwnPages(document: { .document(Data("[]".utf8)) }))?.etag)
    }

    @Test("The document is what it is at the moment, with a tag of its own")
    func changingDocument() throws {
        let document = HeldDocument("{\"n\":0}")
        let pages = OwnPages(document: { .document(document.bytes) })
        let first = try #require(page("/api/v1/openapi.json", of: pages))
        document.set("{\"n\":0}")
        let same = try #require(page("/api/v1/openapi.json", of: pages))
        document.set("{\"n\":1}")
        let other = try #require(page("/api/v1/openapi.json", of: pages))
        #expect(first.etag == same.etag && String(buffer: same.body) == "{\"n\":0}")
        #expect(first.etag != other.etag && String(buffer: other.body) == "{\"n\":1}")
    }

    @Test("Each page is there in every coding, told apart by its tag; a client that has one of them has the page")
    func codings() throws {
        let pages = OwnPages(document: { .document(Data(String(repeating: "{ }", count: 1_000).utf8)) })
        func form(_ page: OwnPage, _ accepted: String) -> OwnPage.Form { Array(accepted.utf8).withUnsafeBytes { page.form($0) } }
        for path in ["/docs/hub.js", "/api/v1/openapi.json"] {
            let own = try #require(page(path, of: pages), "\(path) is not there")
            let forms = [form(own, "gzip"), form(own, "br"), form(own, "zstd"), own.form(nil)]
            #expect(forms.map(\.coding) == [.gzip, .brotli, .zstd, nil] && Set(forms.map(\.etag)).count == 4)
            #expect(forms.dropLast().allSatisfy { $0.body.readableBytes < own.body.readableBytes })
            #expect(form(own, "identity").coding == nil && form(own, "gzip;q=0").coding == nil)
            for form in forms { #expect(Array("\"x\", W/\(form.etag)".utf8).withUnsafeBytes { own.isKnown($0) }) }
            #expect(!Array("\"x\"".utf8).withUnsafeBytes { own.isKnown($0) })
        }
        #expect(page("/robots.txt", of: pages)?.varies == false)
    }

    @Test("Through the door they come compressed to who accepts it, and not at all to who has them")
    func throughTheDoor() async throws {
        try await Town.with { town in
            for path in ["/docs/hub.css", "/docs"] {
                let plain = try await town.client().get(path, headers: ["accept-encoding": "identity"])
                #expect(
                    plain.status == 200 && plain.header("Content-Encoding") == nil
                        && plain.header("Vary")?.contains("Accept-Encoding") == true)
                #expect(plain.header("Cache-Control") == "no-cache")
                #expect(plain.header("Cross-Origin-Opener-Policy") == "same-origin")
                #expect(plain.header("Cross-Origin-Resource-Policy") == "same-origin")
                #expect(plain.header("Permissions-Policy")?.contains("camera=()") == true)
                for once in ["X-Content-Type-Options", "X-Frame-Options", "Referrer-Policy", "Content-Security-Policy"] {
                    #expect(plain.headers[once].count == 1, "\(once)")
                }
                let packed = try await rawGet(path, ["Accept-Encoding: gzip"], to: town.port)
                #expect(packed.hasPrefix("HTTP/1.1 200") && packed.contains("Content-Encoding: gzip\r\n"))
                let tag = try #require(plain.header("ETag"))
                let known = try await rawGet(path, ["Accept-Encoding: br", "If-None-Match: \(tag)"], to: town.port)
                #expect(known.hasPrefix("HTTP/1.1 304") && !known.contains("Content-Encoding"))
            }
        }
    }
}
