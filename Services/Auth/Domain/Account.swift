import Contracts
import Foundation

/// A person's account: one on the whole platform, whatever organizations the person belongs to.
struct Account: Sendable {
    enum Status: String, Sendable {
        /// Registered here, not yet known to users: nobody can sign in with it.
        case pending
        case active
    }

    let id: UserID
    let email: EmailAddress
    /// Argon2id in the PHC string format.
    let passwordHash: String
    let status: Status
    /// What users is told; kept while the account is pending.
    let registration: RegistrationRequest?

    /// The fact that a registration is complete, once users has answered with the claims.
    static func registered(_ claims: PersonClaims) -> UserRegistered {
        UserRegistered(
            userID: claims.userID, email: claims.email, firstName: claims.firstName, lastName: claims.lastName,
            organizationID: claims.organization.id, organizationName: claims.organization.name)
    }

    /// The name of the organization that is made for somebody who names none.
    static func personalOrganizationName(firstName: Name?, lastName: Name?, email: EmailAddress) -> Name {
        let name = [firstName, lastName].compactMap { $0?.rawValue }.joined(separator: " ")
        let text = name.isEmpty ? String(email.rawValue.prefix { $0 != "@" }) : name
        return Name(checked: String(text.prefix(255)))
    }
}

/// Refusals of accounts and of signing in.
enum AccountFailure: String, Failure {
    case emailTaken = "email-taken"
    case slugTaken = "slug-taken"
    /// One refusal for a wrong address and a wrong password.
    case wrongCredentials = "wrong-credentials"
    case registrationPending = "registration-pending"
    case suspended = "member-suspended"
    case organizationSuspended = "organization-suspended"
    case notAMember = "not-a-member"
    case wrongServiceSecret = "wrong-service-secret"

    var kind: FailureKind {
        switch self {
        case .emailTaken, .slugTaken, .registrationPending: .conflict
        case .wrongCredentials, .wrongServiceSecret: .unauthenticated
        case .suspended, .organizationSuspended, .notAMember: .forbidden
        }
    }

    var detail: String? {
        switch self {
        case .emailTaken: "There is an account with this e-mail address: sign in instead."
        case .slugTaken: "Another organization has this slug: choose another, or leave it out."
        case .wrongCredentials: "The e-mail address or the password is wrong."
        case .registrationPending: "This registration is not complete yet. Try again in a minute."
        case .suspended: "Your membership of this organization is suspended: ask one of its owners."
        case .organizationSuspended: "This organization is suspended."
        case .notAMember: "You are not a member of this organization, or of any."
        case .wrongServiceSecret: "The service secret is wrong."
        }
    }
}
