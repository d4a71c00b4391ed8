import Contracts
import Foundation

/// A person's account: one on the whole platform, whatever organizations the person belongs to.
struct Account: Sendable {
    enum Status: String, Sendable {
        /// An id kept for an address that somebody was invited by: nobody can sign in with it.
        case reserved
        /// Registered here, not yet known to users: nobody can sign in with it.
        case pending
        case active
    }

    let id: UserID
    let email: EmailAddress
    /// Argon2id in the PHC string format, or bcrypt until the first sign-in of somebody who came from elsewhere. Nil for a reserved
    /// id, and for whoever signs in with others only.
    let passwordHash: String?
    let status: Status
    /// What users is told; kept while the account is pending.
    let registration: RegistrationRequest?
    let emailVerifiedAt: Date?

    init(
        id: UserID, email: EmailAddress, passwordHash: String?, status: Status, registration: RegistrationRequest? = nil,
        emailVerifiedAt: Date? = nil
    ) {
        self.id = id
        self.email = email
        self.passwordHash = passwordHash
        self.status = status
        self.registration = registration
        self.emailVerifiedAt = emailVerifiedAt
    }

    var isEmailVerified: Bool { emailVerifiedAt != nil }

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

extension Account.Status {
    /// What users is told of it.
    var reservation: AccountReservation.Status {
        switch self {
        case .reserved: .reserved
        case .pending: .pending
        case .active: .active
        }
    }
}

extension RegistrationRequest {
    /// Whether users found the invitation good: it goes to one address only, so whoever has it has the mailbox. Somebody whom users
    /// knew before, from an earlier try without it, is in an organization of their own, and has proven nothing.
    func provesMailbox(by claims: PersonClaims) -> Bool { invitationToken != nil && claims.organization.id != organizationID }
}

extension RegistrationRequest {
    func with(invitationToken: String?, slug: Slug?) -> RegistrationRequest {
        RegistrationRequest(
            email: email, firstName: firstName, lastName: lastName, organizationID: organizationID, organizationName: organizationName,
            organizationSlug: slug, gdprConsent: gdprConsent, marketingConsent: marketingConsent, invitationToken: invitationToken)
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
    /// The password shown to change it.
    case wrongPassword = "wrong-password"
    case noPassword = "no-password"
    /// What costs money, or ties others to the account, waits until the mailbox is known to be the person's.
    case addressUnverified = "email-not-verified"

    var kind: FailureKind {
        switch self {
        case .emailTaken, .slugTaken, .registrationPending, .noPassword: .conflict
        case .wrongCredentials, .wrongServiceSecret, .wrongPassword: .unauthenticated
        case .suspended, .organizationSuspended, .notAMember, .addressUnverified: .forbidden
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
        case .wrongPassword: "The current password is wrong."
        case .addressUnverified: "Verify your e-mail address first: POST /api/v1/auth/email/resend sends the letter again."
        case .noPassword: "This account has no password yet: set one with a reset link."
        }
    }
}
