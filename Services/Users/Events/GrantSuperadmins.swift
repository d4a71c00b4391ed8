import Contracts
import Foundation
import Logging
import Messaging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Whoever has shown that an address is theirs runs the platform, where the settings name the address.
struct GrantSuperadmins: EventHandler, Service {
    let database: Database
    let addresses: [EmailAddress]
    let logger: Logger

    func handle(_ event: EmailVerified, _ envelope: EventEnvelope, in tx: Transaction) throws {
        // Accounts are the platform's; an organization's event would say nothing of them.
        guard envelope.tenant == .platform, let email = EmailAddress(rawValue: event.email) else { return }
        try VerifiedAddressStore(tx: tx).keep(email, of: event.userID)
        if addresses.contains(email) { try Self.grant(event.userID, email, in: tx) }
    }

    /// The settings may name an address that was verified long ago, or that another replica heard of.
    func run() async throws {
        guard !addresses.isEmpty else { return try await gracefulShutdown() }
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    try await grantVerified()
                } catch {
                    logger.warning("the settings' platform admins could not be looked up", metadata: ["reason": "\(error)"])
                }
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    static let pause = Duration.seconds(5)

    private func grantVerified() async throws {
        try await database.transaction(as: PlatformAdminStore.caller) { tx in
            for email in addresses {
                for user in try VerifiedAddressStore(tx: tx).users(of: email) { try Self.grant(user, email, in: tx) }
            }
        }
    }

    private static func grant(_ user: UserID, _ email: EmailAddress, in tx: Transaction) throws {
        let admin = PlatformAdminStore.Admin(user: user, email: email, grantedBy: nil, createdAt: tx.now)
        guard try PlatformAdminStore(tx: tx).insert(admin) else { return }
        try Audit(tx).record("platform.admin.grant", "user", user.description, risk: "high", changed: ["by": "settings"])
    }
}
