import Contracts
import Foundation

/// Something that happened on the platform and is counted.
struct Fact: Sendable {
    /// The id of the event that told of it.
    let id: EventID
    /// What it is about: the id of the person, article, file …; empty where that would name somebody who is gone.
    let subject: String
    let occurredAt: Date
    let counted: Counted
}

/// What an event of another service means to those who count.
struct Counted: Sendable {
    let kind: FactKind
    /// Whose doing it was.
    var person: UserID?
    /// What it is counted by beside its kind.
    var label: String?
    /// How much; in the unit that `FactKind` says.
    var amount: Int?
    /// More numbers of the same event.
    var details: [String: JSONValue]?

    init(_ kind: FactKind, by person: UserID? = nil, label: String? = nil, amount: Int? = nil, details: [String: JSONValue]? = nil) {
        self.kind = kind
        self.person = person
        self.label = label.map { String($0.unicodeScalars.prefix(255)) }
        self.amount = amount
        self.details = details
    }
}

/// What is counted. Stored by these names, so a name once used is never given another meaning.
enum FactKind: String, Sendable, CaseIterable {
    // People and their accounts.
    case registration
    case signIn = "sign-in"
    case signInFailed = "sign-in-failed"
    case accountLocked = "account-locked"
    case emailVerified = "email-verified"
    case passwordChanged = "password-changed"
    /// Label: the method.
    case mfaEnabled = "mfa-enabled"
    case mfaDisabled = "mfa-disabled"
    case apiKeyCreated = "api-key-created"
    case apiKeyRevoked = "api-key-revoked"
    // The organization. Label: the role, or the plan.
    case organizationCreated = "organization-created"
    case memberAdded = "member-added"
    case memberRoleChanged = "member-role-changed"
    case memberRemoved = "member-removed"
    case personLeft = "person-left"
    case invitation
    case planChanged = "plan-changed"
    // Content. Label: the category.
    case draft
    case publication
    case unpublication
    case articleDeleted = "article-deleted"
    // The assistant.
    case conversation
    /// Label: the model. Amount: tokens.
    case answer
    /// Label and amount: 1 to 5.
    case rating
    // Files. Amount: bytes.
    /// Label: the content type.
    case upload
    case deletion
    // Notifications. Label: the channel.
    case notification
    case notificationFailed = "notification-failed"
    /// What costs. Label: the meter; amount: the quantity.
    case usage
}
