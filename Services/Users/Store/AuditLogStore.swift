import AuditChain
import Contracts
import Foundation
import Postgres

/// An entry with its place in the chain.
struct ChainedEntry: Sendable {
    let entry: AuditEntry
    let sequence: Int
    let previous: ChainHash
    let hash: ChainHash

    /// As the verifier sees it: the hash over what is there now is the verifier's to compute.
    var link: ChainLink { ChainLink(sequence: sequence, previous: previous, content: ChainLink.contentHash(entry.content), hash: hash) }

    /// The members of an answer and of an export.
    var members: [String: JSONValue] {
        var members = entry.content
        members["sequence"] = .integer(sequence)
        members["previousHash"] = .string(previous.description)
        members["hash"] = .string(hash.description)
        return members
    }
}

/// Where a log ends.
struct AuditHead: Sendable {
    let sequence: Int
    let hash: ChainHash
    /// How far a checkpoint vouches for it.
    let signedSequence: Int

    static let empty = AuditHead(sequence: 0, hash: .none, signedSequence: 0)
}

/// The audit log of the caller's organization: read, and added to at its end.
struct AuditLogStore {
    let tx: Transaction

    // MARK: - Adding

    /// The end of the log, so that nobody else adds to it before this transaction ends. A head that was lost, or set back behind the
    /// entries that are there, does not keep the log from going on.
    func lockHead() throws -> AuditHead {
        let head = Query(
            """
            SELECT h.sequence, h.hash, h.signed_sequence, l.sequence AS last_sequence, l.hash AS last_hash FROM audit_heads h
            LEFT JOIN (SELECT sequence, hash FROM audit_logs ORDER BY sequence DESC LIMIT 1) l ON true FOR UPDATE OF h
            """
        ) { row in
            let known = try Self.readHead(row)
            let last: Int? = try row("last_sequence")
            guard let last, last > known.sequence else { return known }
            let hash: Data = try row("last_hash")
            return AuditHead(sequence: last, hash: ChainHash(hash) ?? .none, signedSequence: known.signedSequence)
        }
        if let known = try tx.first(head) { return known }
        try tx.execute(
            """
            INSERT INTO audit_heads (tenant_id, sequence, hash) VALUES (\(tx.caller.tenant), 0, \(ChainHash.none.bytes))
            ON CONFLICT DO NOTHING
            """)
        return try tx.first(head) ?? .empty
    }

    /// Those of some entries that are in the log.
    func known(_ ids: [EventID]) throws -> Set<EventID> {
        Set(try tx.query(Query("SELECT id FROM audit_logs WHERE id = ANY(\(ids.map(\.uuid)))", column: "id")))
    }

    /// Adds entries after `head`, which must be locked, and moves the head.
    func append(_ entries: [AuditEntry], after head: AuditHead) throws {
        var last = (sequence: head.sequence, hash: head.hash)
        let rows = entries.map { entry -> [any SQLBindable] in
            let link = ChainLink(entry.organization, sequence: last.sequence + 1, previous: last.hash, content: entry.content)
            last = (link.sequence, link.hash)
            return [
                entry.organization, link.sequence, entry.id, entry.service, entry.action, entry.resourceType, entry.resourceID, entry.actor,
                entry.user, entry.impersonator, entry.outcome, entry.risk, entry.oldValues.map { JSONB($0) },
                entry.newValues.map { JSONB($0) }, entry.address, entry.userAgent, entry.location.map { JSONB($0) }, entry.requestID,
                entry.occurredAt, entry.recordedAt, link.previous.bytes, link.hash.bytes,
            ]
        }
        try tx.insert(
            into: "audit_logs",
            columns: [
                "tenant_id", "sequence", "id", "service", "action", "resource_type", "resource_id", "actor", "user_id", "impersonator",
                "outcome", "risk_level", "old_values", "new_values", "ip_address", "user_agent", "location", "request_id", "occurred_at",
                "recorded_at", "previous_hash", "hash",
            ], rows: rows)
        try tx.execute(
            "UPDATE audit_heads SET sequence = \(last.sequence), hash = \(last.hash.bytes) WHERE tenant_id = \(tx.caller.tenant)")
    }

    // MARK: - The end

    private static let headColumns: SQL = "SELECT sequence, hash, signed_sequence FROM audit_heads"

    private static func readHead(_ row: Row) throws -> AuditHead {
        let bytes: Data = try row("hash")
        return AuditHead(sequence: try row("sequence"), hash: ChainHash(bytes) ?? .none, signedSequence: try row("signed_sequence"))
    }

    static var head: Query<AuditHead> { Query(headColumns, readHead) }

    // MARK: - Reading

    private static let columns: SQL = """
        tenant_id, sequence, id, service, action, resource_type, resource_id, actor, user_id, impersonator, outcome, risk_level, old_values,
        new_values, ip_address, user_agent, location, request_id, occurred_at, recorded_at, previous_hash, hash
        """

    private static func read(_ row: Row) throws -> ChainedEntry {
        let old: JSONB<JSONValue>? = try row("old_values")
        let new: JSONB<JSONValue>? = try row("new_values")
        let location: JSONB<JSONValue>? = try row("location")
        let previous: Data = try row("previous_hash")
        let hash: Data = try row("hash")
        let entry = AuditEntry(
            id: try row("id"), organization: try row("tenant_id"), service: try row("service"), action: try row("action"),
            resourceType: try row("resource_type"), resourceID: try row("resource_id"), actor: try row("actor"), user: try row("user_id"),
            impersonator: try row("impersonator"), outcome: try row("outcome"), risk: try row("risk_level"), oldValues: old?.value,
            newValues: new?.value, address: try row("ip_address"), userAgent: try row("user_agent"), location: location?.value,
            requestID: try row("request_id"), occurredAt: try row("occurred_at"), recordedAt: try row("recorded_at"))
        return ChainedEntry(
            entry: entry, sequence: try row("sequence"), previous: ChainHash(previous) ?? .none, hash: ChainHash(hash) ?? .none)
    }

    static func find(_ id: EventID) -> Query<ChainedEntry> { Query("SELECT \(fragment: columns) FROM audit_logs WHERE id = \(id)", read) }

    /// Entries in their order, for whoever reads the whole of a log.
    static func run(after sequence: Int, through last: Int, limit: Int) -> Query<ChainedEntry> {
        Query(
            """
            SELECT \(fragment: columns) FROM audit_logs WHERE sequence > \(sequence) AND sequence <= \(last)
            ORDER BY sequence LIMIT \(limit)
            """, read)
    }

    struct Filter: Sendable {
        var person: UserID?
        var actor: String?
        /// An action, or how it begins.
        var action: String?
        var resourceType: String?
        var resourceID: String?
        var service: String?
        var from: Date?
        var to: Date?
        var risk: AuditEntry.Risk?
        var outcome: AuditEntry.Outcome?
        var oldestFirst = false
    }

    static func page(_ filter: Filter, after sequence: Int?, limit: Int) -> Query<ChainedEntry> {
        var conditions: [SQL] = ["true"]
        if let person = filter.person { conditions.append("user_id = \(person)") }
        if let actor = filter.actor { conditions.append("actor = \(actor)") }
        if let action = filter.action {
            // Nothing that begins with the text comes after the text with the last of all characters behind it.
            conditions.append("action COLLATE \"C\" >= \(action) AND action COLLATE \"C\" < \(action + "\u{10FFFF}")")
        }
        if let type = filter.resourceType { conditions.append("resource_type = \(type)") }
        if let id = filter.resourceID { conditions.append("resource_id = \(id)") }
        if let service = filter.service { conditions.append("service = \(service)") }
        if let from = filter.from { conditions.append("occurred_at >= \(from)") }
        if let to = filter.to { conditions.append("occurred_at < \(to)") }
        if let risk = filter.risk { conditions.append("risk_level = \(risk.rawValue)") }
        if let outcome = filter.outcome { conditions.append("outcome = \(outcome.rawValue)") }
        if let sequence { conditions.append(filter.oldestFirst ? "sequence > \(sequence)" : "sequence < \(sequence)") }
        let order: SQL = filter.oldestFirst ? "sequence" : "sequence DESC"
        return Query(
            """
            SELECT \(fragment: columns) FROM audit_logs WHERE \(fragment: conditions.joined(separator: " AND "))
            ORDER BY \(fragment: order) LIMIT \(limit)
            """, read)
    }
}
