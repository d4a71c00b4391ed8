import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Clients of the caller's organization. Changing one can open doors, so it takes a recent proof of identity.
struct ClientRoutes {
    let database: Database
    let tokens: ClientTokens
    let ledger: RevocationLedger

    var endpoints: Endpoints {
        Endpoints("auth/clients") {
            Endpoint.get("", "List OAuth clients", may: "clients:read", list)
            Endpoint.post("", "Register an OAuth client; a secret is shown once", may: .recently("clients:write"), create)
            Endpoint.get(":id", "Read an OAuth client", may: "clients:read", read)
            Endpoint.put(":id", "Change an OAuth client", may: .recently("clients:write"), replace)
            Endpoint.delete(":id", "Remove an OAuth client; its tokens end everywhere", may: .recently("clients:write"), remove)
            Endpoint.post(
                ":id/rotate-secret", "Give an OAuth client a new secret; the old one is worth nothing", may: .recently("clients:write"),
                rotate)
        }
    }

    struct ListQuery: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
    }

    /// What a client may be changed to. Its kind stays.
    struct Change: Decodable, Sendable {
        let name: Name
        let redirectUris: [RedirectAddress]?
        let postLogoutRedirectUris: [RedirectAddress]?
        let grantTypes: [OAuthClient.GrantType]?
        let scopes: [ScopeName]
        /// Public keys (RFC 7517) for `private_key_jwt`.
        let jwks: JSONValue?

        func terms(_ kind: OAuthClient.Kind) throws -> OAuthClient.Terms {
            if let jwks, kind == .public || !ClientAuthentication.isUsable(jwks) {
                throw ValidationFailure(
                    "/jwks", "invalid-keys", "must be public RSA or EC keys with a kid, for a confidential client")
            }
            return OAuthClient.Terms(
                name: name, redirectURIs: redirectUris ?? [], postLogoutRedirectURIs: postLogoutRedirectUris ?? [],
                grantTypes: grantTypes ?? [.authorizationCode, .refreshToken], scopes: [OAuthScope](names: scopes), keySet: jwks)
        }
    }

    struct Registration: Decodable, Sendable {
        let name: Name
        let kind: OAuthClient.Kind?
        let redirectUris: [RedirectAddress]?
        let postLogoutRedirectUris: [RedirectAddress]?
        let grantTypes: [OAuthClient.GrantType]?
        let scopes: [ScopeName]
        /// Public keys (RFC 7517) for `private_key_jwt`.
        let jwks: JSONValue?

        var change: Change {
            Change(
                name: name, redirectUris: redirectUris, postLogoutRedirectUris: postLogoutRedirectUris, grantTypes: grantTypes,
                scopes: scopes, jwks: jwks)
        }
    }

    func list(_ request: CallerRequest, _ query: ListQuery) async throws -> Page<ClientView> {
        let limit = query.limit ?? .standard
        let place = try query.cursor.map { cursor in
            guard let place = cursor.timeAndID else {
                throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
            }
            return place
        }
        let clients = try await database.query(OAuthClientStore.list(before: place, limit: limit.value), as: request.caller)
        return Page(clients.map { ClientView($0) }, limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }

    func create(_ request: CallerRequest, _ body: Registration) async throws -> Uncached<Created<ClientView>> {
        let kind = body.kind ?? .confidential
        let secret = kind == .confidential ? ClientSecret.make() : nil
        let terms = try body.change.terms(kind), caller = request.caller
        let client = try await database.transaction(as: caller) { tx in
            let store = OAuthClientStore(tx: tx)
            var client = try OAuthClient.register(terms, kind: kind, by: caller, at: tx.now)
            guard try store.count() < OAuthClient.maximumCount else { throw OAuthClientFailure.tooMany }
            client.secretDigest = secret.map(ClientSecret.digest)
            try store.insert(client)
            try Audit(tx, request.http).record(
                "auth.client.create", "oauth-client", client.id.description, risk: "medium", changed: client.auditValues)
            return client
        }
        return Uncached(Created(ClientView(client, secret: secret), at: "/api/v1/auth/clients/\(client.id)"))
    }

    func read(_ request: CallerRequest) async throws -> ClientView {
        let id = try request.path("id", as: ClientID.self)
        guard let client = try await database.first(OAuthClientStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return ClientView(client)
    }

    func replace(_ request: CallerRequest, _ body: Change) async throws -> ClientView {
        let id = try request.path("id", as: ClientID.self), caller = request.caller
        return try await database.transaction(as: caller) { tx in
            let store = OAuthClientStore(tx: tx)
            guard var client = try store.lock(id) else { throw ResourceFailure.notFound }
            try request.requireMatch(client.entityTag)
            let before = client.auditValues
            try client.change(to: try body.terms(client.kind), by: caller, at: tx.now)
            try store.save(client)
            try Audit(tx, request.http).record(
                "auth.client.update", "oauth-client", id.description, risk: "medium", was: before, changed: client.auditValues)
            return ClientView(client)
        }
    }

    /// Whoever has the old secret is locked out at once.
    func rotate(_ request: CallerRequest) async throws -> Uncached<ClientView> {
        let id = try request.path("id", as: ClientID.self), secret = ClientSecret.make()
        let client = try await database.transaction(as: request.caller) { tx in
            let store = OAuthClientStore(tx: tx)
            guard var client = try store.lock(id) else { throw ResourceFailure.notFound }
            guard client.kind == .confidential else { throw OAuthClientFailure.hasNoSecret }
            client.secretDigest = ClientSecret.digest(secret)
            client.touch(at: tx.now)
            try store.save(client)
            try Audit(tx, request.http).record("auth.client.rotate-secret", "oauth-client", id.description, risk: "medium")
            return client
        }
        return Uncached(ClientView(client, secret: secret))
    }

    /// Its sessions end first: were the row gone before, nothing would say which they were.
    func remove(_ request: CallerRequest) async throws -> NoContent {
        let id = try request.path("id", as: ClientID.self), caller = request.caller, now = request.now
        guard let client = try await database.first(OAuthClientStore.find(id), as: caller) else { throw ResourceFailure.notFound }
        try request.requireMatch(client.entityTag)
        let live = try await database.query(AuthorizationStore.live(of: id, account: nil, at: now), as: caller)
        try await tokens.end(live, in: caller.tenant, .clientRemoved, request.http)
        let record = try await database.transaction(as: caller) { [ledger] tx -> RevocationRecord? in
            let store = OAuthClientStore(tx: tx)
            guard let client = try store.lock(id) else { throw ResourceFailure.notFound }
            try store.remove(id)
            try Audit(tx, request.http).record(
                "auth.client.delete", "oauth-client", id.description, risk: "medium", was: client.auditValues)
            return try ledger.record(.client(id), at: now, in: tx)
        }
        await ledger.announce([record].compactMap { $0 }, as: caller, at: now)
        return NoContent()
    }
}

extension [OAuthScope] {
    fileprivate init(names: [ScopeName]) {
        self = names.compactMap { OAuthScope($0.rawValue) }.reduce(into: []) { if !$0.contains($1) { $0.append($1) } }
    }
}

extension OAuthClient {
    var entityTag: EntityTag { EntityTag(version: version) }

    fileprivate var auditValues: [String: JSONValue] {
        func texts(_ list: [String]) -> JSONValue { .array(list.map { .string($0) }) }
        return [
            "name": .string(name.rawValue), "kind": .string(kind.rawValue), "redirectUris": texts(redirectURIs.map(\.rawValue)),
            "postLogoutRedirectUris": texts(postLogoutRedirectURIs.map(\.rawValue)), "grantTypes": texts(grantTypes.map(\.rawValue)),
            "scopes": texts(scopes.texts),
        ]
    }
}

/// An OAuth client, as its organization sees it.
struct ClientView: View {
    let id: ClientID
    /// What the client calls itself.
    let clientId: String
    /// In the answer to registering and to a new secret alone.
    let clientSecret: String?
    let name: String
    let kind: OAuthClient.Kind
    let redirectUris: [String]
    let postLogoutRedirectUris: [String]
    let grantTypes: [OAuthClient.GrantType]
    let scopes: [String]
    let jwks: JSONValue?
    let createdBy: UserID
    let createdAt: Date
    let updatedAt: Date
    private let version: Int

    enum CodingKeys: String, CodingKey {
        case id, clientId, clientSecret, name, kind, redirectUris, postLogoutRedirectUris, grantTypes, scopes, jwks, createdBy, createdAt
        case updatedAt, version
    }

    init(_ client: OAuthClient, secret: String? = nil) {
        id = client.id
        clientId = client.clientID
        clientSecret = secret
        name = client.name.rawValue
        kind = client.kind
        redirectUris = client.redirectURIs.map(\.rawValue)
        postLogoutRedirectUris = client.postLogoutRedirectURIs.map(\.rawValue)
        grantTypes = client.grantTypes
        scopes = client.scopes.texts
        jwks = client.keySet
        createdBy = client.createdBy
        createdAt = client.createdAt
        updatedAt = client.updatedAt
        version = client.version
    }

    var entityTag: EntityTag? { EntityTag(version: version) }
}
