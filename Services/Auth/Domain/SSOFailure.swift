import Contracts

/// Refusals of signing in with others. None says whether somebody has an account who has not shown that an address is theirs.
enum SSOFailure: String, Failure {
    case connectionNotFound = "sso-connection-not-found"
    case tooManyConnections = "too-many-sso-connections"
    case untested = "sso-connection-untested"
    case secretNeeded = "sso-secret-needed"
    /// The client secret was sealed with a key that the platform no longer has.
    case secretUnreadable = "sso-secret-unreadable"
    case returnNotAllowed = "sso-return-not-allowed"
    /// One refusal for a state that is unknown, used, expired, or of another browser.
    case badState = "sso-bad-state"
    case declined = "sso-declined"
    case issuerRefused = "sso-issuer-refused"
    case issuerUnavailable = "sso-issuer-unavailable"
    case badIssuerAnswer = "sso-bad-issuer-answer"
    case badToken = "sso-bad-id-token"
    case noEmail = "sso-no-verified-email"
    case untrustedEmail = "sso-untrusted-email"
    case otherDomain = "sso-other-domain"
    case accountExists = "sso-account-exists"
    case accountUnverified = "sso-account-unverified"
    case notInvited = "sso-not-invited"
    case linkedElsewhere = "sso-linked-elsewhere"
    case badCode = "sso-bad-code"
    case required = "sso-required"
    case identityNotFound = "identity-not-found"
    case lastWayIn = "last-way-in"
    /// The session was opened by an issuer that speaks for one organization; this belongs to the person's whole account.
    case ownSignInNeeded = "own-sign-in-needed"

    var kind: FailureKind {
        switch self {
        case .connectionNotFound, .identityNotFound: .notFound
        case .tooManyConnections, .untested, .lastWayIn, .linkedElsewhere, .secretUnreadable: .conflict
        case .secretNeeded, .returnNotAllowed, .badState, .badCode: .invalid
        case .declined, .issuerRefused, .badIssuerAnswer, .badToken: .unauthenticated
        case .issuerUnavailable: .unavailable(retryAfter: 10)
        case .noEmail, .untrustedEmail, .otherDomain, .accountExists, .accountUnverified, .notInvited, .required, .ownSignInNeeded:
            .forbidden
        }
    }

    var detail: String? {
        switch self {
        case .connectionNotFound: "There is no such connection, or it is switched off."
        case .tooManyConnections: "An organization has at most \(SSOConnection.maximumPerOrganization) connections."
        case .untested: "Sign in through the connection once before it becomes the only way in."
        case .secretNeeded: "Another issuer or client needs its secret: send clientSecret too."
        case .secretUnreadable: "The connection's client secret cannot be read any more: an administrator has to enter it again."
        case .returnNotAllowed: "returnTo must be a path, or an address whose origin the connection lists in returnOrigins."
        case .badState: "This sign-in is unknown, too old, already used, or was begun in another browser. Start again."
        case .declined: "The sign-in was cancelled there."
        case .issuerRefused: "The issuer refused the sign-in. The connection may be set up wrongly."
        case .issuerUnavailable: "The issuer does not answer, or not in time. Try again shortly."
        case .badIssuerAnswer: "The issuer's answer is not what its protocol asks for."
        case .badToken: "What the issuer says of the person cannot be trusted."
        case .noEmail: "The issuer gives no verified e-mail address for this person."
        case .untrustedEmail: "The organization has not shown that the domain of this e-mail address is its own."
        case .otherDomain: "This connection is for other e-mail domains."
        case .accountExists: "There is an account with this e-mail address: sign in to it, and link this sign-in there."
        case .accountUnverified: "There is an account with this e-mail address that was never verified: verify it, or reset its password."
        case .notInvited: "You are not a member of this organization: ask for an invitation."
        case .linkedElsewhere: "This identity signs in to another account: unlink it there."
        case .badCode: "This code is unknown, used, too old, or was given to another client. Start the sign-in again."
        case .required: "People with this e-mail domain sign in with their organization: ask POST /api/v1/auth/sso/discover where."
        case .identityNotFound: "There is no such identity on your account."
        case .ownSignInNeeded:
            "Your issuer speaks for its organization only: for this, sign in with a password or a passkey. A reset letter sets a password."
        case .lastWayIn: "This is the only way into your account: set a password first."
        }
    }
}
