import Contracts
import Foundation
import Postgres
import ServiceKit

/// Where a person is signed in, in all their organizations, and how they end what is not theirs.
struct SessionListRoutes {
    let database: Database
    let sessions: Sessions

    var endpoints: Endpoints {
        Endpoints("auth/sessions") {
            Endpoint.get("", "Where you are signed in", may: .signedIn, list)
            Endpoint.delete(":id", "End one of your sessions everywhere", may: .signedIn, end)
            Endpoint.delete("", "End all your sessions but this one", may: .signedIn, endOthers)
        }
    }

    struct Paging: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
    }

    /// The latest first; the one that asks says so.
    func list(_ request: CallerRequest, _ query: Paging) async throws -> Page<SessionView> {
        let (user, current) = try person(request)
        let limit = query.limit ?? .standard
        if query.cursor != nil, query.cursor?.timeAndID == nil {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        let after = query.cursor?.timeAndID
        let tenant = Self.reach(request.caller)
        let found = try await database.platform(PlatformWork("a person's own sessions")) { tx in
            try PlatformSessionStore(tx: tx).live(of: user, in: tenant, after: after, limit: limit.value + 1)
        }
        return Page(found.map { SessionView($0.session, in: $0.tenant, current: current) }, limit: limit) {
            Cursor(time: $0.createdAt, id: $0.id.uuid)
        }
    }

    /// 404 for what is no live session of the person who asks.
    func end(_ request: CallerRequest) async throws -> NoContent {
        let (user, _) = try person(request)
        let id = try request.path("id", as: SessionID.self)
        let tenant = try await database.platform(PlatformWork("a person's own sessions")) { tx in
            try PlatformSessionStore(tx: tx).tenant(of: id, of: user)
        }
        guard let tenant, tenant == Self.reach(request.caller) ?? tenant else { throw ResourceFailure.notFound }
        try await sessions.end(id, of: user, in: tenant, .ended, request.http)
        return NoContent()
    }

    func endOthers(_ request: CallerRequest) async throws -> NoContent {
        let (user, current) = try person(request)
        try PersonalRequest.requireOwnSignIn(request.caller)
        try await sessions.endAll(of: user, except: current, begunUntil: request.now, .ended, at: request.now, request.http)
        return NoContent()
    }

    /// The only organization whose sessions are shown and ended: that of an issuer which speaks for it alone. Nil for all.
    private static func reach(_ caller: Caller) -> TenantID? { caller.methods.speakForAccount ? nil : caller.tenant }

    /// In person: a key, or somebody who acts as the person, has no business with where else they are signed in.
    private func person(_ request: CallerRequest) throws(AccessFailure) -> (UserID, SessionID) {
        guard case .person(let user) = request.caller.principal, request.caller.impersonator == nil, let session = request.caller.session
        else { throw .personOnly }
        return (user, session)
    }
}
