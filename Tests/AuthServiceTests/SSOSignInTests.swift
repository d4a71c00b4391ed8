import Contracts
import Crypto
import Foundation
import Postgres
import ServiceKit
import Synchronization
import TestKit
import Testing

@testable import AuthService

/// Signing in with others, the whole way through a real browser's steps and a real issuer.
@Suite(.serialized) struct SSOSignInTests {
    @Test("somebody new joins by their organization's issuer, and comes back as the same person")
    func joins() async throws {
        let company = try await SSOCompany.found()
        let email = company.newcomer()
        let person = try await company.signIn()
        #expect(person.tenant == company.owner.tenant)
        #expect(person.answer["user"]["email"].string == email)
        #expect(person.answer["user"]["firstName"] == "Ada")
        #expect(person.answer["user"]["roles"] == ["viewer"])
        #expect(TokenParts.claims(person.access)["amr"].array.contains("fed"))
        #expect(person.user.hasNoTime)
        #expect(try await company.signIn().user == person.user)
        let registered = try await company.host.outbox(company.owner.tenant).filter { $0.type == UserRegistered.type }
        #expect(registered.filter { $0.payload["userID"].string == person.user.description }.count == 1)
        #expect(try await company.host.outbox(company.owner.tenant).filter { $0.type == UserLoggedIn.type }.count >= 2)
        #expect(try await company.audited("auth.sso.sign-in").count == 2)
        let read = try await company.client.get("/api/v1/auth/sso/connections/\(company.connection)")
        #expect(read["lastUsedAt"].string != nil)
    }

    @Test("an organization that has not shown that the domain is its own lets nobody in by an issuer of its own")
    func unownedDomain() async throws {
        let company = try await SSOCompany.found(owns: false)
        let email = company.newcomer()
        #expect(try await company.refusal() == "sso-untrusted-email")
        let left: Int? = try await company.host.database.first(
            Query("SELECT count(*) AS count FROM accounts WHERE email = \(email)", column: "count"), as: .anonymous(in: .platform))
        #expect(left == 0)
        // Not even the owner: an administrator with an issuer of theirs could be anybody.
        company.person("owner@\(company.domain)")
        #expect(try await company.refusal() == "sso-untrusted-email")
        let refused = try await company.audited("auth.sso.sign-in")
        #expect(refused.count == 2)
        #expect(refused.allSatisfy { $0["outcome"] == "refused" && $0["changed"]["reason"] == "sso-untrusted-email" })
    }

    @Test("a member's account is linked by their verified address, and keeps its role")
    func links() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let person = try await company.signIn()
        #expect(person.user == company.owner.user)
        #expect(person.answer["user"]["roles"] == ["owner"])
        // By the identity from now on, whatever the address.
        company.issuer.behave { $0.claims["email"] = .string("somebody.else@\(company.domain)") }
        #expect(try await company.signIn().user == company.owner.user)
    }

    @Test("an issuer that loses its domain opens no account any more that it opened by an address")
    func losesDomain() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        _ = try await company.signIn()
        try await company.stack.users.database.execute(
            "UPDATE organizations SET domain = NULL, domain_verified_at = NULL WHERE tenant_id = \(company.owner.tenant)",
            as: .service(.users, for: company.owner.tenant))
        #expect(try await company.refusal() == "sso-untrusted-email")
    }

    @Test("an issuer's word does not open the account of somebody elsewhere, though it names their address")
    func takeover() async throws {
        let company = try await SSOCompany.found(settings: ["domains": [], "joins": false])
        let victim = try await SSOCompany.register("victim@elsewhere-\(UUID().uuidString.lowercased()).example", at: company.host)
        company.person(victim.answer["user"]["email"].string ?? "")
        #expect(try await company.refusal() == "sso-untrusted-email")
        // Nor when they have been made a member: whoever may invite could be anybody otherwise.
        try await company.admit(victim.user, victim.answer["user"]["email"].string ?? "")
        #expect(try await company.refusal() == "sso-untrusted-email")
    }

    @Test("an account that somebody made with another's address becomes its owner's by the domain's issuer, without what was put into it")
    func squatted() async throws {
        let company = try await SSOCompany.found()
        let email = company.newcomer()
        let squatter = try await SSOCompany.register(email, at: company.host, verified: false)
        _ = try await FactorDesk(stack: company.stack, host: company.host, person: squatter).addApp()
        let owner = try await company.signIn()
        #expect(owner.user == squatter.user)
        #expect(try await company.host.client(token: owner.access).get("/api/v1/auth/mfa")["data"].array.isEmpty)
        #expect(try await company.host.client(token: squatter.access).get("/api/v1/auth/me").status == 401)
        let nobody = company.host.client(token: nil)
        #expect(try await nobody.post("/api/v1/auth/refresh", ["refreshToken": .string(squatter.refresh)]).status == 401)
        let again = try await nobody.post(
            "/api/v1/auth/login", ["email": .string(email), "password": .string(squatter.newcomer.password)])
        #expect(again.status == 401)
        #expect(try await company.signIn().user == owner.user)
    }

    @Test("an address that the issuer does not call verified opens nothing")
    func unverified() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)", verified: false)
        #expect(try await company.refusal() == "sso-no-verified-email")
        company.issuer.behave { $0.claims["email"] = nil }
        #expect(try await company.refusal() == "sso-no-verified-email")
    }

    @Test("who is no member stays outside where the connection takes nobody in; nothing is left of the attempt")
    func notInvited() async throws {
        let company = try await SSOCompany.found(settings: ["joins": false])
        let email = company.newcomer()
        #expect(try await company.refusal() == "sso-not-invited")
        let left: Int? = try await company.host.database.first(
            Query("SELECT count(*) AS count FROM accounts WHERE email = \(email)", column: "count"), as: .anonymous(in: .platform))
        #expect(left == 0)
    }

    @Test("what users refuses for good leaves neither account nor identity behind")
    func refusedByUsers() async throws {
        let company = try await SSOCompany.found(settings: ["defaultRole": "no-such-role"])
        let email = company.newcomer()
        #expect(try await company.refusal() != nil)
        let left: Int? = try await company.host.database.first(
            Query("SELECT count(*) AS count FROM accounts WHERE email = \(email)", column: "count"), as: .anonymous(in: .platform))
        #expect(left == 0)
    }

    @Test("a client secret that no key opens any more is a refusal, said in the log and the audit, until it is entered anew")
    func unreadableSecret() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let gone = try #require(Sealing(keys: Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString()))
        let sealed = try gone.seal(Data(SSOIssuer.secret.utf8), context: "whatever it was")
        try await company.host.database.execute(
            "UPDATE sso_connections SET client_secret = \(sealed)", as: .anonymous(in: company.owner.tenant))
        #expect(try await company.refusal() == "sso-secret-unreadable")
        #expect(company.issuer.asked("/token") == 0)
        #expect(try await company.audited("auth.sso.sign-in").map { $0["changed"]["reason"] } == ["sso-secret-unreadable"])
        let lines = company.host.log.lines.filter { $0.contains("client secret") && $0.contains(company.connection) }
        #expect(lines.count == 1 && lines[0].contains("\"level\":\"error\""))
        let path = "/api/v1/auth/sso/connections/\(company.connection)"
        #expect(try await company.client.patch(path, ["clientSecret": .string(SSOIssuer.secret)]).status == 200)
        #expect(try await company.signIn().user == company.owner.user)
    }

    // MARK: - Hostile answers

    @Test(
        "an ID token that is not the issuer's, for us, for this sign-in and of now is refused",
        arguments: [
            Misbehaviour("another's nonce", { $0.claims["nonce"] = "another" }), Misbehaviour("no nonce", { $0.removed = ["nonce"] }),
            Misbehaviour("another audience", { $0.claims["aud"] = "another-client" }),
            Misbehaviour("two audiences without azp", { $0.claims["aud"] = ["trionex", "another"] }),
            Misbehaviour("another azp", { $0.claims["azp"] = "another" }),
            Misbehaviour("another issuer", { $0.claims["iss"] = "https://accounts.google.com" }),
            Misbehaviour("expired", { $0.claims["exp"] = .integer(Int(Date().timeIntervalSince1970) - 120) }),
            Misbehaviour("no expiry", { $0.removed = ["exp"] }),
            Misbehaviour("made before the sign-in began", { $0.claims["iat"] = .integer(Int(Date().timeIntervalSince1970) - 600) }),
            Misbehaviour("made in the future", { $0.claims["iat"] = .integer(Int(Date().timeIntervalSince1970) + 600) }),
            Misbehaviour("no signature", { $0.signature = .none }),
            Misbehaviour("HMAC with the public key", { $0.signature = .hmacOfPublicKey }),
            Misbehaviour("a foreign key", { $0.signature = .foreignKey }),
            Misbehaviour("a changed signature", { $0.signature = .tampered }),
            Misbehaviour("another's access token", { $0.atHash = "AAAAAAAAAAAAAAAAAAAAAA" }),
            Misbehaviour("no subject", { $0.removed = ["sub"] }),
            Misbehaviour("an empty subject", { $0.claims["sub"] = "" }),
        ] as [Misbehaviour])
    func hostileToken(misbehaviour: Misbehaviour) async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        company.issuer.behave(misbehaviour.change)
        #expect(try await company.refusal() == "sso-bad-id-token", "\(misbehaviour.testDescription)")
    }

    @Test("both algorithms that issuers use are taken")
    func algorithms() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        for signature in [SSOIssuer.Signature.rs256, .es256] {
            company.issuer.behave { $0.signature = signature }
            #expect(try await company.signIn().user == company.owner.user, "\(signature)")
        }
    }

    @Test("a new key of the issuer's is fetched when it is first seen, and invented ones do not make us ask again and again")
    func rotation() async throws {
        let issuer = try await SSOIssuer.start()
        let clock = Mutex(Date())
        let issuers = SSOIssuers(transport: SSOTransport(guarding: SSOAddressGuard(allowsPrivate: true))) { clock.withLock { $0 } }
        let metadata = try await issuers.metadata(of: issuer.url, .oidc)
        _ = try await issuers.verify(try issuer.sign(["sub": "1"], .rs256), by: metadata)
        _ = try await issuers.verify(try issuer.sign(["sub": "1"], .rs256), by: metadata)
        #expect(issuer.asked("/jwks") == 1)
        let rotated = try issuer.sign(["sub": "1"], .rotatedKey)
        for _ in 0..<3 {
            await #expect(throws: SSOFailure.badToken) { try await issuers.verify(rotated, by: metadata) }
        }
        #expect(issuer.asked("/jwks") == 1)
        clock.withLock { $0 += SSOIssuers.keyPause + 1 }
        _ = try await issuers.verify(rotated, by: metadata)
        #expect(issuer.asked("/jwks") == 2)
        #expect(issuer.asked("/.well-known/openid-configuration") == 1)
        clock.withLock { $0 += SSOIssuers.lifetime + 1 }
        _ = try await issuers.metadata(of: issuer.url, .oidc)
        #expect(issuer.asked("/.well-known/openid-configuration") == 2)
    }

    @Test("a state is good once, in the browser that began, for its own connection")
    func states() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let browser = SSOBrowser(company.host)
        let answer = try await browser.answer(from: company.start)
        // Another browser, which is sent the link.
        let other = try await SSOBrowser(company.host).go(answer)
        #expect(other.status == 400)
        #expect(other.header("content-type")?.hasPrefix("text/html") == true)
        #expect(other.header("location") == nil)
        // Another's cookie under the right name.
        let swapped = SSOBrowser(company.host)
        swapped.keep([
            "\(SSOSecrets.cookieName(state: URLComponents(string: answer)?.queryItems?.first { $0.name == "state" }?.value ?? ""))=guess; Path=/"
        ])
        #expect(try await swapped.go(answer).status == 400)
        // The same answer at another connection of the same organization: what one issuer said is not taken for another's word.
        let second = try await company.client.post(
            "/api/v1/auth/sso/connections",
            [
                "name": "Another", "preset": "oidc", "issuer": .string(company.issuer.url), "clientId": "trionex",
                "clientSecret": .string(SSOIssuer.secret),
            ])
        let elsewhere = answer.replacingOccurrences(of: company.connection, with: second["id"].string ?? "")
        let mixed = SSOBrowser(company.host)
        mixed.keep(browser.texts(path: "/"))
        #expect(try await mixed.go(elsewhere).status == 400)
        // In its own browser, once.
        #expect(SSOEnd(try await browser.go(answer).header("location") ?? "").code != nil)
        #expect(browser.cookieCount == 0)
        let again = SSOBrowser(company.host)
        #expect(try await again.go(answer).status == 400)
    }

    @Test("a state expires")
    func expires() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let browser = SSOBrowser(company.host)
        let answer = try await browser.answer(from: company.start)
        let state = URLComponents(string: answer)?.queryItems?.first { $0.name == "state" }?.value ?? ""
        let secrets = SSOSecrets(state: state, browser: try #require(browser.held[SSOSecrets.cookieName(state: state)]))
        let connection = try #require(SSOConnectionID(company.connection))
        let late = SSOAttemptStore.take(secrets, connection, at: Date().addingTimeInterval(SSOAttempt.lifetime + 1))
        #expect(try await company.host.database.first(late, as: .anonymous(in: company.owner.tenant)) == nil)
        #expect(SSOEnd(try await browser.go(answer).header("location") ?? "").code != nil, "it was there, and only too old")
    }

    @Test("an answer that names another issuer, or none where one was promised, is refused")
    func mixUp() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        company.issuer.behave { $0.answerIssuer = "https://evil.example" }
        #expect(try await company.refusal() == "sso-bad-state")
        let own = company.issuer.url
        company.issuer.behave { $0.answerIssuer = own }
        #expect(try await company.signIn().user == company.owner.user)
        let promising = try await SSOCompany.found(
            SSOIssuer.Behaviour(metadata: ["authorization_response_iss_parameter_supported": true]))
        promising.person("owner@\(promising.domain)")
        #expect(try await promising.refusal() == "sso-bad-state")
    }

    @Test("an issuer that is down, slow, or answers with too much costs a refusal, and holds nobody for long")
    func trouble() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        company.issuer.behave { $0.tokenStatus = 503 }
        #expect(try await company.refusal() == "sso-issuer-unavailable")
        company.issuer.behave { $0.tokenStatus = 400 }
        #expect(try await company.refusal() == "sso-issuer-refused")
        company.issuer.behave {
            $0.tokenStatus = 200
            $0.hugeKeys = true
        }
        #expect(try await company.refusal() == "sso-bad-issuer-answer")
        let browser = SSOBrowser(company.host)
        let answer = try await browser.answer(from: company.start)
        company.issuer.behave { $0.pause = .seconds(20) }
        let begun = ContinuousClock.now
        #expect(SSOEnd(try await browser.go(answer).header("location") ?? "").error == "sso-issuer-unavailable")
        #expect(.now - begun < .seconds(15))
    }

    @Test("who says no at the issuer comes back with word of it")
    func declined() async throws {
        let company = try await SSOCompany.found()
        let browser = SSOBrowser(company.host)
        let answer = try await browser.answer(from: company.start)
        let state = URLComponents(string: answer)?.queryItems?.first { $0.name == "state" }?.value ?? ""
        let end = SSOEnd(try await browser.go("\(company.callback)?error=access_denied&state=\(state)").header("location") ?? "")
        #expect(end.error == "sso-declined")
    }

    // MARK: - The code

    @Test("the code at the end is good once, for a minute, and no token is in an address")
    func code() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let end = try await SSOBrowser(company.host).signIn(company.start + "?returnTo=/welcome%3Ffrom%3Dsso")
        #expect(end.location.hasPrefix("\(SSOBrowser.publicURL)/welcome?from=sso&code=trx_sc_"))
        #expect(!end.location.contains("eyJ") && !end.location.contains("trx_rt_"))
        let first = try await company.exchange(end.code)
        #expect(first.status == 200)
        #expect(first.header("cache-control") == "no-store")
        #expect(try await company.exchange(end.code).problem == "sso-bad-code")
        #expect(try await company.exchange("trx_sc_nonsense").problem == "sso-bad-code")
        let last = try await SSOBrowser(company.host).signIn(company.start)
        let late = SSOAttemptStore.take(
            try #require(SSOCode(last.code ?? "")), at: Date().addingTimeInterval(SSOAttempt.codeLifetime + 1))
        #expect(try await company.host.database.first(late, as: .anonymous(in: company.owner.tenant)) == nil)
        #expect(try await company.exchange(last.code).status == 200, "it was there, and only too old")
    }

    @Test("a client that gave a challenge must show its verifier")
    func challenge() async throws {
        let company = try await SSOCompany.found()
        company.person("owner@\(company.domain)")
        let verifier = "a verifier of the client's own that nobody guesses"
        let challenge = Base64URL.encode(Data(SHA256.hash(data: Data(verifier.utf8))))
        let start = "\(company.start)?codeChallenge=\(challenge)"
        for wrong in [nil, "another"] as [String?] {
            let end = try await SSOBrowser(company.host).signIn(start)
            #expect(try await company.exchange(end.code, verifier: wrong).problem == "sso-bad-code")
            #expect(try await company.exchange(end.code, verifier: verifier).problem == "sso-bad-code", "it was spent on the wrong one")
        }
        let end = try await SSOBrowser(company.host).signIn(start)
        #expect(try await company.exchange(end.code, verifier: verifier).status == 200)
    }

    @Test("nobody is sent to an address that the organization did not register")
    func openRedirect() async throws {
        let company = try await SSOCompany.found(settings: ["returnOrigins": ["https://shop.example"]])
        let browser = SSOBrowser(company.host)
        for bad in ["https://evil.example/", "//evil.example", "/%5Cevil.example", "https://shop.example.evil.example/"] {
            let answer = try await browser.go("\(company.start)?returnTo=\(bad)")
            #expect(answer.status == 400 && answer.header("location") == nil, "\(bad)")
        }
        company.person("owner@\(company.domain)")
        #expect(try await browser.go("\(company.start)?returnTo=https://shop.example/in").status == 400, "without a challenge")
        let challenge = SSOSecrets.challenge(of: "a verifier of the shop's own")
        let end = try await browser.signIn("\(company.start)?returnTo=https://shop.example/in&codeChallenge=\(challenge)")
        #expect(end.location.hasPrefix("https://shop.example/in?code="))
    }

    @Test("the cookie is for this sign-in's way back alone, hidden from scripts, and goes over TLS only")
    func cookie() async throws {
        let company = try await SSOCompany.found()
        let text = try await SSOBrowser(company.host).go(company.start).header("set-cookie") ?? ""
        for part in ["HttpOnly", "SameSite=Lax", "Secure", "Path=/api/v1/auth/sso/\(company.connection)/callback", "Max-Age=600"] {
            #expect(text.contains(part), "\(part) in \(text)")
        }
    }

    @Test("nonce, challenge and state go to the issuer; the verifier and the client's secret do not")
    func request() async throws {
        let company = try await SSOCompany.found()
        let address = try await SSOBrowser(company.host).go(company.start).header("location") ?? ""
        let query = URLComponents(string: address)?.queryItems?.reduce(into: [:]) { $0[$1.name] = $1.value } ?? [:]
        #expect(query["redirect_uri"] == company.callback)
        #expect(query["code_challenge_method"] == "S256" && query["code_challenge"]?.count == 43)
        #expect(query["nonce"]?.count == 43 && query["state"]?.count == 43)
        #expect(query["scope"] == "openid email profile" && query["response_type"] == "code" && query["client_id"] == "trionex")
        #expect(Set(query.keys).isDisjoint(with: ["code_verifier", "client_secret"]))
    }

    // MARK: - GitHub

    @Test("GitHub's person is their number, and their address the primary verified one")
    func github() async throws {
        let company = try await SSOCompany.found()
        let made = try await company.client.post(
            "/api/v1/auth/sso/connections",
            [
                "name": "Our GitHub", "preset": "github", "issuer": .string(company.issuer.url), "clientId": "trionex",
                "clientSecret": .string(SSOIssuer.secret), "domains": [.string(company.domain)],
            ])
        #expect(made.status == 201, "\(made.text)")
        let start = made["startUrl"].string ?? ""
        func addresses(_ list: [(String, Bool, Bool)]) {
            company.issuer.behave {
                $0.githubEmails = list.map { ["email": .string($0.0), "primary": .bool($0.1), "verified": .bool($0.2)] }
            }
        }
        let mine = "owner@\(company.domain)"
        addresses([(mine, true, false), ("x@\(company.domain)", false, true)])
        #expect(try await SSOBrowser(company.host).signIn(start).error == "sso-no-verified-email")
        addresses([(mine, false, true), ("ada@users.noreply.example", true, true)])
        #expect(try await SSOBrowser(company.host).signIn(start).error == "sso-other-domain")
        addresses([("x@\(company.domain)", false, true), (mine, true, true)])
        let person = try await company.exchange(try await SSOBrowser(company.host).signIn(start).code)
        #expect(person["user"]["id"].string == company.owner.user.description)
        let identities = try await company.client.get("/api/v1/auth/identities")
        #expect(identities["data"].array.first?["subject"] == "4711")
    }

    // MARK: - The rest of the house

    @Test("no secret, code, state or token of a sign-in reaches the log or an event")
    func silence() async throws {
        let stack = try await AuthStack.shared.value
        let host = try await stack.another([
            "TRIONEX_PUBLIC_URL": SSOBrowser.publicURL, "TRIONEX_AUTH_SSO_PRIVATE_ISSUERS": "true", "TRIONEX_LOG_LEVEL": "trace",
        ])
        let usual = try await SSOCompany.found()
        let company = SSOCompany(
            stack: stack, host: host, domain: usual.domain, owner: usual.owner, issuer: usual.issuer, connection: usual.connection)
        company.person("owner@\(company.domain)")
        let browser = SSOBrowser(host)
        let answer = try await browser.answer(from: company.start)
        let query = URLComponents(string: answer)?.queryItems?.reduce(into: [String: String]()) { $0[$1.name] = $1.value } ?? [:]
        let end = SSOEnd(try await browser.go(answer).header("location") ?? "")
        let tokens = try await company.exchange(end.code)
        let lines = host.log.lines.joined(separator: "\n")
        let events = try await host.outbox(company.owner.tenant).map { "\($0.payload)" }.joined()
        #expect(lines.contains("/callback"), "the log is there at all")
        for secret in [
            SSOIssuer.secret, query["code"], query["state"], end.code, tokens["accessToken"].string, tokens["refreshToken"].string,
        ] {
            let secret = try #require(secret)
            #expect(!lines.contains(secret), "\(secret.prefix(10))… in the log")
            #expect(!events.contains(secret), "\(secret.prefix(10))… in an event")
        }
        try await host.stop()
    }
}
