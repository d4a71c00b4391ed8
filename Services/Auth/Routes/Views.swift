import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import ServiceKit

/// The person, as auth answers.
struct PersonView: Codable, Sendable {
    let id: UserID
    let email: String
    let firstName: String?
    let lastName: String?
    let roles: [String]

    init(_ claims: PersonClaims) {
        id = claims.userID
        email = claims.email
        firstName = claims.firstName
        lastName = claims.lastName
        roles = claims.roles
    }
}

/// The organization that the tokens are for.
struct OrganizationView: Codable, Sendable {
    let id: TenantID
    let name: String
    let slug: String
    let plan: String
    let status: String

    init(_ organization: PersonClaims.Organization) {
        id = organization.id
        name = organization.name
        slug = organization.slug
        plan = organization.plan
        status = organization.status
    }
}

/// What registering, signing in and refreshing answer: who and where, and the tokens.
struct SignedIn: View {
    let user: PersonView
    let organization: OrganizationView
    let accessToken: String
    let refreshToken: String
    let tokenType: String
    /// Seconds until the access token expires.
    let expiresIn: Int

    init(_ claims: PersonClaims, accessToken: String, refreshToken: String, expiresIn: Int) {
        user = PersonView(claims)
        organization = OrganizationView(claims.organization)
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        tokenType = "Bearer"
        self.expiresIn = expiresIn
    }
}

/// The session of the token that asks.
struct SessionView: Codable, Sendable {
    let id: SessionID
    let address: String?
    let userAgent: String?
    let methods: [String]
    let createdAt: Date
    let lastUsedAt: Date
    let expiresAt: Date

    init(_ session: Session) {
        id = session.id
        address = session.address
        userAgent = session.userAgent
        methods = session.methods
        createdAt = session.createdAt
        lastUsedAt = session.lastUsedAt
        expiresAt = session.expiresAt
    }
}

/// `GET /api/v1/auth/me`.
struct MeView: View {
    let user: PersonView
    let organization: OrganizationView
    let roles: [String]
    let permissions: [Permission]
    let session: SessionView
}

/// An answer with a token in it, which no cache may keep (RFC 6749, section 5.1).
struct Uncached<Answer: EndpointResult>: EndpointResult {
    let answer: Answer

    init(_ answer: Answer) { self.answer = answer }

    static var status: HTTPResponse.Status { Answer.status }
    static var bodySchema: NamedSchema? { Answer.bodySchema }
    static var mediaType: String { Answer.mediaType }

    func response(to request: PublicRequest) throws -> Response {
        var response = try answer.response(to: request)
        response.headers[.cacheControl] = "no-store"
        return response
    }
}
