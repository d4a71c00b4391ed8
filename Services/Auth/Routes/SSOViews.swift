import Contracts
import Foundation
import ServiceKit

/// A connection, without its secret.
struct SSOConnectionView: View {
    let id: SSOConnectionID
    let name: Name
    let preset: SSOPreset
    let issuer: String
    let clientId: String
    let domains: [DomainName]
    let defaultRole: JoiningRole
    let joins: Bool
    let enforced: Bool
    let enabled: Bool
    let returnOrigins: [WebOrigin]
    /// What the issuer has to be told: where it sends people back to.
    let redirectUri: String
    /// Where people begin.
    let startUrl: String
    let lastUsedAt: Date?
    let createdAt: Date
    let updatedAt: Date
    let version: Int

    var entityTag: EntityTag? { EntityTag(version: version) }

    init(_ connection: SSOConnection, publicURL: String) {
        let settings = connection.settings
        id = connection.id
        name = settings.name
        preset = settings.preset
        issuer = settings.issuer
        clientId = settings.clientID.rawValue
        domains = settings.domains
        defaultRole = settings.defaultRole
        joins = settings.joins
        enforced = settings.enforced
        enabled = settings.enabled
        returnOrigins = settings.returnOrigins
        redirectUri = SSOPaths.callback(connection.id, publicURL)
        startUrl = SSOPaths.start(connection.id, publicURL)
        lastUsedAt = connection.lastUsedAt
        createdAt = connection.createdAt
        updatedAt = connection.updatedAt
        version = connection.version
    }
}

enum SSOPaths {
    static let base = "/api/v1/auth/sso"
    static func start(_ id: SSOConnectionID, _ publicURL: String) -> String { "\(publicURL)\(base)/\(id)/start" }
    /// One for each connection: an answer of one issuer can never be taken for that of another (RFC 9700, section 4.4.2).
    static func callback(_ id: SSOConnectionID, _ publicURL: String) -> String { "\(publicURL)\(callbackPath(id))" }
    static func callbackPath(_ id: SSOConnectionID) -> String { "\(base)/\(id)/callback" }
}

/// How people of a domain sign in.
struct SSODiscoveryView: View {
    struct Connection: Codable, Sendable {
        let id: SSOConnectionID
        let name: String
        let preset: SSOPreset
        let startUrl: String
    }

    /// `password`, `sso`, or both, the preferred one first.
    let methods: [String]
    let connection: Connection?

    init(_ route: SSORouting.Route?, publicURL: String) {
        guard let connection = route?.connection else {
            methods = ["password"]
            self.connection = nil
            return
        }
        methods = connection.settings.enforced ? ["sso"] : ["sso", "password"]
        self.connection = Connection(
            id: connection.id, name: connection.settings.name.rawValue, preset: connection.settings.preset,
            startUrl: SSOPaths.start(connection.id, publicURL))
    }
}

/// Who the person is elsewhere.
struct SSOIdentityView: Codable, Sendable {
    let id: SSOIdentityID
    let issuer: String
    let subject: String
    let email: String?
    let createdAt: Date
    let lastUsedAt: Date

    init(_ identity: SSOIdentity) {
        id = identity.id
        issuer = identity.issuer
        subject = identity.subject
        email = identity.email
        createdAt = identity.createdAt
        lastUsedAt = identity.lastUsedAt
    }
}
