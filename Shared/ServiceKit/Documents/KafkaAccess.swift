package import Contracts
import Messaging

/// Who reads and writes which topic, from the programs' own declarations: a page for the operator of a cluster, with the commands.
package struct KafkaAccess {
    private struct Service {
        let name: ServiceName
        let groups: [(name: String, topics: [String])]
    }

    private static let partitions = 24
    private static let deadLetterPartitions = 6
    private static let days = 7
    private static let auditDays = 30
    private static let deadLetterDays = 14
    /// Milliseconds.
    private static let day = 86_400_000

    private var services: [Service] = []

    package init() {}

    /// A program with a database of its own, and what it follows.
    package mutating func add(_ name: ServiceName, _ consumption: [Consumption]) {
        services.append(
            Service(name: name, groups: consumption.map { (EventConsumer.group(service: name, consumer: $0.name), $0.topics) }))
    }

    /// What a service may announce: its own events, and those that come from every service.
    private static func written(by service: ServiceName) -> [String] {
        Topic.all.filter { topic in
            topic == .audit || topic == .usage || topic.owner == service.rawValue
        }.map(\.name)
    }

    private var groups: [(name: String, topics: [String], service: ServiceName)] {
        services.flatMap { service in service.groups.map { ($0.name, $0.topics, service.name) } }
    }

    private var topics: [(name: String, partitions: Int, retention: Int)] {
        let streams: [(name: String, partitions: Int, retention: Int)] = Topic.all.map { topic in
            let days = topic == .audit ? Self.auditDays : Self.days
            return (topic.name, Self.partitions, days * Self.day)
        }
        return streams + groups.map { (DeadLetter.topic(of: $0.name), Self.deadLetterPartitions, Self.deadLetterDays * Self.day) }
    }

    // MARK: - The page

    package var page: String {
        """
        # Topics and rights

        Written by `make docs` from what the programs declare; [README.md](README.md) says what the numbers mean. The principal of a program is its name.
        Nobody may create or alter topics. `operator` is whoever uses `trionex-events`.

        | principal | writes | reads | as group |
        |---|---|---|---|
        \(rows.joined(separator: "\n"))

        ## Topics

        ```sh
        \(topicCommands.joined(separator: "\n"))
        ```

        ## Rights

        Before Kafka 3.0 writing also needs `--operation IdempotentWrite --cluster` for each principal.

        ```sh
        \(rightCommands.joined(separator: "\n"))
        ```

        """
    }

    private var rows: [String] {
        let ofServices = services.flatMap { service -> [String] in
            let written = Self.written(by: service.name) + service.groups.map { DeadLetter.topic(of: $0.name) }
            guard !service.groups.isEmpty else { return ["| \(service.name) | \(Self.list(written)) | – | – |"] }
            return service.groups.enumerated().map { index, group in
                let own = index == 0 ? (service.name.rawValue, Self.list(written)) : ("", "")
                return "| \(own.0) | \(own.1) | \(Self.list(group.topics)) | `\(group.name)` |"
            }
        }
        return ofServices + ["| operator | all | all | all, to look at them and to reset them |"]
    }

    private static func list(_ names: [String]) -> String { names.map { "`\($0)`" }.joined(separator: " ") }

    private var topicCommands: [String] {
        topics.map { topic in
            "kafka-topics.sh --bootstrap-server $BROKERS --create --if-not-exists --topic \(topic.name) --partitions \(topic.partitions) "
                + "--replication-factor 3 --config min.insync.replicas=2 --config retention.ms=\(topic.retention)"
        }
    }

    private var rightCommands: [String] {
        let ofOperator = [
            Self.allow(
                "operator", "--operation Read --operation Write --operation Describe --topic trionex. --resource-pattern-type prefixed"),
            Self.allow("operator", "--operation Read --operation Describe --group trionex --resource-pattern-type prefixed"),
        ]
        return services.flatMap { rights(of: $0) } + ofOperator
    }

    private func rights(of service: Service) -> [String] {
        let name = service.name.rawValue
        let graves: [String] = service.groups.map { DeadLetter.topic(of: $0.name) }
        let read: [String] = Set(service.groups.flatMap(\.topics)).sorted()
        var commands: [String] = []
        for topic in Self.written(by: service.name) + graves {
            commands.append(Self.allow(name, "--operation Write --operation Describe --topic \(topic)"))
        }
        for topic in read { commands.append(Self.allow(name, "--operation Read --operation Describe --topic \(topic)")) }
        for group in service.groups { commands.append(Self.allow(name, "--operation Read --operation Describe --group \(group.name)")) }
        return commands
    }

    private static func allow(_ principal: String, _ what: String) -> String {
        "kafka-acls.sh --bootstrap-server $BROKERS --add --allow-principal User:\(principal) \(what)"
    }
}
