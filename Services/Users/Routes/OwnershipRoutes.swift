import Contracts
import Foundation
import HTTPTypes
import Messaging
import Postgres
import ServiceKit

/// What ends or changes hands: ownership, one's own membership, the organization itself.
struct OwnershipRoutes {
    let database: Database
    let access: AccessEnding

    private static let writing: Permission = "organizations:write"
    /// The header in which deleting is confirmed, by the organization's slug.
    static let confirmation = HTTPField.Name("X-Confirm-Slug")

    var endpoints: Endpoints {
        Endpoints("organizations") {
            Endpoint.post(
                ":id/transfer-ownership", "Make another member the owner in your place", may: .recently("organizations:write"), transfer)
            Endpoint.post(":id/leave", "Leave the organization", may: .signedIn, leave)
            Endpoint.delete(
                ":id", "Delete the organization, confirmed by its slug in X-Confirm-Slug", may: .recently("organizations:write"), delete)
        }
    }

    struct Successor: Decodable, Sendable {
        let userId: UserID
    }

    /// The new owner takes the place of the caller, who becomes an admin.
    func transfer(_ request: CallerRequest, _ body: Successor) async throws -> OrganizationView {
        let tenant = try request.requireOwnOrganization(), user = try request.person()
        let (organization, change) = try await database.transaction(as: request.caller) { tx in
            let people = PersonStore(tx: tx)
            let organization = try OrganizationStore(tx: tx).lock()
            try organization.requireActive()
            var old = try people.lock(user)
            let actor = try Actor(request.caller, now: old, needing: Self.writing)
            try actor.requireOwner()
            guard body.userId != user else { throw MemberFailure.notOwner }
            var new = try people.lock(body.userId)
            guard new.status == .active else { throw MemberFailure.notOwner }
            let risen = try new.change(
                profile: new.profile, role: .owner, status: new.status, by: actor, otherOwners: 1, at: tx.now)
            let fallen = try old.change(
                profile: old.profile, role: GrantedRole(.admin), status: old.status, by: actor, otherOwners: 1, at: tx.now)
            try people.save(new)
            try people.save(old)
            try Outbox(tx).append(risen.events + fallen.events)
            try Audit(tx, request.http).record(
                "users.organization.transfer", "organization", tenant.description, risk: "high",
                was: ["owner": .string(user.description)], changed: ["owner": .string(new.id.description)])
            return (organization, fallen)
        }
        if change.hasLostRights { await access.end(.rightsChanged, user, in: tenant) }
        return OrganizationView(organization, at: request.now)
    }

    /// The last owner cannot: they transfer or delete it.
    func leave(_ request: CallerRequest) async throws -> NoContent {
        let tenant = try request.requireOwnOrganization(), user = try request.person()
        try await database.transaction(as: request.caller) { tx in
            let people = PersonStore(tx: tx)
            _ = try OrganizationStore(tx: tx).lock()
            let person = try people.lock(user)
            _ = try Actor(request.caller, now: person, needing: nil)
            let owners = person.role == .owner ? try people.otherOwners(than: user) : 0
            let events = try person.leave(otherOwners: owners)
            try people.remove(user)
            try Outbox(tx).append(events)
            try Audit(tx, request.http).record("users.member.leave", "user", user.description, risk: "medium")
        }
        await access.end(.memberRemoved, user, in: tenant)
        return NoContent()
    }

    /// By an owner alone. Everybody's sessions end at once; the slug is held back, and everything can be restored by a platform admin,
    /// until the data is erased.
    func delete(_ request: CallerRequest) async throws -> NoContent {
        let tenant = try request.requireOwnOrganization(), user = try request.person()
        let slug = Self.confirmation.flatMap { request.headers[$0] } ?? ""
        try await database.transaction(as: request.caller) { tx in
            let organizations = OrganizationStore(tx: tx)
            var organization = try organizations.lock()
            let actor = try Actor(request.caller, now: try PersonStore(tx: tx).find(user), needing: Self.writing)
            try actor.requireOwner()
            try request.requireMatch(EntityTag(version: organization.version))
            try organization.requireActive()
            let deleted = try organization.delete(confirmedBy: slug, at: tx.now)
            try organizations.save(organization)
            try Outbox(tx).append(deleted)
            try Audit(tx, request.http).record(
                "users.organization.delete", "organization", tenant.description, risk: "high", was: ["status": "active"],
                changed: ["status": "deleted", "erasedAfter": .string(Timestamp.text(deleted.erasedAfter))])
        }
        await access.end(.organizationDeleted, nil, in: tenant)
        return NoContent()
    }
}
