import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import ServiceKit

/// The person, as auth answers.
struct PersonView: Codable, Sendable {
    let id: UserID
    let email: String
    let firstName: String?
    let lastName: String?
    let roles: [String]
    /// Where it was looked up.
    let emailVerified: Bool?

    init(_ claims: PersonClaims, emailVerified: Bool? = nil) {
        self.emailVerified = emailVerified
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
struct SignedIn: EndpointResult, Codable {
    let user: PersonView
    let organization: OrganizationView
    let accessToken: String
    let refreshToken: String
    let tokenType: String
    /// Seconds until the access token expires.
    let expiresIn: Int
    /// The cookie by which the browser is known again, for the header.
    var deviceCookie: String?

    private enum CodingKeys: CodingKey { case user, organization, accessToken, refreshToken, tokenType, expiresIn }

    init(_ claims: PersonClaims, accessToken: String, refreshToken: String, expiresIn: Int) {
        user = PersonView(claims)
        organization = OrganizationView(claims.organization)
        self.accessToken = accessToken
        self.refreshToken = refreshToken
        tokenType = "Bearer"
        self.expiresIn = expiresIn
    }

    static var status: HTTPResponse.Status { .ok }
    static var bodySchema: NamedSchema? { SchemaProbe.named(Self.self) }

    func response(to request: PublicRequest) throws -> Response {
        var headers: HTTPFields = [.contentType: "application/json"]
        headers[.setCookie] = deviceCookie
        return Response(status: .ok, headers: headers, body: .init(byteBuffer: ByteBuffer(bytes: try JSON.encode(self))))
    }
}

/// A session, as its person sees it.
struct SessionView: Codable, Sendable {
    let id: SessionID
    /// The organization it is in.
    let organization: TenantID
    /// Whether it is the one that asks.
    let current: Bool
    let address: String?
    let userAgent: String?
    /// Such as `Firefox on Linux`.
    let device: String?
    let methods: [String]
    /// 0 as always, to 1, when it was opened.
    let risk: Double
    let createdAt: Date
    let lastUsedAt: Date
    let expiresAt: Date
    /// The platform admin who acts as you in it, and why.
    let impersonatedBy: UserID?
    let impersonationReason: String?

    init(_ session: Session, in tenant: TenantID, current: SessionID?) {
        id = session.id
        organization = tenant
        self.current = session.id == current
        address = session.address
        userAgent = session.userAgent
        device = session.device
        methods = session.methods
        risk = session.risk
        createdAt = session.createdAt
        lastUsedAt = session.lastUsedAt
        expiresAt = session.expiresAt
        impersonatedBy = session.impersonation?.impersonator
        impersonationReason = session.impersonation?.reason
    }
}

/// `GET /api/v1/auth/me`.
struct MeView: View {
    let user: PersonView
    let organization: OrganizationView
    let roles: [String]
    /// What the token may do.
    let permissions: [Permission]
    /// None behind an API key.
    let session: SessionView?
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
