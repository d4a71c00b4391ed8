import Contracts
import Foundation
import ServiceKit

/// A key as its owner sees it later: by its name and its first characters.
struct APIKeyView: View {
    let id: APIKeyID
    let name: String
    /// The first characters of the key.
    let prefix: String
    let scopes: [Permission]
    let ownerId: UserID
    let createdAt: Date
    let expiresAt: Date?
    /// To the minute.
    let lastUsedAt: Date?
    let version: Int

    init(_ key: APIKey) {
        id = key.id
        name = key.name.rawValue
        prefix = key.prefix
        scopes = key.scopes
        ownerId = key.owner
        createdAt = key.createdAt
        expiresAt = key.expiresAt
        lastUsedAt = key.lastUsedAt
        version = key.version
    }

    var entityTag: EntityTag? { EntityTag(version: version, usedAt: lastUsedAt) }
}

/// A key that was just made: the only answer that ever has the key itself.
struct NewAPIKeyView: View {
    let id: APIKeyID
    let name: String
    /// Send it as `X-API-Key`, or as `Authorization: Bearer`. It is not shown again.
    let key: String
    let prefix: String
    let scopes: [Permission]
    let ownerId: UserID
    let createdAt: Date
    let expiresAt: Date?

    init(_ made: APIKey, _ secret: APIKeySecret) {
        id = made.id
        name = made.name.rawValue
        key = secret.text
        prefix = made.prefix
        scopes = made.scopes
        ownerId = made.owner
        createdAt = made.createdAt
        expiresAt = made.expiresAt
    }
}

extension EntityTag {
    /// Of a key: it changes with its use too.
    init(version: Int, usedAt: Date?) {
        self.init(digest: "v\(version)" + (usedAt.map { "-\(Int($0.timeIntervalSince1970))" } ?? ""))
    }
}
