import AuditChain
import Contracts
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// Signs every log that has come further, at most once in a while. Several replicas may: a second statement of the same changes nothing.
struct AuditCheckpoints: Service {
    let database: Database
    let signer: AuditSigner
    let pause: Duration
    let logger: Logger

    /// Logs taken at once.
    static let batch = 100

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: pause)
                if Task.isCancelled { return }
                do {
                    try await signAll()
                } catch {
                    logger.warning("audit logs are not signed", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    private func signAll() async throws {
        var last: TenantID?
        while !Task.isCancelled {
            let after = last
            let tenants = try await database.platform(PlatformWork("audit logs to sign")) { tx in
                try AuditLogsOfAll(tx: tx).unsigned(limit: Self.batch, after: after)
            }
            for tenant in tenants where !Task.isCancelled { _ = try await signer.sign(tenant) }
            guard tenants.count == Self.batch else { return }
            last = tenants.last
        }
    }
}

/// Removes entries that are older than what is kept, and leaves a signed statement of where the rest begins.
struct AuditRetention: Service {
    let database: Database
    let keys: AuditKeys
    let days: Int
    let now: @Sendable () -> Date
    let logger: Logger

    static let pause = Duration.seconds(3_600)
    static let batch = 1_000

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await removeOld()
                } catch {
                    logger.warning("old audit entries could not be removed", metadata: ["reason": "\(error)"])
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    func removeOld() async throws {
        let before = now().addingTimeInterval(-Double(days) * 86_400)
        let outdated = try await database.platform(PlatformWork("audit retention")) { tx in
            try AuditLogsOfAll(tx: tx).outdated(before: before, limit: Self.batch)
        }
        for log in outdated {
            let keys = keys
            try await database.transaction(as: .service(.users, for: log.tenant)) { tx in
                let time = Date(timeIntervalSince1970: (tx.now.timeIntervalSince1970 * 1_000).rounded() / 1_000)
                try AuditCheckpointStore(tx: tx).add(
                    try keys.signing.sign(log.tenant, sequence: log.sequence, hash: log.hash, at: time, as: .pruned))
            }
            var removed = Self.batch
            while removed == Self.batch, !Task.isCancelled {
                removed = try await database.platform(PlatformWork("audit retention")) { tx in
                    try AuditLogsOfAll(tx: tx).remove(log.tenant, through: log.sequence, before: before, limit: Self.batch)
                }
            }
        }
    }
}
