import Foundation

/// Every event there is: what AsyncAPI is written from and the golden files are held against.
package enum EventCatalog {
    package static let all: [any Event.Type] = [
        UserRegistered.self, UserLoggedIn.self, UserLoginFailed.self, UserLocked.self, SessionRevoked.self,
        MFAEnabled.self, MFADisabled.self, PasswordChanged.self, PasswordResetRequested.self, EmailVerificationRequested.self,
        EmailVerified.self, APIKeyCreated.self, APIKeyRevoked.self, UserCreated.self,
        UserUpdated.self, UserDeleted.self, OrganizationCreated.self, OrganizationUpdated.self, MemberAdded.self,
        MemberRoleChanged.self, MemberRemoved.self, OrganizationSuspended.self, OrganizationReactivated.self, OrganizationDeleted.self,
        InvitationSent.self, PlanChanged.self, ArticleCreated.self, ArticleUpdated.self, ArticlePublished.self,
        ArticleUnpublished.self, ArticleDeleted.self, ConversationStarted.self, MessageAnswered.self, FeedbackGiven.self,
        FileUploaded.self, FileDeleted.self, NotificationDelivered.self, NotificationFailed.self, EventCollected.self,
        PageViewed.self, AuditEntryRecorded.self, UsageRecorded.self,
    ]
}

extension UUID {
    /// A fixed identifier for examples.
    static func example(_ number: UInt8) -> UUID {
        UUID(uuid: (0x01, 0x97, 0xB1, 0xC0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number))
    }
}

extension Date {
    /// A fixed time for examples: 2026-01-15T10:30:00Z.
    static let example = Date(timeIntervalSince1970: 1_768_473_000)
}
