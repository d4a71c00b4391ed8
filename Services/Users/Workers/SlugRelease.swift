import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Gives slugs and domains free again, of organizations that were deleted and whose time for second thoughts is over.
struct SlugRelease: Service {
    let database: Database
    let now: @Sendable () -> Date
    let logger: Logger

    static let pause = Duration.seconds(600)
    static let batch = 50

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                if Task.isCancelled { return }
                do {
                    try await releaseSome()
                } catch {
                    logger.warning("slugs of deleted organizations could not be released", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    func releaseSome() async throws {
        let now = now()
        let due = try await database.platform(PlatformWork("organizations past restoring")) { tx in
            try tx.query(PlatformOrganizationStore.pastRestoring(at: now, limit: Self.batch))
        }
        for id in due {
            try await database.transaction(as: .service(.users, for: id)) { tx in
                let organizations = OrganizationStore(tx: tx)
                var organization = try organizations.lock()
                guard organization.releaseSlug(at: tx.now) else { return }
                try organizations.save(organization)
                try Audit(tx).record("users.organization.release-slug", "organization", id.description)
            }
        }
    }
}
