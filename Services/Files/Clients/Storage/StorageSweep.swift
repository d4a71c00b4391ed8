import Contracts
import Foundation
import Logging
import Postgres
import ServiceLifecycle

/// Removes what a crash left: content that was never finished, and content whose row was never inserted or is gone.
///
/// Only what is older than an hour is touched, so nothing that another replica is writing just now.
struct StorageSweep: Service {
    static let age: TimeInterval = 3600

    let database: Database
    let storage: any ContentStorage
    let now: @Sendable () -> Date
    let pause: Duration
    let logger: Logger

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    let removed = try await sweep()
                    if removed > 0 { logger.notice("leftover content removed", metadata: ["count": "\(removed)"]) }
                } catch {
                    if !(error is CancellationError) {
                        logger.warning("leftovers could not be searched for", metadata: ["reason": "\(error)"])
                    }
                }
                try? await Task.sleep(for: pause)
            }
        }
    }

    /// Returns how many were removed.
    func sweep() async throws -> Int {
        let before = now().addingTimeInterval(-Self.age)
        let leftovers = try await storage.removeLeftovers(before: before)
        let orphans = Tally()
        try await storage.visit(committedBefore: before) { tenant, keys in
            await orphans.add(try await removeOrphans(of: tenant, among: keys))
        }
        return leftovers + (await orphans.count)
    }

    private func removeOrphans(of tenant: TenantID, among keys: [ContentKey]) async throws -> Int {
        let caller = Caller.service(.files, for: tenant)
        // An organization without a key has nothing here that anybody could read; so this is some other platform's database, and
        // what looks like orphans is all it has.
        guard try await database.first(TenantKeyStore.current, as: caller) != nil else {
            logger.warning("content of an unknown organization is left alone", metadata: ["tenantId": "\(tenant)"])
            return 0
        }
        let known = Set(try await database.query(FileStore.known(keys.map(\.file)), as: caller))
        let orphans = keys.filter { !known.contains($0.file) }
        for key in orphans { try await storage.remove(key) }
        return orphans.count
    }
}

private actor Tally {
    private(set) var count = 0
    func add(_ more: Int) { count += more }
}
