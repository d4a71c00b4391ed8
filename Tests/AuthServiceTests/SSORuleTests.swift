import Contracts
import Foundation
import Testing

@testable import AuthService

/// The rules of signing in with others, as functions of facts.
@Suite struct SSORuleTests {
    private static let email = EmailAddress(checked: "ada@corp.example")
    private static let corp = DomainName(checked: "corp.example")
    private static let account = UserID.make()

    private func assertion(_ email: EmailAddress? = email, verified: Bool = true) -> SSOAssertion {
        SSOAssertion(issuer: "https://i.example", subject: "1", email: email, isEmailVerified: verified, firstName: nil, lastName: nil)
    }

    private func holder(verified: Bool = true, member: Bool, email: EmailAddress = email) -> SSOLinking.Holder {
        SSOLinking.Holder(account: Self.account, email: email, isVerified: verified, isMember: member)
    }

    private func decide(
        _ assertion: SSOAssertion, _ trust: SSOPreset.Trust, owns: Bool,
        known: (holder: SSOLinking.Holder, origin: SSOIdentity.Origin)? = nil, holder: SSOLinking.Holder? = nil, takesIn: Bool = false
    ) throws -> SSOLinking.Outcome {
        try SSOLinking.decide(
            SSOLinking.Facts(
                assertion: assertion, trust: trust, ownedDomains: owns ? [Self.corp] : [], known: known, holderOfEmail: holder,
                takesIn: takesIn))
    }

    @Test("without a verified address nobody is let in whose identity is not known")
    func unverified() {
        for trust in [SSOPreset.Trust.everywhere, .ownDomains] {
            for given in [assertion(verified: false), assertion(nil)] {
                #expect(throws: SSOFailure.noEmail) {
                    try decide(given, trust, owns: true, holder: holder(member: true), takesIn: true)
                }
            }
        }
    }

    @Test("an organization's own issuer is believed in the organization's own domains only, whether to link, to join or to come back")
    func ownDomains() throws {
        #expect(throws: SSOFailure.untrustedEmail) {
            try decide(assertion(), .ownDomains, owns: false, holder: holder(member: true), takesIn: true)
        }
        #expect(throws: SSOFailure.untrustedEmail) { try decide(assertion(), .ownDomains, owns: false, takesIn: true) }
        #expect(throws: SSOFailure.untrustedEmail) {
            try decide(assertion(), .ownDomains, owns: false, known: (holder(member: true), .email))
        }
        #expect(try decide(assertion(), .ownDomains, owns: true, holder: holder(member: true)).decision == .link(Self.account))
        #expect(try decide(assertion(), .ownDomains, owns: true, known: (holder(member: true), .email)).decision == .signIn(Self.account))
    }

    @Test("what a person linked themselves opens their account as long as they are a member")
    func linkedByPerson() throws {
        let foreign = EmailAddress(checked: "ada@home.example")
        let known = (holder(member: true, email: foreign), SSOIdentity.Origin.person)
        #expect(try decide(assertion(nil), .ownDomains, owns: false, known: known).decision == .signIn(Self.account))
        #expect(throws: SSOFailure.notInvited) {
            try decide(assertion(nil), .ownDomains, owns: false, known: (holder(member: false, email: foreign), .person), takesIn: true)
        }
    }

    @Test("the account of somebody who is no member is opened only by the domain's owner")
    func strangers() throws {
        #expect(throws: SSOFailure.accountExists) {
            try decide(assertion(), .everywhere, owns: false, holder: holder(member: false), takesIn: true)
        }
        #expect(try decide(assertion(), .everywhere, owns: false, holder: holder(member: true)).decision == .link(Self.account))
        let joining = try decide(assertion(), .everywhere, owns: true, holder: holder(member: false), takesIn: true)
        #expect(joining == SSOLinking.Outcome(decision: .link(Self.account), mustJoin: true))
        #expect(throws: SSOFailure.notInvited) { try decide(assertion(), .everywhere, owns: true, holder: holder(member: false)) }
    }

    @Test("an account whose own address was never verified is taken over by the domain's owner, and opened by nobody else")
    func squatted() throws {
        #expect(throws: SSOFailure.accountUnverified) {
            try decide(assertion(), .everywhere, owns: false, holder: holder(verified: false, member: true))
        }
        let taken = try decide(assertion(), .everywhere, owns: true, holder: holder(verified: false, member: false), takesIn: true)
        #expect(taken == SSOLinking.Outcome(decision: .takeOver(Self.account, Self.email), mustJoin: true))
        #expect(throws: SSOFailure.notInvited) {
            try decide(assertion(), .everywhere, owns: true, holder: holder(verified: false, member: false))
        }
    }

    @Test("a known identity makes nobody a member of an organization that does not own the domain")
    func lured() throws {
        let known = (holder(member: false), SSOIdentity.Origin.email)
        #expect(throws: SSOFailure.notInvited) { try decide(assertion(), .everywhere, owns: false, known: known, takesIn: true) }
        #expect(try decide(assertion(), .everywhere, owns: true, known: known, takesIn: true).mustJoin)
    }

    @Test("somebody new is taken in where the connection says so, and not otherwise")
    func newcomers() throws {
        #expect(try decide(assertion(), .everywhere, owns: false, takesIn: true).decision == .create(Self.email))
        #expect(throws: SSOFailure.notInvited) { try decide(assertion(), .everywhere, owns: true) }
    }

    // MARK: - What is evidence

    private func token(_ claims: [String: JSONValue]) throws -> SSOIDToken {
        var all: [String: JSONValue] = ["iss": "https://i.example", "sub": "1", "aud": "us", "exp": 2_000, "iat": 1_000, "nonce": "n"]
        all.merge(claims) { $1 }
        return try JSONDecoder().decode(SSOIDToken.self, from: JSON.encode(JSONValue.object(all)))
    }

    @Test(
        "each preset takes its own for evidence that an address is verified",
        arguments: [
            (SSOPreset.oidc, ["email": "ada@corp.example", "email_verified": true], true),
            (.oidc, ["email": "ada@corp.example", "email_verified": "true"], true),
            (.oidc, ["email": "ada@corp.example", "email_verified": false], false),
            (.oidc, ["email": "ada@corp.example"], false),
            (.oidc, ["email": "no address", "email_verified": true], false),
            // Google is no authority for other domains than Gmail's and the account's own.
            (.google, ["email": "ada@gmail.com", "email_verified": true], true),
            (.google, ["email": "ada@corp.example", "email_verified": true, "hd": "corp.example"], true),
            (.google, ["email": "ada@corp.example", "email_verified": true], false),
            (.google, ["email": "ada@corp.example", "email_verified": true, "hd": "other.example"], false),
            (.google, ["email": "ada@gmail.com", "email_verified": false], false),
            // Microsoft has no email_verified worth the name.
            (.microsoft, ["email": "ada@corp.example", "email_verified": true], false),
            (.microsoft, ["email": "ada@corp.example", "xms_edov": false], false),
            (.microsoft, ["email": "ada@corp.example", "xms_edov": true], true),
            (.microsoft, ["email": "ada@corp.example", "xms_edov": 1], true),
            (.microsoft, ["email": "ada@corp.example", "xms_edov": "1"], true),
        ] as [(SSOPreset, [String: JSONValue], Bool)])
    func evidence(preset: SSOPreset, claims: [String: JSONValue], isVerified: Bool) throws {
        #expect(try token(claims).assertion(preset.quirks.evidence).isEmailVerified == isVerified)
    }

    @Test("Microsoft's shared addresses take the issuer from the token's directory, and only a directory")
    func microsoft() throws {
        let preset = SSOPreset.microsoft, template = "https://login.microsoftonline.com/{tenantid}/v2.0"
        let directory = "72f988bf-86f1-41af-91ab-2d7cd011db47"
        #expect(preset.owns(metadata: template, of: "https://login.microsoftonline.com/organizations/v2.0"))
        #expect(!SSOPreset.oidc.owns(metadata: template, of: "https://login.microsoftonline.com/organizations/v2.0"))
        #expect(preset.expectedIssuer(template, directory: directory) == "https://login.microsoftonline.com/\(directory)/v2.0")
        #expect(preset.expectedIssuer(template, directory: "../evil") == nil)
        #expect(preset.expectedIssuer(template, directory: nil) == nil)
        #expect(throws: ValidationFailure.self) { try preset.issuer(named: "https://evil.example/common/v2.0") }
        #expect(throws: ValidationFailure.self) { try preset.issuer(named: "https://login.microsoftonline.com/../x/v2.0") }
        #expect(throws: ValidationFailure.self) { try SSOPreset.google.issuer(named: "https://evil.example") }
        #expect(throws: ValidationFailure.self) { try SSOPreset.oidc.issuer(named: nil) }
        #expect(try preset.issuer(named: "https://login.microsoftonline.com/\(directory)/v2.0").contains(directory))
        #expect(SSOPreset.github.trust("https://github.com") == .everywhere)
        #expect(SSOPreset.github.trust("https://github.corp.example") == .ownDomains)
    }

    // MARK: - ID tokens

    @Test(
        "an ID token that disagrees with what was asked is refused",
        arguments: [
            (["aud": "them"], false), (["aud": ["us", "them"]], false), (["aud": ["us", "them"], "azp": "us"], true),
            (["aud": ["us", "them"], "azp": "them"], false), (["azp": "them"], false), (["iss": "https://i.example/"], false),
            (["nonce": "other"], false), (["nonce": .null], false), (["exp": 1_000], false), (["exp": 1_041], true),
            (["iat": 1_161], false),
            (["iat": 1_159], true), (["iat": 900], false), (["nbf": 1_161], false), (["sub": ""], false),
            (["sub": .string(String(repeating: "x", count: 256))], false), ([:], true),
        ] as [([String: JSONValue], Bool)])
    func claims(change: [String: JSONValue], isGood: Bool) throws {
        let expected = SSOIDToken.Expectation(
            issuer: "https://i.example", clientID: "us", nonce: "n", notBefore: Date(timeIntervalSince1970: 990),
            now: Date(timeIntervalSince1970: 1_100))
        let token = try token(change)
        if isGood {
            #expect(throws: Never.self) { try token.check(expected) }
        } else {
            #expect(throws: SSOFailure.badToken) { try token.check(expected) }
        }
    }

    // MARK: - Addresses

    @Test(
        "addresses inside a network, of this machine, or of nobody, are not public",
        arguments: [
            "127.0.0.1", "127.9.9.9", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
            "198.18.0.1", "224.0.0.1", "255.255.255.255", "192.0.2.1", "203.0.113.5", "::1", "::", "fe80::1", "fc00::1", "fd12::1",
            "::ffff:127.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1", "2001::1", "ff02::1", "localhost", "",
        ])
    func insideAddresses(text: String) { #expect(!SSOAddressGuard.isPublic(text)) }

    @Test("addresses of the open internet are", arguments: ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
    func publicAddresses(text: String) { #expect(SSOAddressGuard.isPublic(text)) }

    @Test(
        "a host that resolves into the network is not asked, however it is written",
        arguments: [
            "https://127.0.0.1/", "https://localhost/", "https://2130706433/", "https://0x7f000001/", "https://[::1]/", "https://0/",
        ])
    func resolving(url: String) async throws {
        let guarding = SSOAddressGuard(allowsPrivate: false)
        let parts = try guarding.check(url)
        await #expect(throws: SSOFailure.issuerUnavailable) { try await guarding.resolve(parts) }
    }

    @Test(
        "an address that is not plainly https, or hides its host, is not asked",
        arguments: [
            "http://issuer.example/", "ftp://issuer.example/", "https://user@issuer.example/", "https://user:pw@issuer.example/",
            "https:///x",
            "https://ISSUER.example/", "https://issuer.example/#x", "//issuer.example", "https://is%73uer.example/", "file:///etc/passwd",
            "",
        ])
    func odd(url: String) {
        #expect(throws: SSOFailure.badIssuerAnswer) { try SSOAddressGuard(allowsPrivate: false).check(url) }
    }

    @Test(
        "people are sent back to the platform's own origin or a registered one, and nowhere else",
        arguments: [
            (nil, "https://app.example/"), ("/dash?x=1", "https://app.example/dash?x=1"),
            ("https://app.example/a", "https://app.example/a"), ("https://shop.example:8443/a", "https://shop.example:8443/a"),
            ("HTTPS://APP.example/a", "HTTPS://APP.example/a"), ("//evil.example", nil), ("/\\evil.example", nil),
            ("https://evil.example", nil), ("https://app.example.evil.example", nil), ("https://app.example@evil.example/", nil),
            ("https://shop.example/a", nil), ("http://app.example/", nil), ("javascript:alert(1)", nil), ("/a#b", nil), ("/a\tb", nil),
            ("relative", nil), ("https://app.example:444/", nil),
        ] as [(String?, String?)])
    func returning(text: String?, expected: String?) throws {
        let allowed = [try WebOrigin("https://shop.example:8443")]
        let resolved = try? SSOReturn.resolve(text, publicURL: "https://app.example", allowed: allowed)
        #expect(resolved == expected)
    }

    @Test("an origin is https, or this machine's, and nothing but an origin")
    func origins() throws {
        #expect(try WebOrigin("https://A.example:443/").rawValue == "https://a.example")
        #expect(try WebOrigin("http://localhost:3000").rawValue == "http://localhost:3000")
        for bad in [
            "http://a.example", "https://a.example/x", "https://a.example?x", "ftp://a.example", "a.example", "https://u@a.example",
        ] {
            #expect(WebOrigin(rawValue: bad) == nil, "\(bad)")
        }
    }
}
