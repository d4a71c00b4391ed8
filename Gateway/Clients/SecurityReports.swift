import Contracts
import HTTPTypes
import Logging
import Metrics
import ServiceKit
import ServiceLifecycle

/// Tells users of what an organization's audit trail should have, in the background: no request waits for it.
///
/// The queue is bounded. What does not fit, or cannot be told while users is away, is in the log and the metrics all the same.
final class SecurityReports: Service {
    static let capacity = 1_000
    /// Tries for one report, and the pause between two.
    static let tries = 5
    static let pause = Duration.seconds(2)

    private let neighbours: Neighbours
    private let logger: Logger
    private let stream: AsyncStream<SecurityEventReport>
    private let queue: AsyncStream<SecurityEventReport>.Continuation
    private let lost = Counter(label: "trionex_gateway_security_reports_lost_total")

    init(neighbours: Neighbours, logger: Logger) {
        self.neighbours = neighbours
        self.logger = logger
        (stream, queue) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.capacity))
    }

    func report(_ event: SecurityEventReport) {
        if case .dropped = queue.yield(event) { lost.increment() }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown { [self] in
            for await event in stream { await tell(event) }
        }
    }

    private func tell(_ event: SecurityEventReport) async {
        for attempt in 1...Self.tries {
            do {
                try await neighbours.call(.post, .users, "/internal/v1/security-events", body: event)
                return
            } catch let refusal as RemoteFailure {
                logger.error("a security event was refused", metadata: ["status": "\(refusal.status)", "problem": "\(refusal.code)"])
                break
            } catch {
                if attempt == Self.tries || Task.isCancelled { break }
                try? await Task.sleep(for: Self.pause)
            }
        }
        lost.increment()
    }
}
