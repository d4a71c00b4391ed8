import AuditChain
import Contracts
import Foundation
import ServiceKit

/// An entry of the audit log. Without `sequence`, `previousHash` and `hash` it is what the hash is made of (README.md).
struct AuditEntryView: View {
    let sequence: Int
    let id: EventID
    let organizationId: TenantID
    let service: String
    let action: String
    let resourceType: String
    let resourceId: String?
    let actor: String
    let userId: UserID?
    let impersonatorId: UserID?
    let outcome: String
    let riskLevel: String
    let oldValues: JSONValue?
    let newValues: JSONValue?
    let ipAddress: String?
    let userAgent: String?
    let location: JSONValue?
    let requestId: String?
    let occurredAt: Date
    let recordedAt: Date
    let previousHash: String
    let hash: String

    init(_ chained: ChainedEntry) {
        let entry = chained.entry
        sequence = chained.sequence
        id = entry.id
        organizationId = entry.organization
        service = entry.service
        action = entry.action
        resourceType = entry.resourceType
        resourceId = entry.resourceID
        actor = entry.actor
        userId = entry.user
        impersonatorId = entry.impersonator
        outcome = entry.outcome
        riskLevel = entry.risk
        oldValues = entry.oldValues
        newValues = entry.newValues
        ipAddress = entry.address
        userAgent = entry.userAgent
        location = entry.location
        requestId = entry.requestID
        occurredAt = entry.occurredAt
        recordedAt = entry.recordedAt
        previousHash = chained.previous.description
        hash = chained.hash.description
    }
}

/// What a verification found.
struct AuditVerdictView: View {
    struct Finding: Codable, Sendable {
        /// `edited`, `removed`, `reordered`, `cut-tail` or `bad-checkpoint`.
        let kind: ChainProblem.Kind
        let sequence: Int
        /// The last one, where it is several in a row.
        let lastSequence: Int?
        let detail: String
    }

    let valid: Bool
    let entries: Int
    let checkpoints: Int
    /// The last sequence that a checkpoint vouches for.
    let signedThrough: Int
    /// How many there are; at most 1,000 are listed.
    let problemCount: Int
    let problems: [Finding]

    init(_ report: ChainReport) {
        valid = report.isValid
        entries = report.entries
        checkpoints = report.checkpoints
        signedThrough = report.signedThrough
        problemCount = report.problemCount
        problems = report.problems.map {
            Finding(kind: $0.kind, sequence: $0.sequence, lastSequence: $0.lastSequence, detail: $0.detail)
        }
    }
}

extension Checkpoint: View {}
extension AuditKeySet: View {}

/// How an export is written; there is one way so far.
enum AuditExportFormat: String, Sendable, Codable, CaseIterable {
    case ndjson
}

enum AuditSort: String, Sendable, Codable, CaseIterable {
    case newestFirst = "-sequence"
    case oldestFirst = "sequence"
}

struct AuditExportQuery: Decodable, Sendable {
    let format: AuditExportFormat?
}

struct AuditQuery: Decodable, Sendable {
    let limit: PageLimit?
    let cursor: Cursor?
    let sort: AuditSort?
    /// The person who did it, also with a key.
    let person: UserID?
    /// `person:<id>`, `key:<id>`, `client:<id>`, `service:<name>` or `anonymous`.
    let actor: Label?
    /// An action, or how it begins: `content.` or `content.article.publish`.
    let action: Label?
    let resourceType: Label?
    let resourceId: Label?
    let service: Label?
    /// From this moment on.
    let from: Date?
    /// Up to, and without, this moment.
    let to: Date?
    let risk: AuditEntry.Risk?
    let outcome: AuditEntry.Outcome?

    var filter: AuditLogStore.Filter {
        AuditLogStore.Filter(
            person: person, actor: actor?.rawValue, action: action?.rawValue, resourceType: resourceType?.rawValue,
            resourceID: resourceId?.rawValue, service: service?.rawValue, from: from, to: to, risk: risk, outcome: outcome,
            oldestFirst: sort == .oldestFirst)
    }

    /// What was asked for, as the log will say it.
    var asked: [String: JSONValue] {
        let texts: [(String, String?)] = [
            ("person", person?.description), ("actor", actor?.rawValue), ("action", action?.rawValue),
            ("resourceType", resourceType?.rawValue), ("resourceId", resourceId?.rawValue), ("service", service?.rawValue),
            ("from", from.map { Timestamp.text($0) }), ("to", to.map { Timestamp.text($0) }), ("risk", risk?.rawValue),
            ("outcome", outcome?.rawValue), ("sort", sort?.rawValue),
        ]
        return texts.reduce(into: [:]) { result, pair in result[pair.0] = pair.1.map { .string($0) } }
    }
}
