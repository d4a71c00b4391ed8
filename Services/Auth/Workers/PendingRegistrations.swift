import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Finishes registrations that were cut short, by a crash of either service or by users being away; removes those that users refuses.
struct PendingRegistrations: Service {
    let database: Database
    let completion: RegistrationCompletion
    let age: TimeInterval
    let now: @Sendable () -> Date
    let logger: Logger

    static let batch = 20
    static let longestPause: TimeInterval = 5

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                try? await Task.sleep(for: .seconds(min(age, Self.longestPause)))
                if Task.isCancelled { return }
                do {
                    try await finishSome()
                } catch {
                    logger.warning("pending registrations could not be read", metadata: ["reason": "\(error)"])
                }
            }
        }
    }

    private func finishSome() async throws {
        let now = now()
        let pending = try await database.query(
            AccountStore.takePending(before: now.addingTimeInterval(-age), now: now, limit: Self.batch), as: AccountStore.caller)
        for account in pending {
            do {
                let claims = try await completion.askUsers(account)
                let caller = Caller(.person(account.id), tenant: claims.organization.id)
                try await database.transaction(as: caller) { tx in try Sessions.announce(claims, in: tx, nil) }
                try await completion.activate(account, claims, nil)
                logger.notice("a registration that was cut short is complete", metadata: ["userId": "person:\(account.id)"])
            } catch let failure as any Failure {
                logger.warning(
                    "a registration that was cut short cannot be completed",
                    metadata: ["userId": "person:\(account.id)", "problem": "\(failure.code)"])
            }
        }
    }
}
