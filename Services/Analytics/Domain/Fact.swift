import Contracts
import Foundation

/// Something that happened on the platform and is counted.
struct Fact: Sendable {
    /// The id of the event that told of it.
    let id: EventID
    let kind: FactKind
    /// What it is about: the id of the person, article, file …
    let subject: String
    let userID: UserID?
    let occurredAt: Date
}

/// What is counted. Stored by these names, so a name once used is never given another meaning.
enum FactKind: String, Sendable, CaseIterable {
    case registration
    case signIn = "sign-in"
    case publication
    case upload
    case answer
    case rating
    case notification
}
