package import Logging
import ServiceLifecycle

/// Reads topics as a member of a consumer group. Nothing is committed but what the program commits.
///
/// Works from `init` on, in a thread of its own, and reconnects by itself. When a rebalance takes a partition away, what waits of
/// it is dropped, and commits of it are ignored (`owns` tells): the new owner begins at the last commit.
package final class KafkaConsumer: Service, Sendable {
    package let group: String
    package let topics: [String]
    private let state: ConsumerState
    private let loop: ConsumerLoop

    /// - Parameters:
    ///   - fromBeginning: where a group begins that has never committed: at the oldest record or at what comes next.
    /// Fails with `.misconfigured` when the settings cannot work; a broker that is away is no failure here.
    package init(
        _ configuration: KafkaConfiguration, group: String, topics: [String], fromBeginning: Bool = true, logger: Logger
    ) throws(KafkaFailure) {
        let problems = configuration.problems + (topics.isEmpty ? ["a consumer needs a topic"] : [])
        guard problems.isEmpty else { throw .misconfigured(problems) }
        self.group = group
        self.topics = topics
        state = ConsumerState()
        loop = try ConsumerLoop(
            settings: configuration.consumerSettings(group: group, fromBeginning: fromBeginning), security: configuration.security,
            group: group, topics: topics,
            state: state, logger: logger)
        loop.start()
    }

    /// A consumer that is let go without `close` leaves its group too.
    deinit { state.stop() }

    /// The next messages in order of each partition, at least one; waits for them. Nil when the consumer is closed or the task cancelled.
    /// One task at a time may wait. Handling may take `maximumPollInterval`; the consumer stays a member meanwhile.
    package func next(max most: Int = 500) async -> [KafkaMessage]? { await state.next(most) }

    /// Whether the message's partition is still ours by the assignment that brought it.
    package func owns(_ message: KafkaMessage) -> Bool { owns(message.place, assignment: message.assignment) }

    /// Whether the partition is still ours by that assignment.
    package func owns(_ place: TopicPartition, assignment: Int) -> Bool { state.assignment(of: place) == assignment }

    /// The partitions that are ours just now.
    package var assigned: [TopicPartition] { state.assigned }

    /// Tells the brokers up to where the partitions have been handled, without waiting. Positions in partitions that are no
    /// longer ours are ignored. What fails is logged and made good by the next commit.
    package func commit(_ positions: [KafkaPosition]) { loop.commit(positions) }

    /// The same, and waits for the brokers' answer.
    package func commitAndWait(_ positions: [KafkaPosition]) async throws { try await loop.commitAndWait(positions) }

    /// Commits these places as they are, of the partitions that are ours.
    func rewind(to offsets: [(TopicPartition, Int64)]) async throws {
        let positions = offsets.compactMap { place, offset in
            state.assignment(of: place).map { KafkaPosition(place, offset: offset, assignment: $0) }
        }
        try await loop.commitAndWait(positions)
    }

    /// Records in our partitions that are not handled yet, by the last that the library has heard. Partitions not read yet are missing.
    package func lag() -> [TopicPartition: Int64] { loop.lag() }

    /// Leaves the group, so that others get the partitions at once, and ends `next`.
    package func close() async {
        state.stop()
        await state.stopped()
    }

    /// Until the program shuts down or the consumer is closed.
    package func run() async throws {
        await cancelWhenGracefulShutdown { await self.state.stopped() }
        await close()
    }
}
