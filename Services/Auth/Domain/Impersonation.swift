import Contracts
import Foundation

/// A platform admin acting as somebody, for a stated reason and a short time.
struct Impersonation: Sendable {
    /// Minutes and seconds of the longest one.
    static let longestMinutes = 60
    static let longest = TimeInterval(longestMinutes * 60)
    static let standardMinutes = 15

    /// What may be done as somebody.
    enum Access: String, Sendable, Codable, CaseIterable {
        case read, full

        func limit(_ permissions: [Permission]) -> [Permission] {
            switch self {
            case .read: PermissionSet(permissions).intersection(["*:read"]).permissions
            case .full: permissions
            }
        }
    }

    let impersonator: UserID
    let reason: String

    /// It ends at its time, however much it is used, and has no refresh token.
    func session(
        of account: UserID, methods: [String], address: String?, userAgent: String?, at now: Date, life: TimeInterval
    ) -> Session {
        let end = now.addingTimeInterval(life)
        return Session(
            id: .make(at: now), account: account, methods: methods,
            address: address.map { String($0.prefix(Session.maximumAddressLength)) },
            userAgent: userAgent.map { String($0.prefix(Session.maximumUserAgentLength)) }, device: DeviceName(userAgent).description,
            risk: 0,
            createdAt: now, authenticatedAt: now, endsAt: end, lastUsedAt: now, expiresAt: end, revokedAt: nil, impersonation: self)
    }

    /// Nobody acts as another admin of the platform, or as themselves.
    static func refuse(_ target: PersonClaims, by impersonator: UserID) throws(ImpersonationFailure) {
        guard target.userID != impersonator else { throw .oneself }
        guard !target.roles.contains(BuiltInRole.superadmin.rawValue) else { throw .superadmin }
    }
}

enum ImpersonationFailure: String, Failure {
    case oneself = "impersonating-oneself"
    case superadmin = "impersonating-superadmin"
    case notImpersonating = "not-impersonating"

    var kind: FailureKind {
        switch self {
        case .oneself, .superadmin: .forbidden
        case .notImpersonating: .conflict
        }
    }

    var detail: String? {
        switch self {
        case .oneself: "You are this person already."
        case .superadmin: "Nobody may act as an administrator of the platform."
        case .notImpersonating: "This token is not one of an impersonation: there is nothing to end."
        }
    }
}
