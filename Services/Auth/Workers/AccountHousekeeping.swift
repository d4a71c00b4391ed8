import Contracts
import Foundation
import Logging
import Postgres
import ServiceKit
import ServiceLifecycle

/// Ends the sessions and API keys that a change of password left, knows what imported hashes cost, and forgets letters and places that are long over.
struct AccountHousekeeping: Service {
    let database: Database
    let sessions: Sessions
    let keys: APIKeyEnding
    let passwords: PasswordHashing
    let now: @Sendable () -> Date
    let logger: Logger
    /// Rows removed by one statement.
    var pruningBatch = 5_000

    static let pause = Duration.seconds(2)
    /// One in so many rounds also prunes.
    static let roundsPerPruning = 300
    /// One in so many looks for imported hashes.
    static let roundsPerLook = 15
    static let batch = 50
    /// So long after a change of password the request that made it has ended what it could. What was under way meanwhile refuses itself
    /// (`Sessions.refuseVoid`).
    static let grace: TimeInterval = 10
    /// How long an expired link is kept: it is counted among those that were asked for.
    static let proofRetention: TimeInterval = 86_400

    func run() async throws {
        await cancelWhenGracefulShutdown {
            var round = 0
            var isAway = false
            while !Task.isCancelled {
                do {
                    try await endSessions()
                    try await endKeys()
                    if round % Self.roundsPerLook == 0 { try await lookForImported() }
                    if round % Self.roundsPerPruning == Self.roundsPerPruning - 1 { try await prune() }
                    isAway = false
                } catch {
                    if !isAway { logger.warning("accounts wait to be looked after", metadata: ["reason": "\(error)"]) }
                    isAway = true
                }
                round += 1
                try? await Task.sleep(for: Self.pause)
            }
        }
    }

    /// What the request has ended already is found ended.
    func endSessions() async throws {
        let now = now()
        let waiting = try await database.query(
            AccountStore.sessionsToEnd(before: now.addingTimeInterval(-Self.grace), limit: Self.batch), as: AccountStore.caller)
        for one in waiting {
            try await sessions.endAll(of: one.account, except: one.kept, begunUntil: one.before, .passwordChanged, at: now, nil)
            try await database.execute(AccountStore.sessionsEnded(one), as: AccountStore.caller)
        }
    }

    /// After the sessions: none of them makes another key.
    func endKeys() async throws {
        let now = now()
        let waiting = try await database.query(
            AccountStore.keysToEnd(before: now.addingTimeInterval(-Self.grace), limit: Self.batch), as: AccountStore.caller)
        for one in waiting {
            try await keys.endAll(of: one.account, .passwordReset, at: now, nil)
            try await database.execute(AccountStore.keysEnded(one), as: AccountStore.caller)
        }
    }

    func lookForImported() async throws {
        let cost = try await database.first(AccountStore.bcryptCost, as: AccountStore.caller)
        passwords.note(bcryptCost: cost ?? nil)
    }

    func prune() async throws {
        let now = now(), batch = pruningBatch
        try await inBatches {
            try await database.execute(
                EmailProofStore.prune(before: now.addingTimeInterval(-Self.proofRetention), limit: batch), as: AccountStore.caller)
        }
        try await inBatches {
            try await database.execute(
                SignInPlaceStore.prune(before: now.addingTimeInterval(-SignInPlaceStore.memory), limit: batch), as: AccountStore.caller)
        }
    }

    private func inBatches(_ remove: () async throws -> Int) async throws {
        var removed: Int
        repeat { removed = try await remove() } while removed == pruningBatch && !Task.isCancelled
    }
}
