import Contracts
import Foundation

/// A key with which programs act for the person who made it, within its scopes and never beyond that person's own rights.
struct APIKey: Sendable {
    enum EndReason: String, Sendable {
        /// By the owner, or by somebody who manages the organization's keys.
        case revoked
        /// The owner is no longer a member of the organization.
        case ownerRemoved = "owner-removed"
        case organizationDeleted = "organization-deleted"
        /// The owner, or somebody in their place, had forgotten the password: all keys go.
        case passwordReset = "password-reset"
    }

    /// Keys of one person in one organization that are neither revoked nor expired.
    static let maximumPerPerson = 50
    static let maximumScopes = 50
    /// Seconds from now until the earliest and the latest end a key may be given.
    static let shortestLife: TimeInterval = 60
    static let longestLife: TimeInterval = 5 * 366 * 86_400
    /// Managing the keys of others: what owners and admins may, through `*`.
    static let managing: Permission = "api-keys:manage"

    let id: APIKeyID
    let owner: UserID
    private(set) var name: Label
    let prefix: String
    let scopes: [Permission]
    let createdAt: Date
    let expiresAt: Date?
    let lastUsedAt: Date?
    private(set) var revokedAt: Date?
    private(set) var endReason: EndReason?
    private(set) var version: Int

    init(
        id: APIKeyID, owner: UserID, name: Label, prefix: String, scopes: [Permission], createdAt: Date, expiresAt: Date?,
        lastUsedAt: Date?,
        revokedAt: Date?, version: Int
    ) {
        self.id = id
        self.owner = owner
        self.name = name
        self.prefix = prefix
        self.scopes = scopes
        self.createdAt = createdAt
        self.expiresAt = expiresAt
        self.lastUsedAt = lastUsedAt
        self.revokedAt = revokedAt
        self.version = version
    }

    /// Throws `WiderThanMaker` or `ValidationFailure`, naming every scope and time that will not do.
    static func make(
        for owner: UserID, _ permissions: PermissionSet, name: Label, prefix: String, scopes: [Permission], expiresAt: Date?, at now: Date
    ) throws -> (APIKey, APIKeyCreated) {
        var invalid: [FieldError] = []
        if scopes.isEmpty { invalid.append(.init(pointer: "/scopes", code: "empty", detail: "name at least one permission")) }
        if scopes.count > maximumScopes {
            invalid.append(.init(pointer: "/scopes", code: "too-many", detail: "at most \(maximumScopes) permissions"))
        }
        if let expiresAt {
            let life = expiresAt.timeIntervalSince(now)
            if life < shortestLife {
                invalid.append(.init(pointer: "/expiresAt", code: "too-early", detail: "must be at least a minute from now"))
            } else if life > longestLife {
                invalid.append(.init(pointer: "/expiresAt", code: "too-late", detail: "must be within five years"))
            }
        }
        guard invalid.isEmpty else { throw ValidationFailure(invalid) }
        let wider = scopes.enumerated().filter { !permissions.allows($1) }.map { index, scope in
            FieldError(pointer: "/scopes/\(index)", code: "wider-than-maker", detail: "you do not have \(scope) yourself")
        }
        guard wider.isEmpty else { throw WiderThanMaker(fields: wider) }
        let distinct = scopes.reduce(into: [Permission]()) { if !$0.contains($1) { $0.append($1) } }
        let key = APIKey(
            id: .make(at: now), owner: owner, name: name, prefix: prefix, scopes: distinct, createdAt: now, expiresAt: expiresAt,
            lastUsedAt: nil, revokedAt: nil, version: 1)
        let created = APIKeyCreated(
            keyID: key.id, userID: owner, name: name.rawValue, permissions: distinct.map(\.description), expiresAt: expiresAt)
        return (key, created)
    }

    func isLive(at now: Date) -> Bool { revokedAt == nil && (expiresAt.map { $0 > now } ?? true) }

    /// What the key is good for today: its scopes, as far as its owner still has them.
    func permissions(within current: PermissionSet) -> [Permission] { PermissionSet(scopes).intersection(current).permissions }

    /// False when it has the name already.
    mutating func rename(_ name: Label) -> Bool {
        guard name.rawValue != self.name.rawValue else { return false }
        self.name = name
        version += 1
        return true
    }

    /// Nil when it had ended before: ending twice is announced once.
    mutating func revoke(_ reason: EndReason, at now: Date) -> APIKeyRevoked? {
        guard revokedAt == nil else { return nil }
        revokedAt = now
        endReason = reason
        version += 1
        return APIKeyRevoked(keyID: id, userID: owner, reason: reason.rawValue)
    }
}

/// 403: somebody wanted a key for more than they may do themselves.
struct WiderThanMaker: Failure {
    let fields: [FieldError]
    var code: String { "wider-than-maker" }
    var kind: FailureKind { .forbidden }
    var detail: String? { "A key cannot do more than the person who makes it; errors names each permission that is too much." }
}

enum APIKeyFailure: String, Failure {
    case tooMany = "too-many-api-keys"

    var kind: FailureKind { .conflict }
    var detail: String? { "You have \(APIKey.maximumPerPerson) keys in this organization: revoke one you no longer need." }
}
