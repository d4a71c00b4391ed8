package import Contracts
package import ServiceKit

/// People and organizations: who belongs where, with which role.
package enum Users: Program {
    package typealias Settings = UsersSettings
    package static let name = ServiceName.users
    package static let port = 8082
    package static let summary = "People, organizations and memberships."

    package static func assemble(_ settings: UsersSettings, _ house: Foundations) throws -> Assembly {
        let database = house.database, sealing = try house.sealing()
        let inviting = Inviting(
            neighbours: house.neighbours, sealing: sealing,
            page: settings.invitationPage ?? "\(house.settings.publicURL)/api/v1/auth/invitation?token=",
            lifetime: settings.invitationLifetime, logger: house.logger)
        let access = AccessEnding(
            neighbours: house.neighbours, revocations: house.revocations, now: house.now, logger: house.logger)
        let lookup = TXTLookup(server: settings.nameServer)
        let superadmins = GrantSuperadmins(database: database, addresses: settings.superadmins, logger: house.logger)
        let audit = try AuditLog(settings.audit, house)
        return Assembly(
            endpoints: InternalRoutes(database: database).endpoints
                + PeopleRoutes(database: database, inviting: inviting, access: access).endpoints
                + InvitationRoutes(database: database, inviting: inviting).endpoints
                + RoleRoutes(database: database, access: access).endpoints
                + [
                    OrganizationRoutes(database: database).endpoints, DomainRoutes(database: database, lookup: lookup).endpoints,
                    OwnershipRoutes(database: database, access: access).endpoints,
                    PlatformRoutes(database: database, access: access).endpoints,
                ] + audit.endpoints,
            consumers: [
                Consumption("storage", CountStoredFile(), CountDeletedFile()), Consumption("addresses", superadmins), audit.consumption,
            ],
            workers: [
                LetterDelivery(
                    database: database, neighbours: house.neighbours, sealing: sealing, now: house.now, logger: house.logger),
                DomainChecks(database: database, lookup: lookup, now: house.now, logger: house.logger),
                SlugRelease(database: database, now: house.now, logger: house.logger), superadmins,
            ] + audit.workers,
            owned: [
                OwnedObjects("people", key: "user_id"), OwnedObjects("organizations", key: "tenant_id"), OwnedObjects("roles"),
                OwnedObjects("invitations"), OwnedObjects("audit_logs"),
            ])
    }
}
