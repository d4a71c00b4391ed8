import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// A platform admin acts as a person for a while: the person's own rights, no refresh token, and everything it does says who it was.
///
/// The organization sees it begin and end in its audit trail, and the person among their sessions, where they can end it. Passwords,
/// second factors and keys are out of reach: what needs a recent proof of identity refuses whoever acts as somebody else.
struct ImpersonationRoutes {
    let database: Database
    let people: PeopleClient
    let keys: KeyRing
    let ledger: RevocationLedger

    var endpoints: Endpoints {
        Endpoints("auth/impersonate") {
            Endpoint.post("", "Act as a person of an organization for a while", may: .superadmin, begin)
            Endpoint.delete("", "Stop acting as somebody", may: .signedIn, end)
        }
    }

    struct Request: Decodable, Sendable {
        let organizationId: TenantID
        let userId: UserID
        /// Shown to the organization.
        let reason: ImpersonationReason
        /// 15 without it.
        let minutes: ImpersonationMinutes?
        /// `read` without it: to look is what most cases need. With `full` the person's own rights, which outlive nothing but may make
        /// what does: the organization sees in its audit trail which it was.
        let access: Impersonation.Access?
    }

    func begin(_ request: CallerRequest, _ body: Request) async throws -> Uncached<Created<ImpersonationView>> {
        let admin = try request.user(), caller = request.caller, now = request.now
        // The same rule as `.recently`: a token that lies about is not enough.
        guard let proven = caller.authenticatedAt, now.timeIntervalSince(proven) <= TimeInterval(Access.recentSeconds) else {
            throw AccessFailure.authenticationTooOld(maxAge: Access.recentSeconds)
        }
        let claims: PersonClaims
        do {
            claims = try await people.claims(of: body.userId, in: body.organizationId.description)
        } catch AccountFailure.notAMember {
            throw ResourceFailure.notFound
        }
        try Impersonation.refuse(claims, by: admin)
        let life = TimeInterval((body.minutes?.value ?? Impersonation.standardMinutes) * 60)
        let impersonation = Impersonation(impersonator: admin, reason: body.reason.rawValue)
        let session = impersonation.session(
            of: claims.userID, methods: caller.methods, address: request.clientAddress, userAgent: request.userAgent, at: now, life: life)
        // In the organization of the person, by the name of the admin: the audit trail is theirs.
        let actor = Caller(.person(admin), tenant: body.organizationId, session: session.id)
        try await database.transaction(as: actor) { tx in
            try SessionStore(tx: tx).insert(session)
            try Audit(tx, request.http).record(
                "auth.impersonation.begin", "user", claims.userID.description, risk: "high",
                changed: [
                    "reason": .string(impersonation.reason), "session": .string(session.id.description),
                    "until": .string(Timestamp.text(session.expiresAt)), "access": .string((body.access ?? .read).rawValue),
                ])
        }
        let issued = try await ledger.revocations.issueTime(user: claims.userID, tenant: body.organizationId, now: now)
        let token = try await keys.sign(
            AccessClaims(
                user: claims.userID, session: session.id, tenant: body.organizationId, roles: claims.roles,
                permissions: (body.access ?? .read).limit(claims.permissions),
                plan: claims.organization.plan, amr: session.methods, issuedAt: issued,
                lifetime: session.expiresAt.timeIntervalSince(issued), authTime: proven, impersonator: admin))
        return Uncached(Created(ImpersonationView(claims, session, token, now: now), at: "/api/v1/auth/sessions/\(session.id)"))
    }

    /// With the token of the impersonation. The person, too, can end it, as any other session of theirs.
    func end(_ request: CallerRequest) async throws -> NoContent {
        let caller = request.caller, now = request.now, user = try request.user()
        guard caller.impersonator != nil, let id = caller.session else { throw ImpersonationFailure.notImpersonating }
        let record = try await database.transaction(as: caller) { tx -> RevocationRecord? in
            let sessions = SessionStore(tx: tx)
            guard var session = try sessions.lock(id), let revoked = session.end(.ended, at: now) else { return nil }
            try sessions.save(session)
            try Outbox(tx).append(revoked)
            try Audit(tx, request.http).record(
                "auth.impersonation.end", "user", user.description, risk: "medium", changed: ["session": .string(id.description)])
            return try ledger.record(.session(id), at: now, in: tx)
        }
        await ledger.announce(record.map { [$0] } ?? [], as: caller, at: now)
        return NoContent()
    }
}

/// What the admin is given: a token, and no way to prolong it.
struct ImpersonationView: View {
    let user: PersonView
    let organization: OrganizationView
    let sessionId: SessionID
    let accessToken: String
    let tokenType: String
    /// Seconds until it ends.
    let expiresIn: Int

    init(_ claims: PersonClaims, _ session: Session, _ token: String, now: Date) {
        user = PersonView(claims)
        organization = OrganizationView(claims.organization)
        sessionId = session.id
        accessToken = token
        tokenType = "Bearer"
        expiresIn = Int(session.expiresAt.timeIntervalSince(now))
    }
}

/// Why somebody acts as somebody else: a sentence, shown to the organization.
struct ImpersonationReason: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }

    private static let lengths = 5...500
    static var schema: Schema { .string(minLength: lengths.lowerBound, maxLength: lengths.upperBound) }

    static func check(_ text: String) throws(TextProblem) -> String {
        let trimmed = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard lengths.contains(trimmed.unicodeScalars.count), !trimmed.unicodeScalars.contains(where: { $0.value < 32 }) else {
            throw TextProblem("invalid-reason", "must say why, in \(lengths.lowerBound) to \(lengths.upperBound) characters on one line")
        }
        return trimmed
    }
}

/// How long somebody acts as somebody else.
struct ImpersonationMinutes: Codable, Sendable, Described {
    let value: Int

    private static let range = 1...Impersonation.longestMinutes
    static var schema: Schema { .integer(minimum: range.lowerBound, maximum: range.upperBound) }
    static var placeholder: ImpersonationMinutes { ImpersonationMinutes(value: Impersonation.standardMinutes) }

    private init(value: Int) { self.value = value }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        value = try container.decode(Int.self)
        guard Self.range.contains(value) else {
            throw DecodingError.dataCorrupted(
                .init(
                    codingPath: container.codingPath, debugDescription: "must be from 1 to \(Self.range.upperBound)",
                    underlyingError: TextProblem("out-of-range", "must be from 1 to \(Self.range.upperBound)")))
        }
    }

    func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(value)
    }
}
