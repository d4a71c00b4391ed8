import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Forgets what nobody finished: sign-ins that waited for a factor, factors that were not confirmed, codes, and challenges whose
/// replay their own expiry refuses by now.
struct SecondFactorHousekeeping: Service {
    let database: Database
    let now: @Sendable () -> Date
    let logger: Logger
    var batch = 1_000

    static let pause = Duration.seconds(300)
    /// How long what has expired is kept, beyond any difference of clocks.
    static let retention: TimeInterval = 3_600

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: Self.pause)
                if Task.isCancelled { return }
                do {
                    try await prune()
                } catch {
                    logger.warning("what second factors left behind could not be removed", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    func prune() async throws {
        let expired = now().addingTimeInterval(-Self.retention)
        let begun = expired.addingTimeInterval(-SecondFactor.confirmationSeconds)
        for statement in [
            PendingSignInStore.prune(before: expired, limit: batch), SentCodeStore.prune(before: expired, limit: batch),
            SecurityKeyStore.pruneSpent(before: expired, limit: batch), SecondFactorStore.pruneUnconfirmed(before: begun, limit: batch),
            TrustedDeviceStore.prune(before: expired, limit: batch),
            TextMessageStore.prune(before: expired.addingTimeInterval(-TextMessageLimits.day), limit: batch),
        ] {
            var removed: Int
            repeat { removed = try await database.execute(statement, as: AccountStore.caller) } while removed == batch && !Task.isCancelled
        }
    }
}
