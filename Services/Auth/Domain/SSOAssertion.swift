import Contracts
import Foundation

/// What an issuer says of the person who has just signed in there, in whatever protocol.
struct SSOAssertion: Sendable, Equatable {
    /// Longest subject (OpenID Connect Core, section 2).
    static let maximumSubjectLength = 255

    let issuer: String
    let subject: String
    let email: EmailAddress?
    /// By the rules of its preset (`SSOPreset.Evidence`).
    let isEmailVerified: Bool
    let firstName: Name?
    let lastName: Name?
}

/// An account's way in by an issuer.
struct SSOIdentity: Sendable {
    enum Origin: String, Sendable {
        /// An address that the issuer was believed about.
        case email
        /// The person, signed in here, asked for it.
        case person
    }

    let id: SSOIdentityID
    let issuer: String
    let subject: String
    let account: UserID
    let email: String?
    let origin: Origin
    let createdAt: Date
    let lastUsedAt: Date
}

package enum SSOIdentityKind {}
typealias SSOIdentityID = TypedID<SSOIdentityKind>

/// Whose account an assertion opens: the rule, as one function of facts.
///
/// An issuer is believed about an address if it says that it is verified, and is trusted everywhere or the organization owns the domain.
/// 1. A known identity opens its account; one that was linked by an address, only while that issuer is believed about the account's address.
/// 2. Otherwise the address must be believed. An account with it is linked if the organization owns the domain or the person is a member
///    already. If the account's own address was never verified here, somebody could have registered with it beforehand and waited: the
///    domain's owner takes it over, without what was put into it; nobody else opens it.
/// 3. Without one, an account is made, where the connection takes people in.
///
/// An account that is there becomes a member only where the organization owns the domain: others might lure people in.
enum SSOLinking {
    struct Holder: Sendable, Equatable {
        let account: UserID
        let email: EmailAddress
        /// Whether the account's address was verified here.
        let isVerified: Bool
        let isMember: Bool
    }

    struct Facts: Sendable {
        let assertion: SSOAssertion
        let trust: SSOPreset.Trust
        /// The domains, of those asked about, that the organization has verified.
        let ownedDomains: Set<DomainName>
        /// The account of the identity, with how it was linked.
        let known: (holder: Holder, origin: SSOIdentity.Origin)?
        /// The account that has the assertion's address.
        let holderOfEmail: Holder?
        /// Whether the connection lets people with this address become members.
        let takesIn: Bool
    }

    enum Decision: Equatable {
        case signIn(UserID)
        case link(UserID)
        /// Links it after everything that was put into it before is gone.
        case takeOver(UserID, EmailAddress)
        case create(EmailAddress)
    }

    /// Whether they have to become members is the caller's business: `mayJoin` says whether they could.
    struct Outcome: Equatable {
        let decision: Decision
        let mustJoin: Bool
    }

    static func decide(_ facts: Facts) throws(SSOFailure) -> Outcome {
        if let (holder, origin) = facts.known {
            if origin == .email, facts.trust == .ownDomains, !facts.ownedDomains.contains(holder.email.domain) { throw .untrustedEmail }
            let mayJoin = facts.takesIn && believed(facts).map { facts.ownedDomains.contains($0.domain) } ?? false
            guard holder.isMember || mayJoin else { throw .notInvited }
            return Outcome(decision: .signIn(holder.account), mustJoin: !holder.isMember)
        }
        guard facts.assertion.email != nil, facts.assertion.isEmailVerified else { throw .noEmail }
        guard let email = believed(facts) else { throw .untrustedEmail }
        guard let holder = facts.holderOfEmail else {
            guard facts.takesIn else { throw .notInvited }
            return Outcome(decision: .create(email), mustJoin: true)
        }
        guard holder.isMember || facts.ownedDomains.contains(email.domain) else { throw .accountExists }
        guard holder.isVerified || facts.ownedDomains.contains(email.domain) else { throw .accountUnverified }
        guard holder.isMember || facts.takesIn else { throw .notInvited }
        guard holder.isVerified else { return Outcome(decision: .takeOver(holder.account, email), mustJoin: !holder.isMember) }
        return Outcome(decision: .link(holder.account), mustJoin: !holder.isMember)
    }

    private static func believed(_ facts: Facts) -> EmailAddress? {
        guard let email = facts.assertion.email, facts.assertion.isEmailVerified else { return nil }
        return facts.trust == .everywhere || facts.ownedDomains.contains(email.domain) ? email : nil
    }
}
