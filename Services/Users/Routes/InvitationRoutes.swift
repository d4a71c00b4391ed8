import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Invitations: made and withdrawn by an organization, taken or turned down by those invited.
struct InvitationRoutes {
    let database: Database
    let inviting: Inviting

    private static let writing: Permission = "users:write"

    var endpoints: [Endpoints] {
        [
            Endpoints("organizations/:id/invitations") {
                Endpoint.get("", "List the invitations", may: "users:read", list)
                Endpoint.post("", "Invite somebody by mail", may: "users:write", create)
                Endpoint.get(":invitationID", "Read an invitation", may: "users:read", read)
                Endpoint.post(":invitationID/resend", "Send an invitation again, with a new link", may: "users:write", resend)
                Endpoint.delete(":invitationID", "Revoke an invitation", may: "users:write", revoke)
            },
            Endpoints("invitations") {
                Endpoint.post("preview", "See what an invitation is for", .public, preview)
                Endpoint.post("accept", "Join the organization that invited you", may: .signedIn, accept)
                Endpoint.post("decline", "Turn an invitation down", .public, decline)
            },
        ]
    }

    struct InvitationDraft: Decodable, Sendable {
        let email: EmailAddress
        let role: RoleName?
        let message: InvitationMessage?
        let firstName: Name?
        let lastName: Name?
    }

    struct InvitationQuery: Decodable, Sendable {
        let limit: PageLimit?
        let cursor: Cursor?
        let status: Invitation.State?
    }

    struct InvitationTokenBody: Decodable, Sendable {
        let token: PresentedToken

        /// Throws `InvitationFailure.notFound` for what has not the form of one.
        func parsed() throws(InvitationFailure) -> InvitationToken {
            guard let token = InvitationToken(token.rawValue) else { throw .notFound }
            return token
        }
    }

    // MARK: - In the organization

    func list(_ request: CallerRequest, _ query: InvitationQuery) async throws -> Page<InvitationView> {
        try request.requireOwnOrganization()
        let limit = query.limit ?? .standard, now = request.now
        let found = try await database.query(
            InvitationStore.page(query.status, now: now, after: try query.cursor?.newestFirst(), limit: limit.value + 1), as: request.caller
        )
        return Page(found.map { InvitationView($0, at: now) }, limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
    }

    func read(_ request: CallerRequest) async throws -> InvitationView {
        try request.requireOwnOrganization()
        let id = try request.path("invitationID", as: InvitationID.self)
        guard let found = try await database.first(InvitationStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        return InvitationView(found, at: request.now)
    }

    /// The same answer whether or not somebody has an account with the address.
    func create(_ request: CallerRequest, _ draft: InvitationDraft) async throws -> Created<InvitationView> {
        let organization = try request.requireOwnOrganization()
        let settings = try await database.first(OrganizationStore.find(organization), as: request.caller)?.settings
        let wanted = Inviting.Wanted(
            account: await inviting.account(of: draft.email), email: draft.email,
            profile: Profile(firstName: draft.firstName, lastName: draft.lastName), role: draft.role ?? settings?.defaultRole ?? .user,
            message: draft.message)
        let inviting = inviting, now = request.now
        return try await database.transaction(as: request.caller) { tx in
            let (_, invitation) = try inviting.invite(wanted, request, needing: Self.writing, in: tx)
            return Created(
                InvitationView(invitation, at: now), at: "/api/v1/organizations/\(organization)/invitations/\(invitation.id)")
        }
    }

    func resend(_ request: CallerRequest) async throws -> InvitationView {
        try request.requireOwnOrganization()
        let id = try request.path("invitationID", as: InvitationID.self), inviting = inviting
        return try await database.transaction(as: request.caller) { tx in
            InvitationView(try inviting.resend(id, request, needing: Self.writing, in: tx), at: tx.now)
        }
    }

    /// The link in the letter is worth nothing from now on, and the seat is free.
    func revoke(_ request: CallerRequest) async throws -> NoContent {
        try request.requireOwnOrganization()
        let id = try request.path("invitationID", as: InvitationID.self)
        return try await database.transaction(as: request.caller) { tx in
            let actor = try PersonStore(tx: tx).actor(request.caller, needing: Self.writing)
            _ = try OrganizationStore(tx: tx).lock()
            let invitation = try InvitationStore(tx: tx).lock(id)
            guard invitation.status == .pending else { throw InvitationFailure.settled }
            if let person = try PersonStore(tx: tx).find(invitation.user) {
                if person.role == .owner { try actor.requireOwner() }
                try actor.requireCover(of: person.permissions)
            }
            try Joining(tx: tx, request: request.http).turnDown(invitation, .revoked)
            return NoContent()
        }
    }

    // MARK: - With the token of the letter

    func preview(_ request: PublicRequest, _ body: InvitationTokenBody) async throws -> InvitationPreview {
        let token = try body.parsed()
        return try await database.transaction(as: .anonymous(in: token.tenant)) { tx in
            guard let invitation = try tx.first(InvitationStore.find(digest: token.digest)),
                let organization = try tx.first(OrganizationStore.find(token.tenant)), organization.status == .active
            else { throw InvitationFailure.notFound }
            try invitation.requireOpen(at: tx.now)
            let people = PersonStore(tx: tx)
            let inviter = try invitation.invitedBy.flatMap { try people.find($0) }
            return InvitationPreview(invitation, organization, role: try people.find(invitation.user)?.role, inviter: inviter)
        }
    }

    /// For whoever is signed in with the address that was invited. May be repeated.
    func accept(_ request: CallerRequest, _ body: InvitationTokenBody) async throws -> JoinedView {
        let token = try body.parsed(), user = try request.person()
        guard let own = try await database.first(PersonStore.find(user), as: request.caller), own.status == .active else {
            throw AccessFailure.missingPermission("users:read")
        }
        let newcomer = Joining.Newcomer(
            account: user, email: own.email, firstName: own.profile.firstName, lastName: own.profile.lastName,
            gdprConsent: own.gdprConsent, marketingConsent: false)
        return try await database.transaction(as: Caller(.person(user), tenant: token.tenant)) { tx in
            JoinedView(try Joining(tx: tx, request: request.http).accept(token, newcomer))
        }
    }

    func decline(_ request: PublicRequest, _ body: InvitationTokenBody) async throws -> NoContent {
        let token = try body.parsed()
        return try await database.transaction(as: .anonymous(in: token.tenant)) { tx in
            guard try tx.first(OrganizationStore.find(token.tenant)) != nil else { throw InvitationFailure.notFound }
            _ = try OrganizationStore(tx: tx).lock()
            let invitation = try InvitationStore(tx: tx).lock(digest: token.digest)
            try invitation.requireOpen(at: tx.now)
            try Joining(tx: tx, request: request).turnDown(invitation, .declined)
            return NoContent()
        }
    }
}

/// A secret as it is shown to us: any text of a sensible length, since whatever has not the right form is simply wrong.
struct PresentedToken: ValidatedText {
    let rawValue: String
    init(checked: String) { rawValue = checked }
    static let limit = 200
    static var schema: Schema { .string(minLength: 1, maxLength: 200) }
    static func check(_ text: String) throws(TextProblem) -> String {
        guard (1...limit).contains(text.utf8.count) else { throw TextProblem("invalid-token", "must have 1 to \(limit) characters") }
        return text
    }
}

extension Cursor {
    /// The keys of a list that is sorted by time. Throws for the cursor of another.
    func newestFirst() throws(ValidationFailure) -> (Date, UUID) {
        guard let keys = timeAndID else {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer")
        }
        return keys
    }
}
