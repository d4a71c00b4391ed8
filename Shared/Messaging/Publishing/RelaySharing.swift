import Contracts
import Foundation
import Logging
import Postgres
import Synchronization

/// What relays of one service tell each other, by NOTIFY on `outbox_<service>`. Lost messages cost time, never events.
enum RelayMessage: Equatable {
    /// This relay has seen a commit; there may be something for others.
    case news(from: UUID)
    /// Shards have become free.
    case share
    /// A relay finds out whether notifications reach it.
    case probe(from: UUID)

    var text: String {
        switch self {
        case .news(let relay): "news \(relay)"
        case .share: "share"
        case .probe(let relay): "probe \(relay)"
        }
    }

    init?(_ text: String) {
        let words = text.split(separator: " ")
        switch (words.first, words.count == 2 ? UUID(uuidString: String(words[1])) : nil) {
        case ("news", let relay?): self = .news(from: relay)
        case ("probe", let relay?): self = .probe(from: relay)
        case ("share", nil): self = .share
        default: return nil
        }
    }

    static func channel(_ service: ServiceName) -> String { "outbox_\(service)" }
}

// MARK: - Shards

extension OutboxRelay {
    func shareUntilCancelled() async {
        while !Task.isCancelled {
            await share()
            await shareSignal.sleep(atMost: min(limits.leaseRetry, limits.lease / 3))
        }
    }

    /// Renews the lease, gives up shards that are too many and takes those that are free, so that all relays have about as many.
    private func share() async {
        let (began, holder, limits, channel) = (ContinuousClock.now, holder, limits, RelayMessage.channel(service))
        // Those it has stopped working on, once nothing of them is under way, may go.
        let idle = state.withLock { state in
            state.held.filter { !state.schedule.shards.contains($0) && !state.schedule.isOut($0) }
        }
        do {
            let (standing, held) = try await database.platform(PlatformWork("outbox relay")) { tx in
                let shards = OutboxShards(tx: tx)
                let standing = try shards.renew(holder, for: limits.lease)
                var held = Set(standing.mine)
                let surplus = idle.intersection(held).sorted().prefix(max(0, held.count - standing.share))
                if !surplus.isEmpty {
                    try shards.give(Array(surplus), of: holder)
                    try OutboxQueue(tx: tx).tell(channel, RelayMessage.share.text)
                    held.subtract(surplus)
                }
                if held.count < standing.share, !standing.free.isEmpty {
                    held.formUnion(try shards.take(standing.share - held.count, for: holder))
                }
                // One that has just come: the others give up some of theirs.
                if held.isEmpty { try OutboxQueue(tx: tx).tell(channel, RelayMessage.share.text) }
                return (standing, held)
            }
            let mayGive = state.withLock { state in
                state.hold(held, standing, until: began + limits.lease)
                return state.held.contains { !state.schedule.shards.contains($0) && !state.schedule.isOut($0) }
            }
            signal.wake()
            if mayGive { shareSignal.wake() }
        } catch {
            // The lease runs out by itself.
            if !Task.isCancelled { logger.debug("outbox lease", metadata: ["reason": "\(FailureReason.text(error))"]) }
        }
    }

    /// Lets others take the shards at once; without it they would when the lease has run out.
    func leave() async {
        let (holder, channel) = (holder, RelayMessage.channel(service))
        state.withLock { state in
            state.leasedUntil = nil
            state.held = []
            state.schedule.keep([])
            state.forgetSeen()
        }
        // A new task, as this one may be cancelled.
        try? await Task {
            try await self.database.platform(PlatformWork("outbox relay")) { tx in
                try OutboxShards(tx: tx).leave(holder)
                try OutboxQueue(tx: tx).tell(channel, RelayMessage.share.text)
            }
        }.value
    }
}

extension OutboxRelay.State {
    /// The shards that it holds now, of which it works on its part. Those it worked on before come first, so that only what is too many
    /// changes hands.
    mutating func hold(_ held: Set<Int32>, _ standing: OutboxShards.Standing, until end: ContinuousClock.Instant) {
        leasedUntil = end
        relays = standing.relays
        self.held = held
        let before = schedule.shards
        let inOrder = before.intersection(held).sorted() + held.subtracting(before).sorted()
        let next = Set(inOrder.prefix(standing.share))
        if !next.isSubset(of: before) { forgetSeen() }
        schedule.keep(next)
    }
}

// MARK: - Waking each other

extension OutboxRelay {
    /// Only while there are others: a relay alone sees its own commits.
    func listenUntilCancelled() async {
        while !Task.isCancelled {
            if state.withLock({ $0.relays > 1 }) {
                for await text in database.listen(RelayMessage.channel(service)) { await hear(text) }
                state.withLock { $0.hears = false }
            }
            try? await Task.sleep(for: limits.leaseRetry)
        }
    }

    private func hear(_ text: String) async {
        guard !text.isEmpty else {
            // Connected: what was told before is lost. Whether anything arrives at all shows only by trying (PgBouncer takes LISTEN and
            // forgets it).
            state.withLock { $0.hears = false }
            wakeForNews()
            return await tell(.probe(from: holder))
        }
        switch RelayMessage(text) {
        case .news(holder): return
        case .news: wakeForNews()
        case .probe(holder): state.withLock { $0.hears = true }
        case .share: shareSignal.wake()
        case .probe, nil: return
        }
    }

    private func wakeForNews() {
        state.withLock { $0.isNewsWanted = true }
        signal.wake()
    }

    /// Passes commits of this process on to the relays that have the other shards. In a transaction of its own: a NOTIFY in those that
    /// announce would make them commit one after the other, on the whole server.
    func tellUntilCancelled() async {
        while !Task.isCancelled {
            await tellSignal.sleep(atMost: limits.relaxedPoll)
            let isWanted = state.withLock { state in
                defer { state.isTellWanted = false }
                return state.isTellWanted
            }
            guard isWanted else { continue }
            await tell(.news(from: holder))
            try? await Task.sleep(for: Limits.tellInterval)
        }
    }

    private func tell(_ message: RelayMessage) async {
        let channel = RelayMessage.channel(service)
        // Lost, it is found by the others' poll.
        try? await database.platform(PlatformWork("outbox relay")) { try OutboxQueue(tx: $0).tell(channel, message.text) }
    }
}
