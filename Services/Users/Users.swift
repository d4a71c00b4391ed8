package import Contracts
package import ServiceKit

/// People and organizations: who belongs where, with which role.
package enum Users: Program {
    package typealias Settings = NoSettings
    package static let name = ServiceName.users
    package static let port = 8082
    package static let summary = "People, organizations and memberships."

    package static func assemble(_ settings: NoSettings, _ house: Foundations) throws -> Assembly {
        let inside = InternalRoutes(database: house.database)
        let people = PeopleRoutes(database: house.database)
        let organizations = OrganizationRoutes(database: house.database)
        return Assembly(endpoints: inside.endpoints + people.endpoints + [organizations.endpoints])
    }
}
