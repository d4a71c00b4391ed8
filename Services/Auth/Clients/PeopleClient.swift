import Contracts
import Foundation
import HTTPTypes
import ServiceKit

/// What auth asks of users, with its refusals as refusals of signing in.
struct PeopleClient: Sendable {
    let neighbours: Neighbours

    /// Makes the person and the organization. May be repeated: the same person answers with the same claims.
    func register(_ user: UserID, _ request: RegistrationRequest) async throws -> PersonClaims {
        do {
            return try await neighbours.call(.put, .users, "/internal/v1/registrations/\(user)", body: request, as: PersonClaims.self)
        } catch let refusal as RemoteFailure {
            throw Self.registrationRefusal(refusal)
        }
    }

    /// What a token may say of the person: in the named organization (id or slug), else in the one they have belonged to longest.
    func claims(of user: UserID, in organization: String?) async throws -> PersonClaims {
        var path = "/internal/v1/people/\(user)/claims"
        if let organization {
            let unreserved = CharacterSet(charactersIn: "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~")
            path += "?organization=\(organization.addingPercentEncoding(withAllowedCharacters: unreserved) ?? "")"
        }
        do {
            return try await neighbours.call(.get, .users, path, as: PersonClaims.self)
        } catch let refusal as RemoteFailure {
            throw Self.claimsRefusal(refusal)
        }
    }

    /// Whether any organization that the person belongs to demands a second factor of its members.
    func demandsSecondFactor(of user: UserID) async throws -> Bool {
        try await neighbours.call(.get, .users, "/internal/v1/people/\(user)/demands", as: PersonDemands.self).secondFactor
    }

    /// The organization as it stands, whoever is in it; nil when there is none.
    func organization(_ id: TenantID) async throws -> PersonClaims.Organization? {
        do {
            return try await neighbours.call(.get, .users, "/internal/v1/organizations/\(id)", as: PersonClaims.Organization.self)
        } catch let refusal as RemoteFailure where refusal.kind == .notFound {
            return nil
        }
    }

    /// Field names of the internal call back into those of the public one.
    private static let pointers = ["/organizationName": "/organization/name", "/organizationSlug": "/organization/slug"]

    private static func registrationRefusal(_ refusal: RemoteFailure) -> any Error {
        if refusal.code == AccountFailure.slugTaken.code { return AccountFailure.slugTaken }
        guard refusal.kind == .invalid, !refusal.fields.isEmpty else { return refusal }
        return ValidationFailure(
            refusal.fields.map { FieldError(pointer: pointers[$0.pointer] ?? $0.pointer, code: $0.code, detail: $0.detail) })
    }

    private static func claimsRefusal(_ refusal: RemoteFailure) -> any Error {
        if let known = AccountFailure(rawValue: refusal.code), known.kind == .forbidden { return known }
        return refusal.kind == .notFound ? AccountFailure.notAMember : refusal
    }
}
