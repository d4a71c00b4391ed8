import Contracts
import Foundation
import Testing

@testable import AuthService

@Suite("OpenID Connect: the rules") struct OpenIDRuleTests {
    @Test(
        "addresses that a client may register",
        arguments: [
            "https://rp.example/callback", "https://rp.example:8443/a?b=c", "http://127.0.0.1/cb", "http://[::1]:5000/cb",
            "http://localhost:3000/cb", "com.example.app:/oauth", "org.example.tool://back/here",
        ])
    func goodAddresses(_ text: String) throws { #expect(try RedirectAddress(text).rawValue == text) }

    @Test(
        "addresses that a client may not register",
        arguments: [
            "", "x", "http://rp.example/", "https:///callback", "https://rp.example/#f", "https://rp.example/*", "https://u:p@rp.example/",
            "javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "myapp:/callback", "HTTPS://rp.example/",
            "https://rp.example/a b",
            "https://rp.example/\u{0}", "https://rp.example/ä", "http://127.0.0.1.evil.example/", "http://localhost.evil.example/",
        ])
    func badAddresses(_ text: String) { #expect(throws: TextProblem.self) { try RedirectAddress(text) } }

    @Test("a loopback address of a public client may have any port, and differ in nothing else")
    func loopback() throws {
        let registered = try RedirectAddress("http://127.0.0.1:1/cb?x=1")
        #expect(registered.matches("http://127.0.0.1:51234/cb?x=1", anyLoopbackPort: true))
        #expect(!registered.matches("http://127.0.0.1:51234/cb?x=1", anyLoopbackPort: false))
        for other in [
            "http://127.0.0.1:51234/other?x=1", "http://127.0.0.1:51234/cb", "http://localhost:51234/cb?x=1",
            "https://127.0.0.1:51234/cb?x=1",
            "http://[::1]:51234/cb?x=1", "http://user@127.0.0.1:51234/cb?x=1", "http://127.0.0.1:51234/cb?x=1#f",
        ] {
            #expect(!registered.matches(other, anyLoopbackPort: true), "\(other)")
        }
        #expect(try !RedirectAddress("https://rp.example/cb").matches("https://rp.example:444/cb", anyLoopbackPort: true))
    }

    @Test("parameters are added to an address without changing what is there")
    func adding() {
        #expect(RedirectAddress.adding([("a", "b c&d")], to: "https://x.example/p") == "https://x.example/p?a=b%20c%26d")
        #expect(RedirectAddress.adding([("a", "1")], to: "https://x.example/p?q=2") == "https://x.example/p?q=2&a=1")
        #expect(RedirectAddress.adding([("a", "1")], to: "com.example.app:/back") == "com.example.app:/back?a=1")
        #expect(RedirectAddress.formTarget("https://x.example:8443/p?q") == "https://x.example:8443")
        #expect(RedirectAddress.formTarget("com.example.app:/back") == "com.example.app:")
    }

    @Test("scopes are read each once, in order; one that is unknown spoils all")
    func scopes() {
        #expect([OAuthScope](parameter: "openid  email openid content:read")?.texts == ["openid", "email", "content:read"])
        for bad in ["openid *", "*", "nothing", "content:read:write", "openid content:", String(repeating: "a", count: 101) + ":b"] {
            #expect([OAuthScope](parameter: bad) == nil, "\(bad)")
        }
        #expect([OAuthScope](parameter: (0..<51).map { "a\($0):read" }.joined(separator: " ")) == nil)
    }

    @Test("a client's id and every carried secret read back as what was written, and as nothing else")
    func carried() throws {
        let name = ClientName(tenant: .make(), id: .make())
        #expect(ClientName(name.text) == name)
        #expect(ClientName(name.text + "A") == nil)
        // The last sign holds four bits that mean nothing: other spellings of the same bytes are refused.
        let last = try #require(name.text.last)
        let spellings = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".filter { $0 != last }
        for other in spellings { #expect(ClientName(name.text.dropLast() + String(other)) != name) }
        let secret = CarriedSecret.make(.code, tenant: name.tenant, id: name.id.uuid)
        #expect(CarriedSecret(.code, secret.text)?.digest == secret.digest)
        #expect(CarriedSecret(.refreshToken, secret.text) == nil, "one kind is not another")
        #expect(CarriedSecret.make(.code, tenant: name.tenant, id: name.id.uuid).text != secret.text)
    }

    @Test("a code is redeemed by its client, at its address, with its verifier, in its minute")
    func code() throws {
        let now = Date()
        let client = ClientID.make()
        let authorization = Authorization(
            id: .make(), client: client, account: .make(), codeExpiresAt: now.addingTimeInterval(60), redirectURI: "https://x.example/",
            scopes: [.openid], nonce: nil, challenge: "c", browser: .init(tenant: .make(), session: .make()), methods: ["pwd"],
            authenticatedAt: now, address: nil, userAgent: nil, createdAt: now, session: nil, redeemedAt: nil, expiresAt: now)
        func may(_ client: ClientID, _ uri: String?, _ challenge: String, _ time: Date) -> Bool {
            authorization.mayRedeem(client: client, redirectURI: uri, challengeOfVerifier: challenge, at: time)
        }
        #expect(may(client, "https://x.example/", "c", now))
        #expect(!may(.make(), "https://x.example/", "c", now))
        #expect(!may(client, "https://x.example", "c", now))
        #expect(!may(client, nil, "c", now))
        #expect(!may(client, "https://x.example/", "d", now))
        #expect(!may(client, "https://x.example/", "c", now.addingTimeInterval(60)))
    }
}
