import Contracts

/// Where somebody can be reached, as other services tell it.
enum Contact {
    /// Refuses an address that cannot be one: the event goes to the dead letters with this as the reason.
    static func address(_ text: String) throws(ContactFailure) -> EmailAddress {
        guard let email = EmailAddress(rawValue: text) else { throw .badAddress }
        return email
    }
}

enum ContactFailure: String, Failure {
    case badAddress = "bad-address"
    var kind: FailureKind { .invalid }
    var detail: String? { "The address of the event is not an e-mail address." }
}
