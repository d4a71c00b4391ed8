import Contracts

/// How a token's `amr` names what was shown, where that is no second factor (RFC 8176, and names of our own).
enum SignInReference {
    static let password = "pwd"
    /// An issuer's word. It speaks for the organization that connected the issuer, and for nothing else of the person's.
    static let federated = "fed"
    /// Beside `fed`: the organization owned the domain of the account's address. It could read the person's mail, and so set the
    /// account a new password, in any case: its word opens what that would.
    static let ownDomain = "fed-domain"
    /// A code was read from the account's mailbox because the sign-in looked strange. Nobody set that up as a factor, so it is none.
    static let mailbox = "mailbox"
}

extension Sequence<String> {
    /// Whether what was shown is the person's own, and opens all of their account: its factors, identities and other organizations. An
    /// issuer's word alone opens the organization that connected the issuer. Codes that were typed do not change that: the application
    /// that asked for them belongs to the same organization. Who has the password needs no issuer.
    var speakForAccount: Bool {
        !contains(SignInReference.federated) || contains(SignInReference.ownDomain) || contains(SignInReference.password)
    }
}

extension PersonClaims {
    /// Whether somebody who has shown this needs a second factor too: where the organization says so, and whoever administers the
    /// platform, but for sessions by an issuer, which open nothing of the platform's.
    func demandsSecondFactor(beside methods: [String]) -> Bool {
        requiresSecondFactor || (roles.contains(BuiltInRole.superadmin.rawValue) && !methods.contains(SignInReference.federated))
    }
}
