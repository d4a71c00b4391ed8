import ArgumentParser
import Contracts
import Foundation
import Kafka
import Messaging
import Synchronization

struct Tail: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print events of a topic as they come.",
        discussion: """
            It joins no group and commits nothing. Without --since or --from-beginning it begins with what comes next; with --once it ends
            at what is there now. For example: trionex-events tail trionex.content.events --since 1h --type article.* --field title=Loom --json
            """)

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var output: OutputOptions
    @OptionGroup var filter: FilterOptions
    @Argument(help: "The topic, such as trionex.content.events.")
    var topic: String
    @Flag(help: "Begin with the oldest event instead of the next.")
    var fromBeginning = false
    @Option(help: "Begin so long ago (90s, 15m, 2h, 3d), or at a time as in RFC 3339.")
    var since: String?
    @Flag(help: "End at what is there now instead of waiting for more.")
    var once = false
    @Option(help: "End after so many events.")
    var most: Int = .max

    func run() async throws {
        let (filter, since, json, most) = (try filter.filter(), try pastTime(since), output.json, most)
        _ = try await brokers.partitions(of: topic)
        let shown = Mutex(0)
        let onlyNew = since == nil && !fromBeginning && !once
        try await brokers.reader.scan(topic, since: since, onlyNew: onlyNew, follow: !once) { messages in
            for message in messages where filter.matches(message) {
                let text = EventText(message)
                write(json ? text.line : text.row)
                let isEnough = shown.withLock { shown in
                    shown += 1
                    return shown >= most
                }
                if isEnough { return false }
            }
            return true
        }
    }
}

struct Inspect: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print one event whole: where it lies, its headers, its payload, and whether it keeps its contract.",
        discussion: "For example: trionex-events inspect trionex.content.events 2:1042, or inspect trionex.content.events --id 0197b1c0-…")

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The topic.")
    var topic: String
    @Argument(help: "PARTITION:OFFSET, as tail prints it.")
    var place: String?
    @Option(help: "The event's id instead: the topic is read from its beginning.")
    var id: String?

    func validate() throws {
        guard (place == nil) != (id == nil) else { throw ValidationError("Name PARTITION:OFFSET, or give --id.") }
    }

    func run() async throws {
        _ = try await brokers.partitions(of: topic)
        guard let message = try await found() else {
            throw Trouble.notThere("there is no such event on \(topic); it may never have been, or be too old")
        }
        let text = EventText(message)
        guard !output.json else { return write(text.line) }
        write(text.page)
        guard !topic.hasSuffix(".dlq") else { return }
        let breaks = try Documents.contracts(nil).breaks(of: message)
        write("contract\n  " + (breaks.isEmpty ? "kept" : breaks.joined(separator: "\n  ")))
    }

    private func found() async throws -> KafkaMessage? {
        let reader = try brokers.reader
        if let id {
            let found = Mutex<KafkaMessage?>(nil)
            try await reader.scan(topic) { messages in
                guard let message = messages.first(where: { $0.text("ce_id") == id.lowercased() }) else { return true }
                found.withLock { $0 = message }
                return false
            }
            return found.withLock { $0 }
        }
        let parts = (place ?? "").split(separator: ":")
        guard parts.count == 2, let partition = Int32(parts[0]), let offset = Int64(parts[1]) else {
            throw ValidationError("\(place ?? ""): write PARTITION:OFFSET, such as 2:1042")
        }
        return try await reader.message(at: TopicPartition(topic, partition), offset: offset)
    }
}
