import Contracts
import Foundation
import Logging
import Postgres
import ServiceLifecycle
import Synchronization

/// Asks once a second what happens in each organization that somebody watches, and tells everyone who watches it: a hundred open pages
/// cost the database as much as one.
final class RealtimeHub: Service, Sendable {
    struct Limits: Sendable {
        /// Streams of one organization, and of this program.
        var streamsPerTenant = 20
        var streams = 1_000
        var interval: Duration = .seconds(1)
    }

    /// An open stream. It leaves when the last reference to it goes, so an answer that is never sent keeps no place.
    final class Seat: Sendable {
        let views: AsyncStream<RealtimeView>
        private let leave: @Sendable () -> Void

        fileprivate init(_ views: AsyncStream<RealtimeView>, leave: @escaping @Sendable () -> Void) {
            self.views = views
            self.leave = leave
        }

        deinit { leave() }
    }

    private struct Room {
        var seats: [Int: AsyncStream<RealtimeView>.Continuation] = [:]
        var last: RealtimeView?
    }

    private struct State {
        var rooms: [TenantID: Room] = [:]
        var next = 0
        var count: Int { rooms.values.reduce(0) { $0 + $1.seats.count } }
    }

    private let database: Database
    private let now: @Sendable () -> Date
    private let limits: Limits
    private let logger: Logger
    private let state = Mutex(State())
    /// Organizations that somebody has begun to watch.
    private let opened = AsyncStream<TenantID>.makeStream()

    init(database: Database, limits: Limits = Limits(), now: @escaping @Sendable () -> Date, logger: Logger) {
        self.database = database
        self.limits = limits
        self.now = now
        self.logger = logger
    }

    /// A place in the organization's room; what is known already comes at once. Throws `AnswerFailure.tooManyStreams`.
    func enter(_ tenant: TenantID) throws -> Seat {
        // Who reads slowly misses what is old.
        let (stream, continuation) = AsyncStream<RealtimeView>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let seat = try state.withLock { state in
            let isNew = state.rooms[tenant] == nil
            guard state.rooms[tenant]?.seats.count ?? 0 < limits.streamsPerTenant, state.count < limits.streams else {
                throw AnswerFailure.tooManyStreams
            }
            state.next += 1
            let number = state.next
            state.rooms[tenant, default: Room()].seats[number] = continuation
            if let last = state.rooms[tenant]?.last { continuation.yield(last) }
            if isNew { opened.continuation.yield(tenant) }
            return number
        }
        return Seat(stream) { [weak self] in self?.leave(tenant, seat) }
    }

    private func leave(_ tenant: TenantID, _ seat: Int) {
        let continuation = state.withLock { state in state.rooms[tenant]?.seats.removeValue(forKey: seat) }
        continuation?.finish()
    }

    /// Streams that are open now.
    var streams: Int { state.withLock { $0.count } }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                for await tenant in self.opened.stream { group.addTask { await self.watch(tenant) } }
                group.cancelAll()
            }
        }
        let open = state.withLock { state in
            defer { state.rooms = [:] }
            return state.rooms.values.flatMap(\.seats.values)
        }
        for continuation in open { continuation.finish() }
    }

    /// Until nobody watches. An organization for which the answer takes long is asked less often, so that watching never takes
    /// more than a quarter of a connection.
    private func watch(_ tenant: TenantID) async {
        let caller = Caller.service(.analytics, for: tenant)
        while !Task.isCancelled {
            let start = ContinuousClock.now
            do {
                let time = now()
                let rows = try await database.query(RealtimeStore.minutes(before: time), as: caller)
                tell(tenant, RealtimeView(now: time, rows: rows))
            } catch is CancellationError {
                return
            } catch {
                // The streams stay open, and get what was known last, so that they know that they are.
                if let last = state.withLock({ $0.rooms[tenant]?.last }) { tell(tenant, last) }
                logger.warning("what happens just now could not be read", metadata: ["error": "\(type(of: error))"])
            }
            let took = ContinuousClock.now - start
            do { try await Task.sleep(for: max(limits.interval - took, took * 3)) } catch { return }
            if isEmpty(tenant) { return }
        }
    }

    private func tell(_ tenant: TenantID, _ view: RealtimeView) {
        let seats = state.withLock { state in
            state.rooms[tenant]?.last = view
            return state.rooms[tenant].map { Array($0.seats.values) } ?? []
        }
        for seat in seats { seat.yield(view) }
    }

    /// Closes the room when nobody is in it.
    private func isEmpty(_ tenant: TenantID) -> Bool {
        state.withLock { state in
            guard state.rooms[tenant]?.seats.isEmpty != false else { return false }
            state.rooms[tenant] = nil
            return true
        }
    }
}
