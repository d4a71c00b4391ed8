import Contracts
import Logging
import ServiceLifecycle
import Synchronization

/// Takes what is due whenever the bell rings, and each second, as much at once as there are free slots, and hands it to whoever does it.
///
/// What has begun is finished, also while the program stops.
struct DueWork<Item: Sendable>: Sendable {
    /// For the log.
    let what: String
    /// Items under way at once.
    let slots: Int
    let bell: Bell
    let logger: Logger
    /// Takes at most so many, of the organizations in turn from the one after the given one.
    let take: @Sendable (Int, TenantID?) async throws -> [Item]
    let tenant: @Sendable (Item) -> TenantID
    let perform: @Sendable (Item) async -> Void
    private let flights = Flights()
    private let isAway = TroubleFlag()

    /// How often it looks without being woken.
    static var pollPause: Duration { .seconds(1) }

    init(
        _ what: String, slots: Int, bell: Bell, logger: Logger, take: @escaping @Sendable (Int, TenantID?) async throws -> [Item],
        tenant: @escaping @Sendable (Item) -> TenantID, perform: @escaping @Sendable (Item) async -> Void
    ) {
        self.what = what
        self.slots = slots
        self.bell = bell
        self.logger = logger
        self.take = take
        self.tenant = tenant
        self.perform = perform
    }

    /// Until the program stops.
    func run() async {
        let clock = Task {
            while !Task.isCancelled {
                bell.ring()
                try? await Task.sleep(for: Self.pollPause)
            }
        }
        await cancelWhenGracefulShutdown {
            var last: TenantID?
            for await _ in bell.rings { last = await takeDue(after: last) }
        }
        clock.cancel()
        await flights.landed()
    }

    /// Fills the free slots; returns the organization to go on behind.
    private func takeDue(after last: TenantID?) async -> TenantID? {
        var last = last
        while !Task.isCancelled {
            let free = slots - flights.count
            guard free > 0 else { return last }
            do {
                let taken = try await take(free, last)
                isAway.lower()
                guard let final = taken.last else { return last }
                last = tenant(final)
                for item in taken { start(item) }
            } catch is CancellationError {
                return last
            } catch {
                if isAway.raise() { logger.warning("\(what) could not be read", metadata: ["reason": "\(error)"]) }
                return last
            }
        }
        return last
    }

    private func start(_ item: Item) {
        flights.begin()
        Task {
            await perform(item)
            flights.end()
            bell.ring()
        }
    }
}

/// Writes an outcome down, again and again while the database is away.
enum Outcome {
    /// Tries before the lease is left to run out.
    static let tries = 10

    static func write(_ what: Logger.Metadata, logger: Logger, _ write: () async throws -> Void) async {
        for attempt in 1...tries {
            do {
                return try await write()
            } catch {
                logger.warning(
                    "the outcome of a delivery could not be written", metadata: what.merging(["reason": "\(error)"]) { $1 })
                try? await Task.sleep(for: .seconds(min(attempt, 5)))
            }
        }
    }
}

/// Says whether trouble has just begun, so that it is logged once and not every second.
private final class TroubleFlag: Sendable {
    private let isUp = Mutex(false)

    /// Whether it was down.
    func raise() -> Bool {
        isUp.withLock { up in
            defer { up = true }
            return !up
        }
    }

    func lower() { isUp.withLock { $0 = false } }
}
