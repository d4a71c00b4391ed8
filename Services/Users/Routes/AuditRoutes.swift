import AuditChain
import Contracts
import Foundation
import HTTPTypes
import Hummingbird
import Logging
import Messaging
import NIOCore
import Postgres
import ServiceKit
import Synchronization

/// The audit log of the caller's organization. Whoever reads it is in it.
struct AuditRoutes {
    let database: Database
    let signer: AuditSigner
    let sealing: Sealing
    let logger: Logger
    /// Reading a log from end to end costs much: one at a time for each organization, and few in all.
    let readers = AuditReaders()

    static let permission: Permission = "audit:read"

    var endpoints: [Endpoints] {
        [
            Endpoints("audit-logs") {
                Endpoint.get("", "List what was done and refused", may: .permission(Self.permission), list)
                Endpoint.get("key", "The public keys that checkpoints are signed with", may: .permission(Self.permission), publicKeys)
                Endpoint.get("verify", "Hold the whole log against its hashes and checkpoints", may: .permission(Self.permission), verify)
                Endpoint.get("export", "The whole log as NDJSON, with checkpoints and keys", may: .permission(Self.permission), export)
                Endpoint.post("checkpoints", "Sign how far the log has come", may: .permission(Self.permission), checkpoint)
                Endpoint.get(":id", "Read an entry", may: .permission(Self.permission), read)
            },
            Endpoints("platform") {
                Endpoint.get("audit-logs", "List what was done on the platform itself", may: .superadmin, listPlatform)
                Endpoint.get("audit-logs/verify", "Hold the platform's own log against its hashes", may: .superadmin, verifyPlatform)
                Endpoint.get("organizations/:id/audit-logs", "List what was done in an organization", may: .superadmin, listOrganization)
            },
            Endpoints("/internal/v1/security-events") {
                Endpoint.post("", "Note what a program without a database has seen", may: .service, note)
            },
            Endpoints("/internal/v1/audit-logs") {
                Endpoint.get("key", "The public keys that checkpoints are signed with", may: .service, publicKeys)
            },
        ]
    }

    // MARK: - Reading

    /// The first page of a query is noted in the log; a cursor carries on with a query that was.
    func list(_ request: CallerRequest, _ query: AuditQuery) async throws -> Page<AuditEntryView> {
        try await list(request, query, as: request.caller)
    }

    /// What belongs to no organization: accounts, platform admins, and who asked for another organization's objects.
    func listPlatform(_ request: CallerRequest, _ query: AuditQuery) async throws -> Page<AuditEntryView> {
        try await list(request, query, as: Self.caller(request.caller, in: .platform))
    }

    /// The organization finds in its log that it was read.
    func listOrganization(_ request: CallerRequest, _ query: AuditQuery) async throws -> Page<AuditEntryView> {
        try await list(request, query, as: Self.caller(request.caller, in: try request.path("id", as: TenantID.self)))
    }

    /// A platform admin in an organization's place, or the platform's own.
    private static func caller(_ caller: Caller, in tenant: TenantID) -> Caller {
        Caller(caller.principal, tenant: tenant, roles: caller.roles, session: caller.session)
    }

    private func list(_ request: CallerRequest, _ query: AuditQuery, as caller: Caller) async throws -> Page<AuditEntryView> {
        let limit = query.limit ?? .standard
        let after = try query.cursor.map { try continued($0, query, caller) }
        let rows = try await database.query(AuditLogStore.page(query.filter, after: after, limit: limit.value + 1), as: caller)
        if after == nil { try await noteReading(request, "users.audit.read", changed: query.asked, as: caller) }
        let shown = rows.prefix(limit.value)
        let next = rows.count > limit.value ? shown.last.map { cursor($0.sequence, query, caller) } : nil
        return Page(shown.map { AuditEntryView($0) }, next: next)
    }

    func read(_ request: CallerRequest) async throws -> AuditEntryView {
        let id = try request.path("id", as: EventID.self)
        guard let entry = try await database.first(AuditLogStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
        try await noteReading(request, "users.audit.read", resource: id.description)
        return AuditEntryView(entry)
    }

    private func noteReading(
        _ request: CallerRequest, _ action: String, resource: String? = nil, changed: [String: JSONValue] = [:], as caller: Caller? = nil
    ) async throws {
        try await database.transaction(as: caller ?? request.caller) { tx in
            try Audit(tx, request.http).record(action, "audit-log", resource, risk: "medium", changed: changed)
        }
    }

    /// A cursor is good only for the query that it came from, of the same caller: else it would read on without being noted.
    private func cursor(_ sequence: Int, _ query: AuditQuery, _ caller: Caller) -> Cursor {
        Cursor([String(sequence), mark(sequence, query, caller)])
    }

    private func continued(_ cursor: Cursor, _ query: AuditQuery, _ caller: Caller) throws -> Int {
        guard cursor.keys.count == 2, let sequence = Int(cursor.keys[0]), cursor.keys[1] == mark(sequence, query, caller) else {
            throw ValidationFailure("?cursor", "invalid-cursor", "must be a nextCursor of an earlier answer to the same query")
        }
        return sequence
    }

    private func mark(_ sequence: Int, _ query: AuditQuery, _ caller: Caller) -> String {
        let asked = CanonicalJSON.text(.object(query.asked))
        return Base64URL.encode(sealing.digest("\(caller.tenant) \(caller.principalText) \(sequence) \(asked)", context: "audit cursor"))
    }

    // MARK: - Checking

    func publicKeys(_ request: CallerRequest) async throws -> AuditKeySet { signer.keys.published }

    /// 409 for a log that has no entry yet.
    func checkpoint(_ request: CallerRequest) async throws -> Checkpoint {
        guard let made = try await signer.sign(request.caller.tenant) else { throw AuditFailure.empty }
        return made
    }

    func verify(_ request: CallerRequest) async throws -> AuditVerdictView { try await verify(request, as: request.caller) }

    func verifyPlatform(_ request: CallerRequest) async throws -> AuditVerdictView {
        try await verify(request, as: Self.caller(request.caller, in: .platform))
    }

    private func verify(_ request: CallerRequest, as caller: Caller) async throws -> AuditVerdictView {
        try readers.begin(caller.tenant)
        defer { readers.end(caller.tenant) }
        var verifier = ChainVerifier(caller.tenant, keys: signer.keys.published)
        // The head first: what is added meanwhile is more than it says, never less.
        let head = try await database.first(AuditLogStore.head, as: caller)
        if let pruned = try await database.first(AuditCheckpointStore.pruned, as: caller) { verifier.begin(after: pruned) }
        try await AuditTrail(database: database, caller: caller).walk(after: 0) { piece in
            switch piece {
            case .entry(let entry): verifier.add(entry.link)
            case .checkpoint(let checkpoint): verifier.add(checkpoint)
            }
        }
        let report = verifier.finish(head: head.map { ($0.sequence, $0.hash) })
        if !report.isValid {
            logger.error(
                "the audit log is not as it was written",
                metadata: ["securityEvent": "audit-chain-broken", "tenantId": "\(caller.tenant)", "problems": "\(report.problemCount)"])
        }
        try await noteReading(
            request, "users.audit.verify", changed: ["valid": .bool(report.isValid), "entries": .integer(report.entries)], as: caller)
        return AuditVerdictView(report)
    }

    /// As it is read, whatever its length. The last line says how far it went: an export without one was cut off.
    func export(_ request: CallerRequest, _ query: AuditExportQuery) async throws -> StreamedResult {
        let caller = request.caller
        try readers.begin(caller.tenant)
        do {
            try await noteReading(request, "users.audit.export", changed: ["format": "ndjson"])
            _ = try await signer.sign(caller.tenant)
        } catch {
            readers.end(caller.tenant)
            throw error
        }
        let (database, keys, readers) = (database, signer.keys.published, readers)
        let header = ChainExport.Header(caller.tenant, keys: keys, at: request.now)
        let body = ResponseBody { writer in
            defer { readers.end(caller.tenant) }
            try await writer.write(ByteBuffer(bytes: try ChainExport.line(header)))
            if let pruned = try await database.first(AuditCheckpointStore.pruned, as: caller) {
                try await writer.write(ByteBuffer(bytes: try ChainExport.line(pruned)))
            }
            var (count, last, hash) = (0, 0, ChainHash.none)
            try await AuditTrail(database: database, caller: caller).walk(after: 0) { piece in
                switch piece {
                case .entry(let entry):
                    (count, last, hash) = (count + 1, entry.sequence, entry.hash)
                    try await writer.write(ByteBuffer(bytes: ChainExport.line(entry: entry.members)))
                case .checkpoint(let checkpoint): try await writer.write(ByteBuffer(bytes: try ChainExport.line(checkpoint)))
                }
            }
            try await writer.write(ByteBuffer(bytes: try ChainExport.line(ChainExport.End(entries: count, sequence: last, hash: hash))))
            try await writer.finish(nil)
        }
        let name = "audit-\(caller.tenant).ndjson"
        return StreamedResult(
            Response(
                status: .ok,
                headers: [
                    .contentType: ChainExport.mediaType, .cacheControl: "no-store",
                    .contentDisposition: "attachment; filename=\"\(name)\"",
                ], body: body))
    }

    // MARK: - From programs

    func note(_ request: CallerRequest, _ event: SecurityEventReport) async throws -> NoContent {
        try await database.transaction(as: .service(.users, for: event.tenant)) { tx in
            try Outbox(tx).append(
                AuditEntryRecorded(
                    action: event.action, resourceType: event.resourceType, resourceID: event.resourceID, actor: event.actor,
                    outcome: "refused", riskLevel: "high", address: event.address, userAgent: event.userAgent,
                    changed: event.details, requestID: event.requestID))
        }
        return NoContent()
    }
}

enum AuditFailure: String, Failure {
    case empty = "audit-log-empty"
    case busy = "audit-log-busy"

    var kind: FailureKind {
        switch self {
        case .empty: .conflict
        case .busy: .limited(retryAfter: 5)
        }
    }

    var detail: String? {
        switch self {
        case .empty: "There is no entry yet."
        case .busy: "The log is being read from end to end just now. Try again shortly."
        }
    }
}

/// Who reads a log from end to end just now.
final class AuditReaders: Sendable {
    static let most = 4
    /// A reader that has gone without a word is forgotten after this.
    static let longest = Duration.seconds(600)

    private let reading = Mutex<[TenantID: ContinuousClock.Instant]>([:])

    func begin(_ tenant: TenantID) throws(AuditFailure) {
        let now = ContinuousClock.now
        let isFree = reading.withLock { reading in
            reading = reading.filter { now - $0.value < Self.longest }
            guard reading.count < Self.most, reading[tenant] == nil else { return false }
            reading[tenant] = now
            return true
        }
        guard isFree else { throw .busy }
    }

    func end(_ tenant: TenantID) { reading.withLock { $0[tenant] = nil } }
}
