package import Foundation

/// A second factor was set up.
package struct MFAEnabled: Event {
    package static let topic = Topic.auth
    package static let name = "mfa.enabled"
    package static let summary = "A second factor was set up."

    package let userID: UserID
    /// `totp`, `sms`, `email` or `webauthn`.
    package let method: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, method: String) {
        self.userID = userID
        self.method = method
    }

    package static let example = MFAEnabled(userID: UserID(.example(1)), method: "totp")
}

/// A second factor was removed.
package struct MFADisabled: Event {
    package static let topic = Topic.auth
    package static let name = "mfa.disabled"
    package static let summary = "A second factor was removed."

    package let userID: UserID
    /// `totp`, `sms`, `email` or `webauthn`.
    package let method: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, method: String) {
        self.userID = userID
        self.method = method
    }

    package static let example = MFADisabled(userID: UserID(.example(1)), method: "totp")
}

/// A password was changed or reset; the other sessions of the account have ended.
package struct PasswordChanged: Event {
    package static let topic = Topic.auth
    package static let name = "password.changed"
    package static let summary = "A password was changed or reset; the other sessions of the account have ended."

    package let userID: UserID
    /// `change` by the person, `reset` by a link or code.
    package let reason: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, reason: String) {
        self.userID = userID
        self.reason = reason
    }

    package static let example = PasswordChanged(userID: UserID(.example(1)), reason: "reset")
}

/// Somebody asked to reset the password of an account.
package struct PasswordResetRequested: Event {
    package static let topic = Topic.auth
    package static let name = "password.reset-requested"
    package static let summary = "Somebody asked to reset the password of an account."

    package let userID: UserID
    /// `person`, or `admin` of the organization.
    package let requestedBy: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, requestedBy: String) {
        self.userID = userID
        self.requestedBy = requestedBy
    }

    package static let example = PasswordResetRequested(userID: UserID(.example(1)), requestedBy: "person")
}

/// An address is to be verified.
package struct EmailVerificationRequested: Event {
    package static let topic = Topic.auth
    package static let name = "email.verification-requested"
    package static let summary = "An address is to be verified."

    package let userID: UserID
    package let email: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, email: String) {
        self.userID = userID
        self.email = email
    }

    package static let example = EmailVerificationRequested(userID: UserID(.example(1)), email: "ada@example.org")
}

/// A person has shown that an address is theirs.
package struct EmailVerified: Event {
    package static let topic = Topic.auth
    package static let name = "email.verified"
    package static let summary = "A person has shown that an address is theirs."

    package let userID: UserID
    package let email: String

    package var aggregateID: String { userID.description }

    package init(userID: UserID, email: String) {
        self.userID = userID
        self.email = email
    }

    package static let example = EmailVerified(userID: UserID(.example(1)), email: "ada@example.org")
}

/// An API key was made.
package struct APIKeyCreated: Event {
    package static let topic = Topic.auth
    package static let name = "api-key.created"
    package static let summary = "An API key was made."

    package let keyID: APIKeyID
    package let userID: UserID
    package let name: String
    package let permissions: [String]
    package let expiresAt: Date?

    package var aggregateID: String { keyID.description }

    package init(keyID: APIKeyID, userID: UserID, name: String, permissions: [String], expiresAt: Date?) {
        self.keyID = keyID
        self.userID = userID
        self.name = name
        self.permissions = permissions
        self.expiresAt = expiresAt
    }

    package static let example = APIKeyCreated(
        keyID: APIKeyID(.example(5)),
        userID: UserID(.example(1)),
        name: "Build server",
        permissions: ["content:read"],
        expiresAt: .example)
}

/// An API key was revoked; it is worthless from now on.
package struct APIKeyRevoked: Event {
    package static let topic = Topic.auth
    package static let name = "api-key.revoked"
    package static let summary = "An API key was revoked; it is worthless from now on."

    package let keyID: APIKeyID
    package let userID: UserID
    package let reason: String

    package var aggregateID: String { keyID.description }

    package init(keyID: APIKeyID, userID: UserID, reason: String) {
        self.keyID = keyID
        self.userID = userID
        self.reason = reason
    }

    package static let example = APIKeyRevoked(keyID: APIKeyID(.example(5)), userID: UserID(.example(1)), reason: "revoked")
}
