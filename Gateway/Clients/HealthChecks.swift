import AsyncHTTPClient
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import ServiceLifecycle
import Synchronization

/// Asks each replica how it is, where there is another to turn to or the gateway file wants it.
///
/// Any answer below 500 is a sign of life, also a 404: any HTTP server can be an upstream. Each question has a connection of its own, so
/// that it sees whether a new one is taken.
final class HealthChecks: Service {
    /// How often it is looked who is due; the shortest interval is as long.
    static let step: Duration = .milliseconds(100)
    /// Of the interval, more or less, so that the gateways of a platform do not ask in step.
    static let jitter = 0.2
    /// Under way at once, of all groups.
    static let concurrency = 64

    private struct Standing: Sendable {
        var dueAt: UInt64
        var good = 0
        var bad = 0
        var isAsked = false
    }

    private let groups: UpstreamGroups
    private let now: @Sendable () -> UInt64
    private let logger: Logger
    /// By replica.
    private let standings = Mutex<[Int: Standing]>([:])

    init(groups: UpstreamGroups, now: @escaping @Sendable () -> UInt64 = { Monotonic.now() }, logger: Logger) {
        self.groups = groups
        self.now = now
        self.logger = logger
    }

    func run() async throws {
        var configuration = HTTPClient.Configuration()
        configuration.redirectConfiguration = .disallow
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        // Health checks are no part of any trace.
        configuration.tracing.tracer = nil
        let client = HTTPClient(eventLoopGroup: MultiThreadedEventLoopGroup.singleton, configuration: configuration)
        await cancelWhenGracefulShutdown { [self] in
            await withDiscardingTaskGroup { tasks in
                while !Task.isCancelled {
                    for (group, replica) in due() {
                        tasks.addTask { [self] in await ask(replica, of: group, client) }
                    }
                    try? await Task.sleep(for: Self.step)
                }
            }
        }
        try await client.shutdown()
    }

    /// Who is to be asked now; each is due again an interval later.
    private func due() -> [(UpstreamGroup, Replica)] {
        let time = now()
        let checked = groups.all.filter(\.spec.checksHealth)
        return standings.withLock { standings in
            let known = Set(checked.flatMap { $0.replicas.map(\.id) })
            standings = standings.filter { known.contains($0.key) }
            var running = standings.values.count(where: \.isAsked)
            var due: [(UpstreamGroup, Replica)] = []
            for group in checked {
                for replica in group.replicas {
                    // The first question comes at once: a replica that is away should not get the first requests.
                    var standing = standings[replica.id] ?? Standing(dueAt: time)
                    if standing.dueAt <= time, !standing.isAsked, running < Self.concurrency {
                        standing.isAsked = true
                        standing.dueAt = time &+ Self.jittered(group.spec.health.interval)
                        running += 1
                        due.append((group, replica))
                    }
                    standings[replica.id] = standing
                }
            }
            return due
        }
    }

    private static func jittered(_ interval: UInt64) -> UInt64 {
        UInt64(Double(interval) * Double.random(in: (1 - jitter)...(1 + jitter)))
    }

    private func ask(_ replica: Replica, of group: UpstreamGroup, _ client: HTTPClient) async {
        let health = group.spec.health
        var request = HTTPClientRequest(url: "http://\(replica.authority)\(health.path)")
        request.headers = ["User-Agent": "trionex-gateway", "Accept": "*/*", "Connection": "close"]
        let found: Bool
        var reason = ""
        do {
            let answer = try await client.execute(request, timeout: .nanoseconds(Int64(clamping: health.timeout)))
            found = answer.status.code < 500
            reason = "status \(answer.status.code)"
        } catch {
            found = false
            reason = "\(error)"
        }
        guard !Task.isCancelled else { return }
        note(found, replica, group, reason)
    }

    private func note(_ isGood: Bool, _ replica: Replica, _ group: UpstreamGroup, _ reason: String) {
        let health = group.spec.health
        let verdict: Bool? = standings.withLock { standings in
            guard var standing = standings[replica.id] else { return nil }
            standing.isAsked = false
            standing.good = isGood ? standing.good + 1 : 0
            standing.bad = isGood ? 0 : standing.bad + 1
            standings[replica.id] = standing
            return standing.good >= health.healthyAfter ? true : standing.bad >= health.unhealthyAfter ? false : nil
        }
        guard let verdict else { return }
        // Told to the group as it is now: the file may have changed while the question was under way.
        let present = groups[group.name].flatMap { $0.replicas.contains { $0 === replica } ? $0 : nil } ?? group
        guard present.setHealthy(replica, verdict, now: now()) else { return }
        let metadata: Logger.Metadata = ["upstream": "\(group.name)", "replica": "\(replica.authority)", "reason": "\(reason)"]
        if verdict {
            logger.notice("a replica is healthy again", metadata: metadata)
        } else {
            logger.warning("a replica is unhealthy", metadata: metadata)
        }
    }
}
