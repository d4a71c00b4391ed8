package import Foundation

/// A person registered and can sign in.
package struct UserRegistered: Event {
    package static let topic = Topic.auth
    package static let name = "user.registered"
    package static let summary = "A person registered and can sign in."

    package let userID: UserID
    package let email: String
    package let firstName: String?
    package let lastName: String?
    package let organizationID: TenantID
    package let organizationName: String

    package var aggregateID: String { userID.description }

    package init(
        userID: UserID, email: String, firstName: String?, lastName: String?, organizationID: TenantID, organizationName: String
    ) {
        self.userID = userID
        self.email = email
        self.firstName = firstName
        self.lastName = lastName
        self.organizationID = organizationID
        self.organizationName = organizationName
    }

    package static let example = UserRegistered(
        userID: UserID(.example(1)), email: "ada@example.org",
        firstName: "Ada", lastName: "Lovelace",
        organizationID: TenantID(.example(2)), organizationName: "Analytical Engines")
}

/// A person signed in.
package struct UserLoggedIn: Event {
    package static let topic = Topic.auth
    package static let name = "user.logged-in"
    package static let summary = "A person signed in."

    package let userID: UserID
    package let sessionID: SessionID
    package let address: String?
    package let userAgent: String?

    package var aggregateID: String { userID.description }

    package init(userID: UserID, sessionID: SessionID, address: String?, userAgent: String?) {
        self.userID = userID
        self.sessionID = sessionID
        self.address = address
        self.userAgent = userAgent
    }

    package static let example = UserLoggedIn(
        userID: UserID(.example(1)), sessionID: SessionID(.example(3)),
        address: "203.0.113.7", userAgent: "Mozilla/5.0")
}

/// A sign-in to a known account failed.
package struct UserLoginFailed: Event {
    package static let topic = Topic.auth
    package static let name = "user.login-failed"
    package static let summary = "A sign-in to a known account failed."

    package let userID: UserID
    package let address: String?
    package let userAgent: String?

    package var aggregateID: String { userID.description }

    package init(userID: UserID, address: String?, userAgent: String?) {
        self.userID = userID
        self.address = address
        self.userAgent = userAgent
    }

    package static let example = UserLoginFailed(
        userID: UserID(.example(1)),
        address: "203.0.113.7",
        userAgent: "Mozilla/5.0")
}

/// An account was locked for a while after repeated failures.
package struct UserLocked: Event {
    package static let topic = Topic.auth
    package static let name = "user.locked"
    package static let summary = "An account was locked for a while after repeated failures."

    package let userID: UserID
    package let lockedUntil: Date

    package var aggregateID: String { userID.description }

    package init(userID: UserID, lockedUntil: Date) {
        self.userID = userID
        self.lockedUntil = lockedUntil
    }

    package static let example = UserLocked(
        userID: UserID(.example(1)),
        lockedUntil: .example)
}

/// A session ended before its time; its tokens are worthless from now on.
package struct SessionRevoked: Event {
    package static let topic = Topic.auth
    package static let name = "session.revoked"
    package static let summary = "A session ended before its time; its tokens are worthless from now on."

    package let sessionID: SessionID
    package let userID: UserID
    package let reason: String

    package var aggregateID: String { sessionID.description }

    package init(sessionID: SessionID, userID: UserID, reason: String) {
        self.sessionID = sessionID
        self.userID = userID
        self.reason = reason
    }

    package static let example = SessionRevoked(
        sessionID: SessionID(.example(3)),
        userID: UserID(.example(1)),
        reason: "logout")
}
