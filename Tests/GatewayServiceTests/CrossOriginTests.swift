import Foundation
import NIOCore
import Testing

@testable import GatewayService

@Suite("Pages of other origins")
struct CrossOriginTests {
    private let table = CrossOrigin(
        origins: ["https://console.example.org"],
        tenants: ["acme": ["https://acme.test", "https://both.test"], "0197b1c0-0000-7000-8000-000000000001": ["https://Both.test:8443"]])

    private func grant(_ origin: String, tenant: String? = nil, slug: String? = nil) -> CrossOrigin.Grant? {
        Array(origin.utf8).withUnsafeBytes { table.grant($0, tenant: tenant, slug: slug) }
    }

    @Test("Everybody's origins may call for every organization, one organization's only for that one")
    func tenants() {
        #expect(grant("https://console.example.org", tenant: "other") != nil)
        #expect(grant("HTTPS://Console.Example.ORG", tenant: "other") != nil)
        #expect(grant("https://acme.test", slug: "acme") != nil)
        #expect(grant("https://acme.test", tenant: "0197b1c0-0000-7000-8000-000000000001") == nil)
        #expect(grant("https://acme.test", tenant: "0197b1c0-0000-7000-8000-000000000001", slug: "other") == nil)
        #expect(grant("https://both.test:8443", tenant: "0197b1c0-0000-7000-8000-000000000001") != nil)
        #expect(grant("https://both.test:8443", slug: "acme") == nil)
    }

    @Test(
        "An origin that nobody named is told nothing",
        arguments: [
            "null", "", "https://console.example.org.evil.test", "http://console.example.org", "https://console.example.org:444",
            "https://evil.test/https://console.example.org", "https://console.example.orgx", "https://xconsole.example.org",
        ])
    func strangers(origin: String) {
        #expect(grant(origin) == nil)
        #expect(Array(origin.utf8).withUnsafeBytes { table.preflight($0) } == nil)
    }

    @Test("Before an organization is known, a page that any of them allows may ask")
    func unknown() {
        #expect(Array("https://acme.test".utf8).withUnsafeBytes { table.preflight($0) } != nil)
        #expect(grant("https://acme.test") != nil)
    }

    @Test("The lines are the whole of the protocol, and never a wildcard")
    func lines() throws {
        let found = try #require(grant("https://console.example.org"))
        let answer = String(buffer: found.answer)
        let preflight = String(buffer: found.preflight)
        for text in [answer, preflight] {
            #expect(text.hasPrefix("Vary: Origin\r\nAccess-Control-Allow-Origin: https://console.example.org\r\n"))
            #expect(text.contains("Access-Control-Allow-Credentials: true\r\n"))
            #expect(text.hasSuffix("\r\n"))
            #expect(!text.contains("*"))
        }
        #expect(answer.contains("Access-Control-Expose-Headers: "))
        #expect(preflight.contains("Access-Control-Allow-Methods: ") && preflight.contains("Access-Control-Max-Age: 600\r\n"))
    }

    @Test("Without origins nothing is said")
    func empty() {
        let table = CrossOrigin(origins: [])
        #expect(table.isEmpty)
        #expect(Array("https://a.test".utf8).withUnsafeBytes { table.grant($0, tenant: nil, slug: nil) } == nil)
    }
}

@Suite("Sessions in cookies")
struct CrossSiteTests {
    private func read(_ cookies: String) -> (token: String, csrf: String?)? {
        let bytes = Array(cookies.utf8)
        return bytes.withUnsafeBytes { CookieSession.read($0) }.map { session in
            (String(decoding: bytes[session.token], as: UTF8.self), session.csrf.map { String(decoding: bytes[$0], as: UTF8.self) })
        }
    }

    @Test("The session and its token are found among other cookies")
    func found() throws {
        let one = try #require(read("a=b; trionex_session=x.y.z;trionex_csrf=abc ; c=d"))
        #expect(one == ("x.y.z", "abc"))
        #expect(try #require(read("trionex_session=x")).csrf == nil)
        let host = try #require(read("trionex_session=planted; trionex_csrf=planted; __Host-trionex_session=real; __Host-trionex_csrf=own"))
        #expect(host == ("real", "own"))
        #expect(try #require(read("__Host-trionex_session=real; trionex_csrf=planted")).csrf == nil)
    }

    @Test(
        "What is there twice, empty, of another name or endless is no session",
        arguments: [
            "", "a=b", "trionex_session=", "trionex_session=a; trionex_session=b", "xtrionex_session=a", "trionex_sessionx=a",
            "trionex-session=a",
            "Trionex_Session=a", "trionex_session", ";;;",
            "trionex_session=a; " + String(repeating: "x", count: CookieSession.maximumBytes),
        ])
    func none(cookies: String) { #expect(read(cookies) == nil) }

    @Test("Two tokens are none")
    func twoTokens() throws { #expect(try #require(read("trionex_session=a; trionex_csrf=b; trionex_csrf=c")).csrf == nil) }

    private func check(
        isUnsafe: Bool = true, isUpgrade: Bool = false, token: String? = "abc", cookie: String? = "abc", origin: String? = nil,
        site: String? = nil, host: String = "api.example.org", isEncrypted: Bool = true, isOriginAllowed: Bool = false
    ) -> CrossSite.Verdict {
        func with<T>(_ text: String?, _ body: (UnsafeRawBufferPointer?) -> T) -> T {
            guard let text else { return body(nil) }
            return Array(text.utf8).withUnsafeBytes { body($0) }
        }
        return with(token) { token in
            with(cookie) { cookie in
                with(origin) { origin in
                    with(site) { site in
                        with(host) { host in
                            CrossSite.check(
                                .init(
                                    isUnsafe: isUnsafe, isUpgrade: isUpgrade, headerToken: token, cookieToken: cookie, origin: origin,
                                    fetchSite: site, host: host, isEncrypted: isEncrypted, isOriginAllowed: isOriginAllowed))
                        }
                    }
                }
            }
        }
    }

    @Test("A page of ours, or of an origin that may call, with the token of the cookie is let through")
    func fine() {
        #expect(check(origin: "https://api.example.org", site: "same-origin") == .fine)
        #expect(check(origin: "https://API.example.org") == .fine)
        #expect(check(site: "none") == .fine)
        #expect(check() == .fine)
        #expect(check(origin: "https://console.test", site: "cross-site", isOriginAllowed: true) == .fine)
        #expect(check(isUnsafe: false, token: nil, cookie: nil, origin: "https://evil.test", site: "cross-site") == .fine)
        #expect(check(origin: "http://api.example.org", isEncrypted: false) == .fine)
    }

    @Test("Everything else is not")
    func refused() {
        #expect(check(token: nil) == .tokenMissing)
        #expect(check(cookie: nil) == .tokenMissing)
        #expect(check(token: "", cookie: "") == .tokenMissing)
        #expect(check(token: "abd") == .tokenWrong)
        #expect(check(token: "abcd") == .tokenWrong)
        #expect(check(origin: "https://evil.test") == .originForeign)
        #expect(check(origin: "null") == .originForeign)
        #expect(check(origin: "http://api.example.org") == .originForeign)
        #expect(check(origin: "https://api.example.org.evil.test") == .originForeign)
        #expect(check(site: "cross-site") == .originForeign)
        #expect(check(origin: "https://acme.example.org", site: "same-site") == .originForeign)
    }

    @Test("Any page can open a WebSocket with cookies, so its origin must be one of ours")
    func sockets() {
        #expect(check(isUnsafe: false, isUpgrade: true, token: nil, cookie: nil, origin: "https://api.example.org") == .fine)
        #expect(check(isUnsafe: false, isUpgrade: true, token: nil, cookie: nil, origin: "https://evil.test") == .originForeign)
        #expect(check(isUnsafe: false, isUpgrade: true, token: nil, cookie: nil) == .originForeign)
    }

    @Test("Every answer tells browsers to be careful; what a service said itself stays")
    func securityHeaders() {
        var out = ByteBuffer()
        SecurityHeaders.write(to: &out, hasContentSecurity: false, hasReferrer: false, isEncrypted: true)
        let all = String(buffer: out)
        for name in [
            "X-Content-Type-Options", "X-Frame-Options", "Content-Security-Policy", "Referrer-Policy", "Strict-Transport-Security",
        ] {
            #expect(all.components(separatedBy: "\(name): ").count == 2, "\(name)")
        }
        out.clear()
        SecurityHeaders.write(to: &out, hasContentSecurity: true, hasReferrer: false, isEncrypted: false)
        let some = String(buffer: out)
        #expect(!some.contains("Content-Security-Policy") && !some.contains("Strict-Transport-Security"))
        #expect(some.contains("Referrer-Policy"))
    }
}
