import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Keys with which programs act for a person.
///
/// Making one takes `api:write`, which owners, admins and developers have, and a proof of identity that is not older than ten minutes. Everybody
/// sees, renames and revokes their own; those of others, whoever holds `api-keys:manage`. A key is no better than its scopes here too:
/// with `api:read` it sees its owner's keys, with `api:write` it may revoke them.
struct APIKeyRoutes {
    let database: Database
    let ledger: RevocationLedger

    var endpoints: Endpoints {
        Endpoints("auth/api-keys") {
            Endpoint.post("", "Make an API key; the answer shows it, and nothing ever again", may: .recently("api:write"), create)
            Endpoint.get("", "List your API keys, or with scope=all those of the organization", may: .signedIn, list)
            Endpoint.get(":id", "Read an API key", may: .signedIn, read)
            Endpoint.patch(":id", "Rename an API key", may: .signedIn, rename)
            Endpoint.delete(":id", "Revoke an API key, everywhere and for good", may: .signedIn, revoke)
        }
    }

    struct Draft: Decodable, Sendable {
        let name: Label
        /// Permissions such as `content:read`; each must be one you have yourself.
        let scopes: [ScopeText]
        /// Without it the key does not expire.
        let expiresAt: Date?
    }

    struct Patch: Decodable, Sendable {
        let name: Change<Label>
    }

    struct ListQuery: Decodable, Sendable {
        enum Scope: String, Codable, Sendable, CaseIterable { case own, all }
        let scope: Scope?
        let limit: PageLimit?
        let cursor: Cursor?
    }

    // MARK: - Making

    func create(_ request: CallerRequest, _ draft: Draft) async throws -> Uncached<Created<NewAPIKeyView>> {
        let owner = try request.user(), caller = request.caller
        let secret = APIKeySecret.make(in: caller.tenant)
        let key = try await database.transaction(as: caller) { tx in
            let store = APIKeyStore(tx: tx)
            let (key, created) = try APIKey.make(
                for: owner, caller.permissions, name: draft.name, prefix: secret.prefix, scopes: draft.scopes.map(\.permission),
                expiresAt: draft.expiresAt, at: tx.now)
            // A token may be good for a moment longer than its session. A key outlives both: the session must be there, and stay.
            guard let session = try caller.session.flatMap({ try SessionStore(tx: tx).lock($0) }), session.isLive(at: tx.now) else {
                throw AccessFailure.revokedSession
            }
            guard try store.count(of: owner) < APIKey.maximumPerPerson else { throw APIKeyFailure.tooMany }
            try store.insert(key, secret)
            try Outbox(tx).append(created)
            try Audit(tx, request.http).record(
                "auth.api-key.create", "api-key", key.id.description, risk: "medium",
                changed: [
                    "name": .string(key.name.rawValue), "scopes": .array(key.scopes.map { .string($0.description) }),
                    "expiresAt": key.expiresAt.map { .string(Timestamp.text($0)) } ?? .null,
                ])
            return key
        }
        return Uncached(Created(NewAPIKeyView(key, secret), at: "/api/v1/auth/api-keys/\(key.id)"))
    }

    // MARK: - Reading

    func list(_ request: CallerRequest, _ query: ListQuery) async throws -> Page<APIKeyView> {
        let owner = try reader(request)
        if query.scope == .all { try request.caller.require(APIKey.managing) }
        let limit = query.limit ?? .standard
        let place = try query.cursor.map { cursor in
            guard let place = cursor.timeAndID else {
                throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
            }
            return place
        }
        let page = APIKeyStore.page(of: query.scope == .all ? nil : owner, after: place, limit: limit.value + 1)
        let keys = try await database.query(page, as: request.caller).map(APIKeyView.init)
        return Page(keys, limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }

    func read(_ request: CallerRequest) async throws -> APIKeyView {
        let owner = try reader(request), id = try request.path("id", as: APIKeyID.self)
        guard let key = try await database.first(APIKeyStore.find(id), as: request.caller), sees(request.caller, owner, key) else {
            throw ResourceFailure.notFound
        }
        return APIKeyView(key)
    }

    // MARK: - Changing

    func rename(_ request: CallerRequest, _ patch: Patch) async throws -> APIKeyView {
        let owner = try writer(request), id = try request.path("id", as: APIKeyID.self), caller = request.caller
        return try await database.transaction(as: caller) { tx in
            let store = APIKeyStore(tx: tx)
            guard var key = try store.lock(id), sees(caller, owner, key) else { throw ResourceFailure.notFound }
            try request.requireMatch(EntityTag(version: key.version, usedAt: key.lastUsedAt))
            let earlier = key.name.rawValue
            switch patch.name {
            case .keep: return APIKeyView(key)
            case .clear: throw ValidationFailure("/name", "missing", "a key has a name")
            case .set(let name): guard key.rename(name) else { return APIKeyView(key) }
            }
            try store.save(key)
            try Audit(tx, request.http).record(
                "auth.api-key.rename", "api-key", id.description, was: ["name": .string(earlier)],
                changed: ["name": .string(key.name.rawValue)])
            return APIKeyView(key)
        }
    }

    /// 204 also while Redis is away: the other programs hear of it as soon as it is back.
    func revoke(_ request: CallerRequest) async throws -> NoContent {
        let owner = try writer(request), id = try request.path("id", as: APIKeyID.self), caller = request.caller, now = request.now
        let record = try await database.transaction(as: caller) { tx -> RevocationRecord? in
            let store = APIKeyStore(tx: tx)
            guard var key = try store.lock(id), sees(caller, owner, key) else { throw ResourceFailure.notFound }
            try request.requireMatch(EntityTag(version: key.version, usedAt: key.lastUsedAt))
            guard let revoked = key.revoke(.revoked, at: tx.now) else { throw ResourceFailure.notFound }
            try store.save(key)
            try Outbox(tx).append(revoked)
            try Audit(tx, request.http).record(
                "auth.api-key.revoke", "api-key", id.description, risk: "medium", changed: ["name": .string(key.name.rawValue)])
            return try ledger.record(.apiKey(id), at: now, in: tx)
        }
        await ledger.announce(record.map { [$0] } ?? [], as: caller, at: now)
        return NoContent()
    }

    // MARK: - Who may

    /// A person sees their own keys whatever their role; a key needs the scope.
    private func reader(_ request: CallerRequest) throws -> UserID {
        if case .apiKey = request.caller.principal { try request.caller.require("api:read") }
        return try request.user()
    }

    /// Whoever acts as somebody else leaves their keys alone.
    private func writer(_ request: CallerRequest) throws -> UserID {
        if request.caller.impersonator != nil { throw AccessFailure.personOnly }
        if case .apiKey = request.caller.principal { try request.caller.require("api:write") }
        return try request.user()
    }

    private func sees(_ caller: Caller, _ owner: UserID, _ key: APIKey) -> Bool { key.owner == owner || caller.may(APIKey.managing) }
}

/// A permission as it is asked for: `resource:action`, each side lowercase or `*`.
struct ScopeText: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }

    static var schema: Schema {
        .string(minLength: 1, maxLength: maximumLength, pattern: "^(\\*|[a-z0-9-]+:[a-z0-9-]+|[a-z0-9-]+:\\*|\\*:[a-z0-9-]+)$")
    }
    private static let maximumLength = 100

    static func check(_ text: String) throws(TextProblem) -> String {
        guard text.utf8.count <= maximumLength, let permission = Permission(text), isWord(permission.resource), isWord(permission.action)
        else {
            throw TextProblem("invalid-permission", "must be a permission such as content:read, with * on either side for all")
        }
        return permission.description
    }

    private static func isWord(_ text: String) -> Bool {
        text == "*" || text.utf8.allSatisfy { (97...122).contains($0) || (48...57).contains($0) || $0 == UInt8(ascii: "-") }
    }

    /// It was checked when it was made.
    var permission: Permission { Permission(rawValue) ?? Permission(resource: "-", action: "-") }
}
