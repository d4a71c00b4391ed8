import AuditChain
import Contracts
import Foundation
import Logging
import Metrics
import Postgres
import ServiceKit

/// Signs how far a log has come.
struct AuditSigner: Sendable {
    let database: Database
    let keys: AuditKeys
    let logger: Logger

    /// The checkpoint at the end of the log; nil for a log without entries. What has come since the last one is held against it
    /// first: should it not fit, that is an alarm. It is signed all the same, since the statement is true, and what comes after is
    /// to be vouched for too.
    func sign(_ tenant: TenantID) async throws -> Checkpoint? {
        let caller = Caller.service(.users, for: tenant)
        guard let head = try await database.first(AuditLogStore.head, as: caller), head.sequence > 0 else { return nil }
        let last = try await database.first(AuditCheckpointStore.last, as: caller)
        if let last, last.sequence >= head.sequence { return last }
        let report = try await examine(after: last, as: caller)
        if !report.isValid { alarm(tenant, report) }
        let keys = keys
        let checkpoint = try await database.transaction(as: caller) { tx in
            let time = Date(timeIntervalSince1970: (tx.now.timeIntervalSince1970 * 1_000).rounded() / 1_000)
            let made = try keys.signing.sign(tenant, sequence: head.sequence, hash: head.hash, at: time)
            try AuditCheckpointStore(tx: tx).add(made)
            return made
        }
        witness(checkpoint)
        return checkpoint
    }

    private func examine(after last: Checkpoint?, as caller: Caller) async throws -> ChainReport {
        var verifier = ChainVerifier(caller.tenant, keys: keys.published)
        if let last { verifier.begin(after: last) }
        try await AuditTrail(database: database, caller: caller).walk(after: last?.sequence ?? 0) { piece in
            switch piece {
            case .entry(let entry): verifier.add(entry.link)
            case .checkpoint(let checkpoint): verifier.add(checkpoint)
            }
        }
        return verifier.finish()
    }

    private func alarm(_ tenant: TenantID, _ report: ChainReport) {
        Counter(label: "trionex_audit_chain_broken_total").increment()
        logger.error(
            "the audit log is not as it was written",
            metadata: [
                "securityEvent": "audit-chain-broken", "tenantId": "\(tenant)", "problems": "\(report.problemCount)",
                "first": "\(report.problems.first.map { "\($0.kind.rawValue) \($0.sequence)" } ?? "")",
            ])
    }

    /// The line of the log is a copy of the checkpoint that whoever changes the database does not reach.
    private func witness(_ checkpoint: Checkpoint) {
        logger.info(
            "audit checkpoint",
            metadata: [
                "tenantId": "\(checkpoint.organizationId)", "sequence": "\(checkpoint.sequence)", "hash": "\(checkpoint.hash)",
                "signedAt": "\(Timestamp.text(checkpoint.signedAt))", "keyId": "\(checkpoint.keyId)",
                "signature": "\(checkpoint.signature)",
            ])
    }
}

/// A log from an entry on to its end, in pieces, so that it need not fit into memory.
struct AuditTrail: Sendable {
    enum Piece {
        case entry(ChainedEntry)
        /// Comes after the entry that it vouches for.
        case checkpoint(Checkpoint)
    }

    /// Entries read at once.
    static let run = 500

    let database: Database
    let caller: Caller

    /// To the very end, whatever the head says that the end is. Checkpoints beyond the last entry come last.
    func walk(after start: Int, _ body: (Piece) async throws -> Void) async throws {
        var reached = start
        while true {
            try Task.checkCancellation()
            let entries = try await database.query(
                AuditLogStore.run(after: reached, through: .max, limit: Self.run), as: caller, slow: true)
            let isLast = entries.count < Self.run
            let end = isLast ? Int.max : entries.last?.sequence ?? Int.max
            var checkpoints = try await checkpoints(after: reached, through: end)[...]
            for entry in entries {
                while let next = checkpoints.first, next.sequence < entry.sequence {
                    checkpoints.removeFirst()
                    try await body(.checkpoint(next))
                }
                try await body(.entry(entry))
            }
            for checkpoint in checkpoints { try await body(.checkpoint(checkpoint)) }
            if isLast { return }
            reached = end
        }
    }

    private func checkpoints(after start: Int, through end: Int) async throws -> [Checkpoint] {
        var found: [Checkpoint] = []
        while true {
            let more = try await database.query(
                AuditCheckpointStore.run(after: found.last?.sequence ?? start, through: end, limit: Self.run), as: caller, slow: true)
            found += more
            if more.count < Self.run { return found }
        }
    }
}
