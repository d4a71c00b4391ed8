package import Foundation

/// An identifier that cannot be mistaken for another kind's: a UUID with a phantom type.
///
/// Its text is the lowercase form (RFC 9562), in JSON, in URLs and in events.
package struct TypedID<Kind>: Hashable, Sendable, Codable, LosslessStringConvertible, Comparable {
    package let uuid: UUID

    package init(_ uuid: UUID) { self.uuid = uuid }

    /// Nil unless the text is a UUID in its 36-character form.
    package init?(_ description: String) {
        guard description.utf8.count == 36, let uuid = UUID(uuidString: description) else { return nil }
        self.uuid = uuid
    }

    /// A new time-ordered identifier (UUID version 7), so that rows inserted together lie together.
    package static func make(at time: Date = Date()) -> TypedID { TypedID(UUID.version7(at: time)) }

    package var description: String { uuid.uuidString.lowercased() }

    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = TypedID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a UUID")
        }
        self = id
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }

    package static func < (left: TypedID, right: TypedID) -> Bool { left.description < right.description }
}

extension UUID {
    /// A UUID of version 7 (RFC 9562, section 5.7): 48 bits of Unix milliseconds, then random bits.
    package static func version7(at time: Date = Date()) -> UUID {
        let random = UUID().uuid
        let milliseconds = UInt64(max(0, time.timeIntervalSince1970 * 1000))
        func byte(_ shift: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: milliseconds >> shift) }
        return UUID(
            uuid: (
                byte(40), byte(32), byte(24), byte(16), byte(8), byte(0),
                0x70 | (random.6 & 0x0F), random.7, 0x80 | (random.8 & 0x3F), random.9,
                random.10, random.11, random.12, random.13, random.14, random.15
            ))
    }
}

package enum TenantKind {}
package enum UserKind {}
package enum SessionKind {}
package enum APIKeyKind {}
package enum EventKind {}
package enum ArticleKind {}
package enum FileKind {}
package enum ConversationKind {}
package enum MessageKind {}
package enum NotificationKind {}
package enum InvitationKind {}
package enum ClientKind {}

/// An organization; the unit of isolation.
package typealias TenantID = TypedID<TenantKind>
/// A person's account, one across all organizations.
package typealias UserID = TypedID<UserKind>
/// A sign-in on one device.
package typealias SessionID = TypedID<SessionKind>
package typealias APIKeyID = TypedID<APIKeyKind>
/// `ce_id`: what consumers deduplicate by.
package typealias EventID = TypedID<EventKind>
package typealias ArticleID = TypedID<ArticleKind>
package typealias FileID = TypedID<FileKind>
package typealias ConversationID = TypedID<ConversationKind>
package typealias MessageID = TypedID<MessageKind>
package typealias NotificationID = TypedID<NotificationKind>
package typealias InvitationID = TypedID<InvitationKind>
/// An OAuth client that an organization registered.
package typealias ClientID = TypedID<ClientKind>

extension TypedID where Kind == UserKind {
    /// The years 2020 to 2024: the same for every account, whenever it is made.
    private static let timesThatSayNothing: Range<TimeInterval> = 1_577_836_800..<1_735_689_600

    /// The id of an account, with a time in it that says nothing. Whoever invites an address is shown the id, be it of an account or
    /// kept for one: a true time would tell whether, and since when, somebody has been here.
    package static func ofAccount() -> UserID { make(at: Date(timeIntervalSince1970: .random(in: timesThatSayNothing))) }
}

extension TypedID where Kind == TenantKind {
    /// The platform itself, for what happens before or outside any organization (all zeros).
    package static let platform = TenantID(UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)))
}
