import AuthService
import Contracts
import Crypto
import Foundation
import NIOHTTP1
import ServiceKit
import TestKit

/// A client of ours, as its developer would write it.
struct ClientApp: Sendable {
    static let issuer = "http://127.0.0.1:8080"
    static let redirect = "https://rp.example/callback"
    static let afterLogout = "https://rp.example/bye"
    static let verifier = "correct-horse-battery-staple-correct-horse-battery-staple"

    let host: TestHost
    let id: String
    let clientID: String
    let secret: String?

    static func challenge(_ verifier: String = verifier) -> String {
        Base64URL.encode(Data(SHA256.hash(data: Data(verifier.utf8))))
    }

    static let registration: JSONValue = [
        "name": "Example App", "redirectUris": [.string(redirect)], "postLogoutRedirectUris": [.string(afterLogout)],
        "grantTypes": ["authorization_code", "refresh_token", "client_credentials"],
        "scopes": ["openid", "profile", "email", "offline_access", "content:read", "content:write"],
    ]

    /// Registered by somebody who may.
    static func register(by person: SignedInPerson, at host: TestHost, changing changes: [String: JSONValue] = [:]) async throws
        -> ClientApp
    {
        var fields = registration.object
        fields.merge(changes) { $1 }
        let response = try await host.client(token: person.access).post("/api/v1/auth/clients", .object(fields))
        guard response.status == 201, let id = response["id"].string, let clientID = response["clientId"].string else {
            throw Unexpected(answer: "\(response.status) \(response.text)")
        }
        return ClientApp(host: host, id: id, clientID: clientID, secret: response["clientSecret"].string)
    }

    /// What a page on a phone would be.
    static func registerPublic(by person: SignedInPerson, at host: TestHost) async throws -> ClientApp {
        try await register(
            by: person, at: host, changing: ["kind": "public", "grantTypes": ["authorization_code", "refresh_token"]])
    }

    // MARK: - Asking

    static let request: [(String, String)] = [
        ("response_type", "code"), ("redirect_uri", redirect), ("scope", "openid profile email content:read"), ("state", "the state"),
        ("nonce", "the nonce"), ("code_challenge", challenge()), ("code_challenge_method", "S256"),
    ]

    /// The path of a request, with some parameters other than usual; nil leaves one out.
    func authorizePath(_ changes: [String: String?] = [:]) -> String {
        var parameters = [("client_id", clientID)] + Self.request
        for (name, value) in changes {
            parameters.removeAll { $0.0 == name }
            if let value { parameters.append((name, value)) }
        }
        return "/oauth2/authorize?" + Browser.encode(parameters)
    }

    /// Signs in, allows what is asked, and gives what the client's address was called with.
    func signIn(
        _ person: Newcomer, in browser: Browser, _ changes: [String: String?] = [:]
    ) async throws -> TestResponse {
        var page = try await browser.follow(try await browser.get(authorizePath(changes)))
        if page.formAction == "/oauth2/sign-in" {
            page = try await browser.follow(
                try await browser.post(
                    "/oauth2/sign-in",
                    [("request", page.hidden("request") ?? ""), ("email", person.email), ("password", person.password)]))
        }
        guard page.formAction == "/oauth2/consent" else { return page }
        return try await browser.post("/oauth2/consent", [("request", page.hidden("request") ?? ""), ("decision", "allow")])
    }

    /// A code from a fresh browser.
    func code(_ person: Newcomer, in browser: Browser? = nil, _ changes: [String: String?] = [:]) async throws -> String {
        let answer = try await signIn(person, in: browser ?? Browser(host), changes)
        guard let code = answer.returned["code"] else { throw Unexpected(answer: "\(answer.status) \(answer.text) \(answer.headers)") }
        return code
    }

    // MARK: - Tokens

    private var basic: [String: String] {
        guard let secret else { return [:] }
        return ["authorization": "Basic " + Data("\(clientID):\(secret)".utf8).base64EncodedString()]
    }

    /// The client proves itself as it usually does, unless it is told otherwise.
    func post(_ path: String, _ form: [(String, String)], headers: [String: String]? = nil) async throws -> TestResponse {
        let form = secret == nil && headers == nil ? form + [("client_id", clientID)] : form
        return try await Browser(host).post(path, form, headers: headers ?? basic)
    }

    func redeem(_ code: String, _ changes: [String: String?] = [:]) async throws -> TestResponse {
        var form = [
            ("grant_type", "authorization_code"), ("code", code), ("redirect_uri", Self.redirect), ("code_verifier", Self.verifier),
        ]
        for (name, value) in changes {
            form.removeAll { $0.0 == name }
            if let value { form.append((name, value)) }
        }
        return try await post("/oauth2/token", form)
    }

    func refresh(_ token: String, scope: String? = nil) async throws -> TestResponse {
        try await post(
            "/oauth2/token",
            [("grant_type", "refresh_token"), ("refresh_token", token)] + (scope.map { [("scope", $0)] } ?? []))
    }

    /// Tokens of somebody who signs in and allows everything.
    func tokens(_ person: Newcomer, in browser: Browser? = nil, scope: String = "openid profile email offline_access content:read")
        async throws -> ClientTokenSet
    {
        let response = try await redeem(try await code(person, in: browser, ["scope": scope]))
        guard let access = response["access_token"].string else { throw Unexpected(answer: "\(response.status) \(response.text)") }
        return ClientTokenSet(access: access, refresh: response["refresh_token"].string, identity: response["id_token"].string)
    }
}

struct ClientTokenSet: Sendable {
    let access: String
    let refresh: String?
    let identity: String?
}

extension JSONValue {
    fileprivate var object: [String: JSONValue] {
        if case .object(let members) = self { members } else { [:] }
    }
}
