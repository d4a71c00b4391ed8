import Contracts
import Kafka
import Logging
import ServiceLifecycle
import Synchronization

/// Purges the cache by the events of the services: what an event may have changed is not given out again.
///
/// Every replica reads all events, so each is a consumer group of its own, under a name of chance. It commits nothing: what
/// happened before it came is not in its memory. While no partition is assigned, events may go by unseen; so when partitions come back,
/// all of the memory is let go. Without Kafka the cache works on, and answers are as old at most as their services allow.
final class CachePurge: Service {
    /// Which services' answers an event of a topic may concern. Sign-ins and usage concern none, and come too often.
    static let concerned: [Topic: [ServiceName]] = [
        .content: [.content, .search], .users: [.users], .files: [.files, .search], .assistant: [.assistant],
        .notifications: [.notifications],
    ]
    /// Nothing of an organization that is suspended or gone is given out any more, whatever service it is from.
    private static let endings: Set<String> = [OrganizationSuspended.type, OrganizationDeleted.type]
    private static let watchInterval: Duration = .milliseconds(250)
    static let batch = 500

    private let cache: ResponseCache
    private let kafka: KafkaConfiguration
    private let logger: Logger
    private let group = "trionex.gateway.cache." + String(UInt64.random(in: .min ... .max), radix: 36)

    private let follows = Atomic(false)

    /// Whether it hears of events just now.
    var isFollowing: Bool { follows.load(ordering: .acquiring) }

    init(cache: ResponseCache, kafka: KafkaConfiguration, logger: Logger) {
        self.cache = cache
        self.kafka = kafka
        self.logger = logger
    }

    func run() async throws {
        let consumer = try KafkaConsumer(
            kafka, group: group, topics: Self.concerned.keys.map(\.name).sorted(), fromBeginning: false, logger: logger)
        await cancelWhenGracefulShutdown {
            await withTaskGroup(of: Void.self) { tasks in
                tasks.addTask { await self.watch(consumer) }
                tasks.addTask {
                    while let messages = await consumer.next(max: Self.batch) { await self.purge(messages) }
                }
                await tasks.next()
                tasks.cancelAll()
            }
        }
        await consumer.close()
    }

    /// One purge for all events of a batch that concern the same.
    func purge(_ messages: [KafkaMessage]) async {
        var affected: [String: Set<ServiceName>] = [:]
        for message in messages {
            guard let tenant = message.text("ce_tenantid").flatMap({ TenantID($0) })?.description else { continue }
            let services = Self.services(of: message.topic, type: message.text("ce_type"))
            affected[tenant, default: []].formUnion(services)
            // What anybody may read may tell of it too.
            affected[CacheScope.everybody, default: []].formUnion(services)
        }
        for (tenant, services) in affected { await cache.purge(tenant: tenant, services: Array(services)) }
    }

    static func services(of topic: String, type: String?) -> [ServiceName] {
        if let type, endings.contains(type) { return Array(Set(concerned.values.joined())) + [.auth, .analytics] }
        return concerned.first { $0.key.name == topic }?.value ?? []
    }

    private func watch(_ consumer: KafkaConsumer) async {
        var isAssigned = false
        while (try? await Task.sleep(for: Self.watchInterval)) != nil {
            let hasPartitions = !consumer.assigned.isEmpty
            if hasPartitions, !isAssigned {
                cache.forgetAll()
                logger.info("the cache is purged by events from here on")
            }
            isAssigned = hasPartitions
            follows.store(isAssigned, ordering: .releasing)
        }
    }
}
