import Contracts
import ServiceKit

/// Everything of the other services that is counted, and as what. `article.liked`, `comment.added`, the events of payments and of flags
/// are added here when their services publish them.
enum PlatformFacts {
    static var consumption: Consumption {
        Consumption(
            "facts",
            // auth
            CountFact { (event: UserRegistered) in Counted(.registration, by: event.userID) },
            CountFact { (event: UserLoggedIn) in Counted(.signIn, by: event.userID) },
            CountFact { (event: UserLoginFailed) in Counted(.signInFailed, by: event.userID) },
            CountFact { (event: UserLocked) in Counted(.accountLocked, by: event.userID) },
            CountFact { (event: EmailVerified) in Counted(.emailVerified, by: event.userID) },
            CountFact { (event: PasswordChanged) in Counted(.passwordChanged, by: event.userID, label: event.reason) },
            CountFact { (event: MFAEnabled) in Counted(.mfaEnabled, by: event.userID, label: event.method) },
            CountFact { (event: MFADisabled) in Counted(.mfaDisabled, by: event.userID, label: event.method) },
            CountFact { (event: APIKeyCreated) in Counted(.apiKeyCreated, by: event.userID) },
            CountFact { (event: APIKeyRevoked) in Counted(.apiKeyRevoked, by: event.userID, label: event.reason) },
            // users
            CountFact { (event: OrganizationCreated) in Counted(.organizationCreated, by: event.createdBy, label: event.plan) },
            CountFact { (event: MemberAdded) in Counted(.memberAdded, by: event.userID, label: event.role) },
            CountFact { (event: MemberRoleChanged) in Counted(.memberRoleChanged, by: event.userID, label: event.role) },
            CountFact { (event: MemberRemoved) in Counted(.memberRemoved, by: event.userID) },
            CountFact { (_: UserDeleted) in Counted(.personLeft) },
            CountFact { (event: InvitationSent) in Counted(.invitation, label: event.role) },
            CountFact { (event: PlanChanged) in
                Counted(.planChanged, label: event.plan, details: ["previous": .string(event.previous)])
            },
            // content
            CountFact { (event: ArticleCreated) in Counted(.draft, by: event.authorID) },
            CountFact { (event: ArticlePublished) in Counted(.publication, by: event.authorID, label: event.category) },
            CountFact { (_: ArticleUnpublished) in Counted(.unpublication) },
            CountFact { (_: ArticleDeleted) in Counted(.articleDeleted) },
            // assistant
            CountFact { (event: ConversationStarted) in Counted(.conversation, by: event.userID) },
            CountFact { (event: MessageAnswered) in answer(event) },
            CountFact { (event: FeedbackGiven) in Counted(.rating, label: String(event.rating), amount: event.rating) },
            // files
            CountFact { (event: FileUploaded) in Counted(.upload, by: event.uploadedBy, label: event.contentType, amount: event.size) },
            CountFact { (event: FileDeleted) in Counted(.deletion, amount: event.size) },
            // notifications
            CountFact { (event: NotificationDelivered) in Counted(.notification, by: event.userID, label: event.channel) },
            CountFact { (event: NotificationFailed) in Counted(.notificationFailed, label: event.channel) },
            // from everyone
            CountFact { (event: UsageRecorded) in Counted(.usage, label: event.meter, amount: event.quantity) })
    }

    private static func answer(_ event: MessageAnswered) -> Counted {
        Counted(
            .answer, by: event.userID, label: event.model, amount: event.promptTokens + event.completionTokens,
            details: [
                "provider": .string(event.provider), "promptTokens": .integer(event.promptTokens),
                "completionTokens": .integer(event.completionTokens), "citations": .integer(event.citations),
                "milliseconds": .integer(event.milliseconds),
            ])
    }
}
