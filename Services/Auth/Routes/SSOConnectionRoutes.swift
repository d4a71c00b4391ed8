import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// An organization's connections: who may sign in with whom. Whoever may write them decides who signs in as any of its members, so
/// writing asks for a recent proof of who one is.
struct SSOConnectionRoutes {
    let database: Database
    let issuers: SSOIssuers
    let sealing: Sealing
    let publicURL: String

    var endpoints: Endpoints {
        Endpoints("auth/sso/connections") {
            Endpoint.get("", "List connections to other issuers", may: "sso:read", list)
            Endpoint.post("", "Connect an issuer", may: .recently("sso:write"), create)
            Endpoint.get(":id", "Read a connection", may: "sso:read", read)
            Endpoint.put(":id", "Replace a connection's settings", may: .recently("sso:write"), replace)
            Endpoint.patch(":id", "Change some of a connection's settings", may: .recently("sso:write"), patch)
            Endpoint.delete(":id", "Remove a connection", may: .recently("sso:write"), delete)
        }
    }

    struct Paging: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
    }

    struct Draft: Decodable, Sendable {
        let name: Name
        let preset: SSOPreset
        /// Left out for the presets that have but one.
        let issuer: WebAddress?
        let clientId: ClientText
        /// Left out, the one there is stays, unless it would go to another issuer.
        let clientSecret: ClientText?
        let domains: [DomainName]?
        let defaultRole: JoiningRole?
        let joins: Bool?
        let enforced: Bool?
        let enabled: Bool?
        let returnOrigins: [WebOrigin]?
    }

    struct Patch: Decodable, Sendable {
        let name: Name?
        let issuer: WebAddress?
        let clientId: ClientText?
        let clientSecret: ClientText?
        let domains: [DomainName]?
        let defaultRole: JoiningRole?
        let joins: Bool?
        let enforced: Bool?
        let enabled: Bool?
        let returnOrigins: [WebOrigin]?
    }

    static let maximumDomains = 50
    static let maximumOrigins = 20

    // MARK: - Reading

    func list(_ request: CallerRequest, _ query: Paging) async throws -> Page<SSOConnectionView> {
        let limit = query.limit ?? .standard
        if query.cursor != nil, query.cursor?.timeAndID == nil {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        let found = try await database.query(
            SSOConnectionStore.list(after: query.cursor?.timeAndID, limit: limit.value + 1), as: request.caller)
        return Page(found.map { SSOConnectionView($0, publicURL: publicURL) }, limit: limit) {
            Cursor(time: $0.createdAt, id: $0.id.uuid)
        }
    }

    func read(_ request: CallerRequest) async throws -> SSOConnectionView {
        let id = try request.path("id", as: SSOConnectionID.self)
        guard let found = try await database.first(SSOConnectionStore.find(id), as: request.caller) else {
            throw SSOFailure.connectionNotFound
        }
        return SSOConnectionView(found, publicURL: publicURL)
    }

    // MARK: - Writing

    func create(_ request: CallerRequest, _ draft: Draft) async throws -> Created<SSOConnectionView> {
        guard let secret = draft.clientSecret else { throw ValidationFailure("/clientSecret", "missing", "is required") }
        let settings = try settings(draft)
        try settings.check(tested: false)
        try check(settings, request.caller)
        try await tryIssuer(settings)
        let view = try await database.transaction(as: request.caller) { tx in
            let connections = SSOConnectionStore(tx: tx)
            guard try connections.count() < SSOConnection.maximumPerOrganization else { throw SSOFailure.tooManyConnections }
            let connection = SSOConnection(
                id: .make(at: tx.now), settings: settings, lastUsedAt: nil, createdAt: tx.now, updatedAt: tx.now, version: 1)
            try connections.insert(connection, sealedSecret: try seal(secret, connection, tx))
            try Audit(tx, request.http).record(
                "auth.sso.connection.create", "sso-connection", connection.id.description, risk: "high", changed: settings.audited)
            return SSOConnectionView(connection, publicURL: publicURL)
        }
        return Created(view, at: "/api/v1/auth/sso/connections/\(view.id)")
    }

    func replace(_ request: CallerRequest, _ draft: Draft) async throws -> SSOConnectionView {
        let wanted = try settings(draft)
        return try await edit(request, secret: draft.clientSecret) { _ in wanted }
    }

    func patch(_ request: CallerRequest, _ patch: Patch) async throws -> SSOConnectionView {
        try await edit(request, secret: patch.clientSecret) { old in
            var new = old
            if let name = patch.name { new.name = name }
            if let issuer = patch.issuer { new.issuer = try old.preset.issuer(named: issuer.rawValue) }
            if let clientId = patch.clientId { new.clientID = clientId }
            if let domains = patch.domains { new.domains = try Self.bounded(domains, Self.maximumDomains, "/domains") }
            if let role = patch.defaultRole { new.defaultRole = role }
            if let joins = patch.joins { new.joins = joins }
            if let enforced = patch.enforced { new.enforced = enforced }
            if let enabled = patch.enabled { new.enabled = enabled }
            if let origins = patch.returnOrigins { new.returnOrigins = try Self.bounded(origins, Self.maximumOrigins, "/returnOrigins") }
            return new
        }
    }

    /// The secret that is kept never goes to another issuer than the one it was given for: who names another gives it anew.
    private func edit(
        _ request: CallerRequest, secret: ClientText?,
        _ change: @escaping @Sendable (SSOConnection.Settings) throws -> SSOConnection.Settings
    ) async throws -> SSOConnectionView {
        let id = try request.path("id", as: SSOConnectionID.self)
        guard let current = try await database.first(SSOConnectionStore.find(id), as: request.caller) else {
            throw SSOFailure.connectionNotFound
        }
        let planned = try change(current.settings)
        try check(planned, request.caller)
        if planned.issuer != current.settings.issuer || planned.preset != current.settings.preset { try await tryIssuer(planned) }
        return try await database.transaction(as: request.caller) { tx in
            let connections = SSOConnectionStore(tx: tx)
            var connection = try connections.lock(id)
            try request.requireMatch(EntityTag(version: connection.version))
            let old = connection.settings
            let new = try change(old)
            let isElsewhere = new.issuer != old.issuer || new.preset != old.preset
            if isElsewhere || new.clientID != old.clientID, secret == nil { throw SSOFailure.secretNeeded }
            if new == old, secret == nil { return SSOConnectionView(connection, publicURL: publicURL) }
            // What was tried was another issuer: it has to be tried again before it can be the only way in.
            try new.check(tested: connection.lastUsedAt != nil && !isElsewhere)
            connection = SSOConnection(
                id: id, settings: new, lastUsedAt: isElsewhere ? nil : connection.lastUsedAt, createdAt: connection.createdAt,
                updatedAt: tx.now, version: connection.version + 1)
            try connections.save(connection, sealedSecret: try secret.map { try seal($0, connection, tx) })
            var changed = new.audited
            if secret != nil { changed["clientSecret"] = "changed" }
            try Audit(tx, request.http).record(
                "auth.sso.connection.update", "sso-connection", id.description, risk: "high", was: old.audited, changed: changed)
            return SSOConnectionView(connection, publicURL: publicURL)
        }
    }

    /// People linked by it keep their identities: with another connection to the same issuer they sign in as before.
    func delete(_ request: CallerRequest) async throws -> NoContent {
        let id = try request.path("id", as: SSOConnectionID.self)
        try await database.transaction(as: request.caller) { tx in
            let connections = SSOConnectionStore(tx: tx)
            let connection = try connections.lock(id)
            try request.requireMatch(EntityTag(version: connection.version))
            try connections.delete(id)
            try Audit(tx, request.http).record(
                "auth.sso.connection.delete", "sso-connection", id.description, risk: "high", was: connection.settings.audited)
        }
        return NoContent()
    }

    // MARK: - What the writes share

    private func settings(_ draft: Draft) throws -> SSOConnection.Settings {
        SSOConnection.Settings(
            name: draft.name, preset: draft.preset, issuer: try draft.preset.issuer(named: draft.issuer?.rawValue),
            clientID: draft.clientId,
            domains: try Self.bounded(draft.domains ?? [], Self.maximumDomains, "/domains"),
            defaultRole: draft.defaultRole ?? JoiningRole(checked: BuiltInRole.user.rawValue), joins: draft.joins ?? false,
            enforced: draft.enforced ?? false, enabled: draft.enabled ?? true,
            returnOrigins: try Self.bounded(draft.returnOrigins ?? [], Self.maximumOrigins, "/returnOrigins"))
    }

    private static func bounded<Value: Hashable>(_ values: [Value], _ limit: Int, _ pointer: String) throws -> [Value] {
        guard values.count <= limit else { throw ValidationFailure(pointer, "too-many", "must have at most \(limit) entries") }
        var seen: Set<Value> = []
        return values.filter { seen.insert($0).inserted }
    }

    /// Nobody gives to those who join what they do not have themselves. Roles of the organization's own are users' to know.
    private func check(_ settings: SSOConnection.Settings, _ caller: Caller) throws {
        guard let role = BuiltInRole(rawValue: settings.defaultRole.rawValue) else { return }
        guard caller.permissions.covers(PermissionSet(role.permissions)) else {
            throw ValidationFailure("/defaultRole", "not-allowed", "has rights that you do not have")
        }
    }

    /// A connection that cannot work is not kept. Says no more than that: what is inside the network is nobody's to find out.
    private func tryIssuer(_ settings: SSOConnection.Settings) async throws {
        guard settings.preset.kind == .oidc else {
            do {
                _ = try issuers.transport.guarding.check(settings.issuer)
                return
            } catch { throw Self.unusable }
        }
        do {
            _ = try await issuers.metadata(of: settings.issuer, settings.preset, anew: true)
        } catch is SSOFailure {
            throw Self.unusable
        }
    }

    private static let unusable = ValidationFailure(
        "/issuer", "unusable-issuer",
        "no OpenID Connect discovery document of this very issuer could be read there over https: "
            + "see <issuer>/.well-known/openid-configuration")

    private func seal(_ secret: ClientText, _ connection: SSOConnection, _ tx: Transaction) throws -> Data {
        try sealing.seal(Data(secret.rawValue.utf8), context: connection.sealingContext(in: tx.caller.tenant))
    }
}

extension SSOConnection.Settings {
    /// For the audit: everything but the secret.
    fileprivate var audited: [String: JSONValue] {
        [
            "name": .string(name.rawValue), "preset": .string(preset.rawValue), "issuer": .string(issuer),
            "clientId": .string(clientID.rawValue), "domains": .array(domains.map { .string($0.rawValue) }),
            "defaultRole": .string(defaultRole.rawValue), "joins": .bool(joins), "enforced": .bool(enforced), "enabled": .bool(enabled),
            "returnOrigins": .array(returnOrigins.map { .string($0.rawValue) }),
        ]
    }
}
