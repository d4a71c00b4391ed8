import Contracts
import Crypto
import CryptoExtras
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit
import ServiceLifecycle
import Synchronization
import Testing

/// One way in which an issuer may do what it must not.
struct Misbehaviour: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let change: @Sendable (inout SSOIssuer.Behaviour) -> Void

    init(_ what: String, _ change: @escaping @Sendable (inout SSOIssuer.Behaviour) -> Void) {
        testDescription = what
        self.change = change
    }
}

/// An OpenID Connect issuer (and a GitHub) over real HTTP with real keys, which can be told to misbehave in any one way.
final class SSOIssuer: Sendable {
    enum Signature: Sendable {
        case rs256, es256
        case none
        /// HMAC with the public key for a secret, which everybody has.
        case hmacOfPublicKey
        /// A key that is not published, under the name of one that is.
        case foreignKey
        /// A new key that is published from now on.
        case rotatedKey
        case tampered
    }

    struct Behaviour: Sendable {
        var sub = UUID().uuidString
        var claims: [String: JSONValue] = [:]
        var removed: Set<String> = []
        var signature = Signature.rs256
        var atHash: String?
        var metadata: [String: JSONValue] = [:]
        var answerIssuer: String?
        var redirectsDiscovery = false
        var hugeDiscovery = false
        var hugeKeys = false
        var pause = Duration.zero
        var tokenStatus = 200
        var githubEmails: [JSONValue] = []
    }

    private struct Grant: Sendable {
        let client: String
        let redirect: String
        let nonce: String?
        let challenge: String
    }

    private struct State: Sendable {
        var behaviour = Behaviour()
        var grants: [String: Grant] = [:]
        var kid = "first"
        var rsa: _RSA.Signing.PrivateKey
        var asked: [String: Int] = [:]
    }

    /// Made once for all issuers of the tests: a key takes a core for a good part of a second.
    private static let keys = Result { try (0..<3).map { _ in try _RSA.Signing.PrivateKey(keySize: .bits2048) } }

    static let secret = "the client's secret: with & odd=characters"

    let url: String
    private let state: Mutex<State>
    private let ec = P256.Signing.PrivateKey()
    private let foreign: _RSA.Signing.PrivateKey
    private let second: _RSA.Signing.PrivateKey
    private let running: Task<Void, any Error>

    static func start(_ behaviour: Behaviour = Behaviour()) async throws -> SSOIssuer {
        let (ports, found) = AsyncStream.makeStream(of: Int.self)
        let holder = Mutex<SSOIssuer?>(nil)
        let router = Router()
        router.on("**", method: .get) { request, context in
            guard let issuer = holder.withLock({ $0 }) else { return Response(status: .serviceUnavailable) }
            return try await issuer.answer(request)
        }
        router.on("**", method: .post) { request, context in
            guard let issuer = holder.withLock({ $0 }) else { return Response(status: .serviceUnavailable) }
            return try await issuer.answer(request)
        }
        let app = Application(
            router: router, configuration: .init(address: .hostname("127.0.0.1", port: 0)),
            onServerRunning: { channel in found.yield(channel.localAddress?.port ?? 0) }, logger: .silent)
        let group = ServiceGroup(configuration: .init(services: [app], logger: .silent))
        let running = Task { try await group.run() }
        var port = 0
        for await first in ports {
            port = first
            break
        }
        let issuer = try SSOIssuer(url: "http://127.0.0.1:\(port)", behaviour, running)
        holder.withLock { $0 = issuer }
        return issuer
    }

    private init(url: String, _ behaviour: Behaviour, _ running: Task<Void, any Error>) throws {
        self.url = url
        self.running = running
        let keys = try Self.keys.get()
        (foreign, second) = (keys[1], keys[2])
        state = Mutex(State(behaviour: behaviour, rsa: keys[0]))
    }

    func behave(_ change: (inout Behaviour) -> Void) { state.withLock { change(&$0.behaviour) } }

    /// How often a path was asked for.
    func asked(_ path: String) -> Int { state.withLock { $0.asked[path] ?? 0 } }

    /// The code that was given out last, as somebody would have it who looked over a shoulder.
    var lastCode: String? { state.withLock { $0.grants.keys.first } }

    // MARK: - Answers

    private func answer(_ request: Request) async throws -> Response {
        let path = request.uri.path
        let behaviour = state.withLock { state in
            state.asked[path, default: 0] += 1
            return state.behaviour
        }
        if behaviour.pause > .zero { try await Task.sleep(for: behaviour.pause) }
        switch path {
        case "/.well-known/openid-configuration": return discovery(behaviour)
        case "/elsewhere": return json(metadata(behaviour))
        case "/jwks": return behaviour.hugeKeys ? huge : json(try keys(behaviour))
        case "/authorize", "/login/oauth/authorize": return authorize(request, behaviour)
        case "/token", "/login/oauth/access_token": return try await token(request, behaviour)
        case "/api/v3/user": return json(["id": 4_711, "login": "ada", "name": "Ada King Lovelace"])
        case "/api/v3/user/emails": return json(.array(behaviour.githubEmails))
        default: return Response(status: .notFound)
        }
    }

    private func discovery(_ behaviour: Behaviour) -> Response {
        if behaviour.redirectsDiscovery { return Response(status: .found, headers: [.location: url + "/elsewhere"]) }
        return behaviour.hugeDiscovery ? huge : json(metadata(behaviour))
    }

    private func metadata(_ behaviour: Behaviour) -> JSONValue {
        var document: [String: JSONValue] = [
            "issuer": .string(url), "authorization_endpoint": .string(url + "/authorize"), "token_endpoint": .string(url + "/token"),
            "jwks_uri": .string(url + "/jwks"), "response_types_supported": ["code"], "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        ]
        document.merge(behaviour.metadata) { $1 }
        return .object(document)
    }

    private func keys(_ behaviour: Behaviour) throws -> JSONValue {
        let (rsa, kid) = state.withLock { ($0.rsa, $0.kid) }
        let primitives = try rsa.publicKey.getKeyPrimitives()
        let point = ec.publicKey.rawRepresentation
        return [
            "keys": [
                [
                    "kty": "RSA", "use": "sig", "kid": .string(kid), "n": .string(Base64URL.encode(primitives.modulus)),
                    "e": .string(Base64URL.encode(primitives.publicExponent)),
                ],
                [
                    "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "ec",
                    "x": .string(Base64URL.encode(point.prefix(32))),
                    "y": .string(Base64URL.encode(point.suffix(32))),
                ],
                ["kty": "oct", "kid": "secret", "k": "c2VjcmV0"], ["kty": "unknown"],
            ]
        ]
    }

    /// Signs in whoever asks, as the one person it knows.
    private func authorize(_ request: Request, _ behaviour: Behaviour) -> Response {
        let query = Self.pairs(request.uri.query ?? "")
        guard query["response_type"] == "code", query["code_challenge_method"] == "S256", let client = query["client_id"],
            let redirect = query["redirect_uri"], let challenge = query["code_challenge"], let given = query["state"]
        else { return Response(status: .badRequest) }
        let code = UUID().uuidString
        state.withLock {
            $0.grants = [code: Grant(client: client, redirect: redirect, nonce: query["nonce"], challenge: challenge)]
        }
        var location = "\(redirect)?code=\(code)&state=\(given)&session_state=unasked"
        if let issuer = behaviour.answerIssuer {
            location += "&iss=\(issuer.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? "")"
        }
        return Response(status: .found, headers: [.location: location])
    }

    /// Codes are good once, for their client, its secret, its redirect and its verifier.
    private func token(_ request: Request, _ behaviour: Behaviour) async throws -> Response {
        let form = Self.pairs(String(buffer: try await request.body.collect(upTo: 100_000)))
        guard behaviour.tokenStatus == 200 else { return Response(status: .init(code: behaviour.tokenStatus)) }
        var client = form["client_id"], secret = form["client_secret"]
        if let basic = request.headers[.authorization], basic.hasPrefix("Basic "),
            let pair = Data(base64Encoded: String(basic.dropFirst(6))).map({ String(decoding: $0, as: UTF8.self) })
        {
            let parts = pair.split(separator: ":", maxSplits: 1).map { String($0).removingPercentEncoding }
            client = parts.first ?? nil
            secret = parts.last ?? nil
        }
        guard let code = form["code"], let grant = state.withLock({ $0.grants.removeValue(forKey: code) }), client == grant.client,
            secret == Self.secret, form["redirect_uri"] == grant.redirect, form["grant_type"] == "authorization_code",
            let verifier = form["code_verifier"],
            Base64URL.encode(Data(SHA256.hash(data: Data(verifier.utf8)))) == grant.challenge
        else { return json(["error": "invalid_grant"], status: request.uri.path == "/token" ? .badRequest : .ok) }
        let access = UUID().uuidString
        if request.uri.path != "/token" { return json(["access_token": .string(access), "token_type": "bearer"]) }
        return json([
            "access_token": .string(access), "token_type": "Bearer", "expires_in": 60,
            "id_token": .string(try idToken(grant, access, behaviour)),
        ])
    }

    private func idToken(_ grant: Grant, _ access: String, _ behaviour: Behaviour) throws -> String {
        let now = Int(Date().timeIntervalSince1970)
        var claims: [String: JSONValue] = [
            "iss": .string(url), "sub": .string(behaviour.sub), "aud": .string(grant.client), "iat": .integer(now),
            "exp": .integer(now + 300),
            "given_name": "Ada", "family_name": "Lovelace",
            "at_hash": .string(behaviour.atHash ?? Base64URL.encode(Data(SHA256.hash(data: Data(access.utf8))).prefix(16))),
        ]
        if let nonce = grant.nonce { claims["nonce"] = .string(nonce) }
        claims.merge(behaviour.claims) { $1 }
        for name in behaviour.removed { claims[name] = nil }
        return try sign(claims, behaviour.signature)
    }

    func sign(_ claims: [String: JSONValue], _ kind: Signature) throws -> String {
        if case .rotatedKey = kind {
            state.withLock { state in
                guard state.kid == "first" else { return }
                state.rsa = second
                state.kid = "second"
            }
        }
        let (rsa, kid) = state.withLock { ($0.rsa, $0.kid) }
        let (algorithm, name): (String, String) =
            switch kind {
            case .es256: ("ES256", "ec")
            case .none: ("none", kid)
            case .hmacOfPublicKey: ("HS256", kid)
            default: ("RS256", kid)
            }
        let header: JSONValue = ["alg": .string(algorithm), "kid": .string(name), "typ": "JWT"]
        let text = "\(Base64URL.encode(Data(try JSON.encode(header)))).\(Base64URL.encode(Data(try JSON.encode(JSONValue.object(claims)))))"
        let bytes = Data(text.utf8)
        let signature: Data
        switch kind {
        case .rs256, .rotatedKey:
            signature = try rsa.signature(for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5).rawRepresentation
        case .foreignKey: signature = try foreign.signature(for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5).rawRepresentation
        case .tampered:
            var good = try rsa.signature(for: SHA256.hash(data: bytes), padding: .insecurePKCS1v1_5).rawRepresentation
            good[good.startIndex] ^= 1
            signature = good
        case .es256: signature = try ec.signature(for: SHA256.hash(data: bytes)).rawRepresentation
        case .none: signature = Data()
        case .hmacOfPublicKey:
            let key = SymmetricKey(data: Data(rsa.publicKey.pemRepresentation.utf8))
            signature = Data(HMAC<SHA256>.authenticationCode(for: bytes, using: key))
        }
        return "\(text).\(Base64URL.encode(signature))"
    }

    private var huge: Response {
        Response(
            status: .ok, headers: [.contentType: "application/json"],
            body: .init(byteBuffer: ByteBuffer(string: #"{"issuer":"\#(url)","padding":"\#(String(repeating: "x", count: 2_000_000))"}"#)))
    }

    private func json(_ value: JSONValue, status: HTTPResponse.Status = .ok) -> Response {
        let bytes = (try? JSON.encode(value)) ?? Data()
        return Response(status: status, headers: [.contentType: "application/json"], body: .init(byteBuffer: ByteBuffer(bytes: bytes)))
    }

    private static func pairs(_ query: String) -> [String: String] {
        var pairs: [String: String] = [:]
        for part in query.split(separator: "&") {
            let halves = part.split(separator: "=", maxSplits: 1).map { String($0).replacingOccurrences(of: "+", with: " ") }
            pairs[halves[0].removingPercentEncoding ?? halves[0]] = halves.count > 1 ? halves[1].removingPercentEncoding : ""
        }
        return pairs
    }

    deinit { running.cancel() }
}
