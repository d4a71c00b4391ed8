import Contracts
import Foundation

/// Somebody did something, or was refused: what the log of their organization says of it, for good.
struct AuditEntry: Sendable, Equatable {
    enum Risk: String, Sendable, Codable, CaseIterable {
        case low, medium, high
    }

    enum Outcome: String, Sendable, Codable, CaseIterable {
        case allowed, refused
    }

    let id: EventID
    let organization: TenantID
    /// Which program saw it.
    let service: String
    let action: String
    let resourceType: String
    let resourceID: String?
    let actor: String
    /// The person behind it, also behind a key.
    let user: UserID?
    let impersonator: UserID?
    /// Texts, because an entry that came in is kept, whatever a later version makes of its words.
    let outcome: String
    let risk: String
    let oldValues: JSONValue?
    let newValues: JSONValue?
    let address: String?
    let userAgent: String?
    let location: JSONValue?
    let requestID: String?
    let occurredAt: Date
    let recordedAt: Date

    /// The members that the hash covers, named as they are answered and exported; what has no value is not there.
    var content: [String: JSONValue] {
        var members: [String: JSONValue] = [
            "id": .string(id.description), "organizationId": .string(organization.description), "service": .string(service),
            "action": .string(action), "resourceType": .string(resourceType), "actor": .string(actor), "outcome": .string(outcome),
            "riskLevel": .string(risk), "occurredAt": .string(Self.text(occurredAt)), "recordedAt": .string(Self.text(recordedAt)),
        ]
        members["resourceId"] = resourceID.map { .string($0) }
        members["userId"] = user.map { .string($0.description) }
        members["impersonatorId"] = impersonator.map { .string($0.description) }
        members["oldValues"] = oldValues
        members["newValues"] = newValues
        members["ipAddress"] = address.map { .string($0) }
        members["userAgent"] = userAgent.map { .string($0) }
        members["location"] = location
        members["requestId"] = requestID.map { .string($0) }
        return members
    }

    /// Times are kept to the millisecond. One that has more in it was not written by us, and shows it.
    private static func text(_ time: Date) -> String {
        let microseconds = (time.timeIntervalSince1970 * 1_000_000).rounded()
        let rest = Int(microseconds.truncatingRemainder(dividingBy: 1_000))
        return rest == 0 ? Timestamp.text(time) : "\(Timestamp.text(time))+\(rest)us"
    }
}

extension AuditEntry {
    /// What a program has announced. Texts that PostgreSQL would not take lose the sign that it does not take.
    init(_ event: AuditEntryRecorded, id: EventID, organization: TenantID, source: String, occurredAt: Date, recordedAt: Date) {
        self.id = id
        self.organization = organization
        service = String(source.split(separator: "/").last ?? "")
        action = Self.storable(event.action)
        resourceType = Self.storable(event.resourceType)
        resourceID = event.resourceID.map(Self.storable)
        actor = Self.storable(event.actor)
        user = event.user ?? Self.person(event.actor)
        impersonator = event.impersonator
        outcome = Self.storable(event.outcome)
        risk = Self.storable(event.riskLevel)
        oldValues = event.previous.flatMap { $0.isEmpty ? nil : Self.storable(.object($0)) }
        newValues = event.changed.isEmpty ? nil : Self.storable(.object(event.changed))
        address = event.address.map(Self.storable)
        userAgent = event.userAgent.map(Self.storable)
        location = nil
        requestID = event.requestID.map(Self.storable)
        self.occurredAt = Self.whole(occurredAt)
        self.recordedAt = Self.whole(recordedAt)
    }

    private static func person(_ actor: String) -> UserID? {
        actor.hasPrefix("person:") ? UserID(String(actor.dropFirst("person:".count))) : nil
    }

    private static func whole(_ time: Date) -> Date {
        Date(timeIntervalSince1970: (time.timeIntervalSince1970 * 1_000).rounded() / 1_000)
    }

    private static func storable(_ text: String) -> String {
        text.utf8.contains(0) ? text.replacingOccurrences(of: "\u{0}", with: "\u{FFFD}") : text
    }

    private static func storable(_ value: JSONValue) -> JSONValue {
        switch value {
        case .null, .bool, .integer: value
        // A number that is none would be null in JSON, and is so before it is hashed.
        case .number(let number): number.isFinite ? .number(number) : .null
        case .string(let text): .string(storable(text))
        case .array(let values): .array(values.map(storable))
        case .object(let members): .object(Dictionary(members.map { (storable($0), storable($1)) }, uniquingKeysWith: { $1 }))
        }
    }
}
