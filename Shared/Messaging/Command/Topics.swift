import ArgumentParser
import Contracts
import Foundation
import Kafka
import Messaging

/// Consumer groups as the brokers list them, or as the platform knows its own.
enum Groups {
    /// How far a group is behind in the topics that it follows: those of which it has committed in any partition. A partition whose very first
    /// record it cannot handle has no commit and counts all the same.
    static func lag(of group: String, topics: [String], _ reader: KafkaReader) async throws -> [KafkaReader.Lag] {
        let lags = try await reader.lag(of: group, topics: topics)
        let followed = Set(lags.filter { $0.committed != nil }.map(\.place.topic))
        return lags.filter { followed.contains($0.place.topic) }
    }

    static func all(_ reader: KafkaReader) async throws -> [String] {
        let listed = try await reader.groups() ?? []
        return Set(listed.filter { $0.hasPrefix("trionex.") } + KnownGroups.all).sorted()
    }
}

struct Topics: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "List topics: partitions, records, the types they carry, and how far behind each group is.",
        discussion: "Groups are those that the brokers list and the platform's own; a group shows at a topic of which it has committed.")

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var output: OutputOptions

    struct Behind: Encodable {
        let group: String
        let behind: Int64
    }
    struct Line: Encodable {
        let topic: String
        let partitions: Int
        let records: Int64
        let types: [String]
        let groups: [Behind]
    }

    func run() async throws {
        let reader = try brokers.reader
        let topics = try await reader.topics(prefix: "trionex.")
        var behind: [String: [Behind]] = [:]
        let names = topics.map(\.topic).filter { !$0.hasSuffix(".dlq") }
        for group in try await Groups.all(reader) {
            let lags = try await Groups.lag(of: group, topics: names, reader)
            for (topic, ofTopic) in Dictionary(grouping: lags, by: \.place.topic) {
                behind[topic, default: []].append(Behind(group: group, behind: ofTopic.reduce(0) { $0 + $1.records }))
            }
        }
        for topic in topics {
            let types = EventCatalog.all.filter { $0.topic.name == topic.topic }.map { $0.type }.sorted()
            let line = Line(
                topic: topic.topic, partitions: topic.partitions.count, records: topic.records, types: types,
                groups: behind[topic.topic] ?? [])
            let rest = types.map { "    " + $0 } + line.groups.map { "    \($0.group) is \($0.behind) behind" }
            try output.print(
                line, (["\(line.topic)  \(line.partitions) partitions  \(line.records) records"] + rest).joined(separator: "\n"))
        }
    }
}

struct Lag: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print how many records consumer groups have not handled yet, by partition.",
        discussion: "With --most it exits 1 when a group is further behind than that, for scripts and probes.")

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The groups, such as trionex.search.index; all when absent.")
    var groups: [String] = []
    @Option(help: "Only this topic.")
    var topic: String?
    @Option(help: "Exit 1 when a group is more than so many records behind.")
    var most: Int64?

    struct Line: Encodable {
        let group: String
        let topic: String
        let partition: Int32
        let committed: Int64?
        let end: Int64
        let behind: Int64
    }

    func run() async throws {
        let reader = try brokers.reader
        let all = try await reader.topics(prefix: "trionex.").map(\.topic).filter { !$0.hasSuffix(".dlq") }
        let topics = topic.map { [$0] } ?? all
        var late: [String] = []
        for group in groups.isEmpty ? try await Groups.all(reader) : groups {
            // Of the one topic that is asked for also a group shows that has never committed.
            let lags =
                topic == nil ? try await Groups.lag(of: group, topics: topics, reader) : try await reader.lag(of: group, topics: topics)
            if lags.isEmpty, !groups.isEmpty {
                throw Trouble.notThere("\(group) has never committed: there is no such group, or it is new")
            }
            for lag in lags {
                try output.print(
                    Line(
                        group: group, topic: lag.place.topic, partition: lag.place.partition, committed: lag.committed, end: lag.end,
                        behind: lag.records),
                    "\(group)  \(lag.place)  committed \(lag.committed.map { "\($0)" } ?? "never")  end \(lag.end)  behind \(lag.records)")
            }
            let behind = lags.reduce(0) { $0 + $1.records }
            if let most, behind > most { late.append("\(group) is \(behind) behind") }
        }
        guard late.isEmpty else { throw Trouble(description: late.joined(separator: "; "), code: 1) }
    }
}
