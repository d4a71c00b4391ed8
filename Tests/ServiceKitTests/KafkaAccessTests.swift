import Contracts
import Messaging
import Postgres
import ServiceKit
import Testing

@Suite("Rights on topics")
struct KafkaAccessTests {
    private struct Follow: EventHandler {
        func handle(_ event: ArticlePublished, _ envelope: EventEnvelope, in tx: Transaction) throws {}
    }

    private let page: String

    init() {
        var access = KafkaAccess()
        access.add(.search, [Consumption("index", Follow())])
        access.add(.files, [])
        page = access.page
    }

    private func rights(_ principal: String, _ operation: String) -> Set<Substring> {
        Set(
            page.split(separator: "\n").filter { $0.contains("User:\(principal) ") && $0.contains("--operation \(operation) ") }
                .compactMap { $0.split(separator: " ").last })
    }

    @Test("A service writes its own topic, the common ones and its dead letters, and reads what its handlers handle")
    func leastRights() {
        #expect(rights("search", "Read") == ["trionex.content.events", "trionex.search.index"])
        #expect(rights("search", "Write") == ["trionex.audit", "trionex.usage", "trionex.search.index.dlq"])
        #expect(rights("files", "Write") == ["trionex.files.events", "trionex.audit", "trionex.usage"])
        #expect(rights("files", "Read").isEmpty)
    }

    @Test("Every topic is made with three replicas of which two must confirm, dead letters too")
    func topics() {
        let commands = page.split(separator: "\n").filter { $0.hasPrefix("kafka-topics.sh") }
        #expect(commands.count == Topic.all.count + 1)
        #expect(commands.allSatisfy { $0.contains("--replication-factor 3 --config min.insync.replicas=2") })
        #expect(commands.contains { $0.contains("--topic trionex.search.index.dlq ") })
    }
}
