import Contracts
import Foundation
import Postgres
import Synchronization

/// The way to the rows for everything that is answered: bounded in time, in number, and fair between organizations.
///
/// Reports read many rows; on the connections that they share with ingestion they must not take all of them, nor for long.
struct Answers: Sendable {
    /// The server ends a statement after so long, and the caller is told to ask for less.
    static let patience: Duration = .seconds(8)
    /// Of sorts and groups, before they go to disk.
    static let workMemory = "48MB"

    let folds: Folds
    let turns: AnswerTurns
    /// Rows up to which it is counted one by one.
    let exactRows: Int
    let patience: Duration
    var database: Database { folds.database }

    init(folds: Folds, turns: AnswerTurns = AnswerTurns(), exactRows: Int = Exactness.standardRows, patience: Duration = Self.patience) {
        self.folds = folds
        self.turns = turns
        self.exactRows = exactRows
        self.patience = patience
    }

    /// Throws `AnswerFailure.tooExpensive` when a statement took longer than it may, `AnswerFailure.tooMany` when too many others wait.
    func read<T: Sendable>(
        as caller: Caller, _ body: @escaping @Sendable (Transaction, Exactness) throws -> T
    ) async throws -> T {
        try await inTurn(caller) { try await transaction(caller, body) }
    }

    /// The same, once what has come in is in the roll-ups.
    func readFolded<T: Sendable>(
        as caller: Caller, _ body: @escaping @Sendable (Transaction, Exactness) throws -> T
    ) async throws -> T {
        try await inTurn(caller) {
            // What cannot be folded on the way is folded by the worker soon; figures from roll-ups are then a little behind.
            _ = try await folds.catchUp(as: caller)
            return try await transaction(caller, body)
        }
    }

    private func inTurn<T: Sendable>(_ caller: Caller, _ body: () async throws -> T) async throws -> T {
        try await turns.take(caller.tenant)
        defer { turns.give(caller.tenant) }
        do {
            return try await body()
        } catch let failure as DependencyFailure where failure.isStatementTimeOut {
            throw AnswerFailure.tooExpensive
        }
    }

    private func transaction<T: Sendable>(
        _ caller: Caller, _ body: @escaping @Sendable (Transaction, Exactness) throws -> T
    ) async throws -> T {
        let limit = "\(Int(patience / .milliseconds(1)))ms", exactRows = exactRows
        return try await database.transaction(as: caller) { tx in
            // Each question has a plan of its own: which months and names it is about decides what is best.
            // Compiling costs more than the statements here take.
            _ = try tx.first(
                """
                SELECT set_config('statement_timeout', \(limit), true), set_config('plan_cache_mode', 'force_custom_plan', true),
                    set_config('work_mem', \(Self.workMemory), true), set_config('jit', 'off', true)
                """)
            return try body(tx, Exactness(rows: exactRows, kept: try OrganizationStore(tx: tx).kept()))
        }
    }
}

/// Lets a few answers be read at once, and the others wait for their turn.
final class AnswerTurns: Sendable {
    private struct State {
        var book: TurnBook
        var next = 0
        var waiting: [Int: CheckedContinuation<Void, any Error>] = [:]
    }

    private let state: Mutex<State>

    init(_ limits: TurnBook.Limits = .init()) { state = Mutex(State(book: TurnBook(limits))) }

    /// Returns when it is the caller's turn; each is followed by one `give`. Throws `AnswerFailure.tooMany`, or when the task is cancelled.
    func take(_ tenant: TenantID) async throws {
        let ticket = state.withLock { state in
            state.next += 1
            return state.next
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    // The handler below has run already, and found nobody waiting.
                    if Task.isCancelled { return .failure(CancellationError()) }
                    switch state.book.arrive(ticket, tenant) {
                    case .go: return .success(())
                    case .refused: return .failure(AnswerFailure.tooMany)
                    case .wait:
                        state.waiting[ticket] = continuation
                        return nil
                    }
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiting: CheckedContinuation<Void, any Error>? = state.withLock { state in
                if let waiting = state.waiting[ticket] {
                    guard state.book.giveUp(ticket, tenant) else { return nil }
                    state.waiting[ticket] = nil
                    return waiting
                }
                return nil
            }
            waiting?.resume(throwing: CancellationError())
        }
    }

    /// Calls that wait for their turn.
    var waiting: Int { state.withLock { $0.waiting.count } }

    func give(_ tenant: TenantID) {
        let admitted = state.withLock { state in
            state.book.leave(tenant).compactMap { state.waiting.removeValue(forKey: $0) }
        }
        for continuation in admitted { continuation.resume() }
    }
}
