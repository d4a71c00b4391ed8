import Contracts
import Foundation
import Messaging
import Postgres
import ServiceKit

/// Becoming a member: by an invitation, by signing in with others, by founding. All of it may be repeated, as a request that was cut
/// short is.
struct Joining {
    let tx: Transaction
    let request: PublicRequest

    /// Whoever comes, with what they say of themselves.
    struct Newcomer: Sendable {
        let account: UserID
        let email: EmailAddress
        var firstName: Name?
        var lastName: Name?
        var gdprConsent = false
        var marketingConsent = false
    }

    private var people: PersonStore { PersonStore(tx: tx) }
    private var invitations: InvitationStore { InvitationStore(tx: tx) }

    /// Takes an invitation: single use, and for the address that it was sent to alone. Who has taken it already is a member, no more.
    func accept(_ token: InvitationToken, _ newcomer: Newcomer) throws -> Membership {
        let organization = try OrganizationStore(tx: tx).lock()
        var invitation = try invitations.lock(digest: token.digest)
        if invitation.status == .accepted, invitation.user == newcomer.account, let person = try people.find(newcomer.account) {
            return Membership(person: person, organization: organization)
        }
        try invitation.requireOpen(at: tx.now)
        guard invitation.email == newcomer.email else { throw InvitationFailure.otherAddress }
        try organization.requireActive()
        return Membership(person: try take(&invitation, newcomer), organization: organization)
    }

    /// Who proved who they are elsewhere: takes the invitation that waits for their address, or a free seat.
    func admit(_ newcomer: Newcomer, as role: GrantedRole) throws -> Membership {
        let organizations = OrganizationStore(tx: tx)
        let organization = try organizations.lock()
        try organization.requireActive()
        let known = try people.find(newcomer.account)
        if let known, known.status != .invited { return Membership(person: known, organization: organization) }
        if var invitation = try invitations.lockOpen(known?.email ?? newcomer.email) {
            return Membership(person: try take(&invitation, newcomer), organization: organization)
        }
        try organizations.requireRoom(in: organization)
        let person = Person(
            new: newcomer.account, email: newcomer.email, profile: Profile(firstName: newcomer.firstName, lastName: newcomer.lastName),
            role: role, status: .active, gdprConsent: newcomer.gdprConsent, at: tx.now)
        try people.insert(person)
        try Outbox(tx).append([person.created, person.added])
        try Audit(tx, request).record(
            "users.member.join", "user", person.id.description, changed: ["role": .string(role.name.rawValue)])
        return Membership(person: person, organization: organization)
    }

    private func take(_ invitation: inout Invitation, _ newcomer: Newcomer) throws -> Person {
        let invited = try people.lock(invitation.user)
        let person = invited.joined(
            as: newcomer.account, firstName: newcomer.firstName, lastName: newcomer.lastName, gdprConsent: newcomer.gdprConsent,
            marketingConsent: newcomer.marketingConsent, at: tx.now)
        do {
            try people.save(person, instead: invited.id)
        } catch let failure as PostgresFailure where failure.isUniqueViolation {
            // The account is a member already, under another address.
            throw InvitationFailure.alreadyMember
        }
        invitation.settle(.accepted, at: tx.now)
        try invitations.save(invitation, takenBy: person.id)
        let renamed: [any Event] = invited.id == person.id ? [] : [UserDeleted(userID: invited.id), person.created]
        try Outbox(tx).append(renamed + [person.updated, person.added])
        try Audit(tx, request).record(
            "users.invitation.accept", "invitation", invitation.id.description, changed: ["userId": .string(person.id.description)])
        return person
    }

    /// The open invitation of somebody is over, and they are no longer invited.
    func turnDown(_ invitation: Invitation, _ outcome: Invitation.Status) throws {
        var invitation = invitation
        invitation.settle(outcome, at: tx.now)
        try invitations.save(invitation)
        if let invited = try people.find(invitation.user), invited.status == .invited {
            try people.remove(invited.id)
            try Outbox(tx).append([MemberRemoved(userID: invited.id), UserDeleted(userID: invited.id)])
        }
        try Audit(tx, request).record(
            "users.invitation.\(outcome == .declined ? "decline" : "revoke")", "invitation", invitation.id.description)
    }

    /// A new organization with its owner. Throws `OrganizationFailure.slugTaken`, `.exists`.
    func found(_ name: Name, slug: OrganizationSlug?, owner newcomer: Newcomer, profile: Profile? = nil) throws -> Membership {
        let organizations = OrganizationStore(tx: tx), id = tx.caller.tenant
        for candidate in slug.map({ [$0] }) ?? OrganizationSlug.candidates(for: name, id: id) {
            guard let organization = try organizations.insert(Organization(new: id, name: name, slug: candidate, at: tx.now)) else {
                continue
            }
            var own = profile ?? Profile(firstName: newcomer.firstName, lastName: newcomer.lastName)
            own.marketingConsent = newcomer.marketingConsent
            let person = Person(
                new: newcomer.account, email: newcomer.email, profile: own, role: .owner, status: .active,
                gdprConsent: newcomer.gdprConsent, at: tx.now)
            try people.insert(person)
            try Outbox(tx).append([organization.created(by: person.id), person.created, person.added])
            try Audit(tx, request).record("users.organization.create", "organization", id.description)
            return Membership(person: person, organization: organization)
        }
        let idIsTaken = try tx.first(OrganizationStore.find(id)) != nil
        throw idIsTaken ? OrganizationFailure.exists : OrganizationFailure.slugTaken
    }
}
