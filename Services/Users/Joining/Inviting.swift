import Contracts
import Foundation
import HTTPTypes
import Logging
import Messaging
import Postgres
import ServiceKit

/// Asks people to join: the invited person, the invitation and the letter in one transaction.
struct Inviting: Sendable {
    let neighbours: Neighbours
    let sealing: Sealing
    /// Where the letter's link leads; the token is put behind it.
    let page: String
    let lifetime: TimeInterval
    let logger: Logger

    /// The id of the address' account, kept for them by auth when they have none yet. With auth away somebody can be invited all the
    /// same, under an id that the account's takes the place of when they join.
    func account(of email: EmailAddress) async -> UserID {
        do {
            let reserved = try await neighbours.call(
                .put, .auth, "/internal/v1/accounts", body: AccountReservationRequest(email: email), as: AccountReservation.self)
            return reserved.id
        } catch {
            logger.warning("no account was kept for somebody invited: they get its id when they join", metadata: ["reason": "\(error)"])
            // As accounts' ids are: it tells nobody what is behind it.
            return .ofAccount()
        }
    }

    struct Wanted: Sendable {
        let account: UserID
        let email: EmailAddress
        let profile: Profile
        let role: RoleName
        let message: InvitationMessage?
    }

    /// - Parameter permission: what the caller must be allowed now.
    func invite(_ wanted: Wanted, _ request: CallerRequest, needing permission: Permission, in tx: Transaction) throws -> (
        Person, Invitation
    ) {
        let people = PersonStore(tx: tx), invitations = InvitationStore(tx: tx)
        let actor = try people.actor(request.caller, needing: permission)
        // The organization before anything else that is locked, here as everywhere, so that no two wait for each other.
        let organization = try OrganizationStore(tx: tx).lock()
        let role = try RoleStore(tx: tx).granted(wanted.role)
        if role.name == .owner { try actor.requireOwner() }
        try actor.requireCover(of: role.permissions)
        try OrganizationStore(tx: tx).requireRoom(in: organization)
        guard try invitations.letters(since: tx.now.addingTimeInterval(-86_400)) < Invitation.dailyLimit + organization.limits.seats else {
            throw InvitationFailure.tooMany
        }
        if let known = try people.find(wanted.email) {
            throw known.status == .invited ? InvitationFailure.alreadyInvited : InvitationFailure.alreadyMember
        }
        let person = Person(
            new: wanted.account, email: wanted.email, profile: wanted.profile, role: role, status: .invited, gdprConsent: false, at: tx.now)
        let token = InvitationToken.make(tenant: organization.id)
        let invitation = Invitation(
            new: .make(at: tx.now), of: person, message: wanted.message, digest: token.digest, by: request.caller.user, at: tx.now,
            lifetime: lifetime)
        try people.insert(person)
        try invitations.insert(invitation)
        try send(invitation, token, organization, request, in: tx)
        try Outbox(tx).append([person.created, invitation.sent])
        try Audit(tx, request.http).record(
            "users.user.create", "user", person.id.description,
            changed: ["role": .string(role.name.rawValue), "invitationId": .string(invitation.id.description)])
        return (person, invitation)
    }

    /// A new token in a new letter.
    func resend(_ id: InvitationID, _ request: CallerRequest, needing permission: Permission, in tx: Transaction) throws -> Invitation {
        _ = try PersonStore(tx: tx).actor(request.caller, needing: permission)
        let organization = try OrganizationStore(tx: tx).lock()
        try organization.requireActive()
        let invitations = InvitationStore(tx: tx)
        var invitation = try invitations.lock(id)
        guard try invitations.letters(since: tx.now.addingTimeInterval(-86_400)) < Invitation.dailyLimit + organization.limits.seats else {
            throw InvitationFailure.tooMany
        }
        let token = InvitationToken.make(tenant: organization.id)
        let sent = try invitation.resend(digest: token.digest, at: tx.now, lifetime: lifetime)
        try invitations.save(invitation)
        try send(invitation, token, organization, request, in: tx)
        try Outbox(tx).append(sent)
        try Audit(tx, request.http).record("users.invitation.resend", "invitation", id.description)
        return invitation
    }

    private func send(
        _ invitation: Invitation, _ token: InvitationToken, _ organization: Organization, _ request: CallerRequest, in tx: Transaction
    ) throws {
        let inviter = try request.caller.user.flatMap { try PersonStore(tx: tx).find($0) }
        var data = [
            "organization": organization.branding.displayName?.rawValue ?? organization.name.rawValue, "role": invitation.role.rawValue,
            "link": page + token.text, "days": String(max(1, Int((lifetime / 86_400).rounded()))),
        ]
        if let inviter { data["inviter"] = inviter.displayName }
        if let message = invitation.message { data["message"] = message.rawValue }
        try Letters(tx, sealing).send(
            Letter(
                channel: .email, to: invitation.email.rawValue, template: "invitation", language: organization.settings.language.rawValue,
                tenant: organization.id, data: data, expiresAt: invitation.expiresAt))
    }
}
