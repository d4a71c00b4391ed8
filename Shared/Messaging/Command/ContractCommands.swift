import ArgumentParser
import Contracts
import Foundation
import Kafka
import Messaging
import ServiceKit
import Synchronization

/// AsyncAPI documents.
enum Documents {
    /// Of a file, or the one that this program was built with.
    static func contracts(_ file: String?) throws -> EventContracts {
        guard let file else { return try EventContracts(asyncAPI: AsyncAPI.document()) }
        guard let data = FileManager.default.contents(atPath: file) else { throw Trouble.notThere("\(file) cannot be read") }
        guard let document = try? JSON.decode(JSONValue.self, from: data) else { throw ValidationError("\(file) is no JSON") }
        do {
            return try EventContracts(asyncAPI: document)
        } catch {
            throw ValidationError("\(file): \(error)")
        }
    }
}

struct Validate: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Hold every message of topics against the AsyncAPI document: headers, key, payload.",
        discussion: "Exits 1 when a message breaks its contract, and says which and where.")

    @OptionGroup var brokers: BrokerOptions
    @OptionGroup var output: OutputOptions
    @Argument(help: "The topics; all of the document when absent.")
    var topics: [String] = []
    @Option(help: "Only what was published since: 90s, 15m, 2h, 3d, or a time as in RFC 3339.")
    var since: String?
    @Option(help: "An AsyncAPI document; when absent, the one that this program was built with.")
    var document: String?
    @Option(help: "Show so many at most.")
    var most = 100

    struct Line: Encodable {
        let topic: String
        let partition: Int32
        let offset: Int64
        let id: String?
        let type: String?
        let breaks: [String]
    }

    func run() async throws {
        let contracts = try Documents.contracts(document)
        let (since, output, most) = (try pastTime(since), output, most)
        let counts = Mutex((read: 0, broken: 0))
        for topic in topics.isEmpty ? contracts.topics : topics {
            if !topics.isEmpty { _ = try await brokers.partitions(of: topic) }
            try await brokers.reader.scan(topic, since: since) { messages in
                for message in messages {
                    let breaks = contracts.breaks(of: message)
                    let broken = counts.withLock { counts in
                        counts.read += 1
                        if !breaks.isEmpty { counts.broken += 1 }
                        return counts.broken
                    }
                    guard !breaks.isEmpty, broken <= most else { continue }
                    let line = Line(
                        topic: topic, partition: message.partition, offset: message.offset, id: message.text("ce_id"),
                        type: message.text("ce_type"), breaks: breaks)
                    try output.print(
                        line, "\(topic) \(message.partition):\(message.offset)  \(line.type ?? "-")  \(breaks.joined(separator: "; "))")
                }
                return true
            }
        }
        let (read, broken) = counts.withLock { ($0.read, $0.broken) }
        output.say("\(read) messages, \(broken) break their contract")
        if broken > 0 { throw ExitCode(1) }
    }
}

struct ContractCommands: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "contracts", abstract: "Hold the events that the code declares against those accepted before.",
        discussion: """
            Within a version an event may get optional fields, and nothing else: no field removed, renamed, made optional or required, of
            another type, format or range. Old consumers read new messages, and new consumers read old ones.
            """,
        subcommands: [Check.self, Accept.self])

    struct Folder: ParsableArguments {
        @Option(help: "The folder of the accepted schemas.")
        var baseline = "Tests/ContractsTests/Baseline"

        var url: URL { URL(filePath: baseline) }
        func read() throws -> ContractBaseline {
            guard FileManager.default.fileExists(atPath: baseline) else {
                throw Trouble.notThere("\(baseline) is not there: run this in the root of the repository, or give --baseline")
            }
            return try ContractBaseline(folder: url)
        }
    }

    struct Check: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Exit 1 and say why when an event breaks its contract, or has changed without being accepted.")
        @OptionGroup var folder: Folder

        func run() async throws {
            let difference = try folder.read().difference(to: ContractBaseline.declared)
            for line in difference.breaks + difference.additions.map({ "\($0); `trionex-events contracts accept` takes it" }) {
                write(line)
            }
            guard difference.isNone else { throw ExitCode(1) }
            write("Every event keeps its contract.")
        }
    }

    struct Accept: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Take what the code declares as accepted, unless it breaks something.",
            discussion: "Events and their examples of before are kept, so that reading them stays tested.")
        @OptionGroup var folder: Folder
        @Option(help: "An event's type that is published no longer and that nobody waits for. May be given several times.")
        var retire: [String] = []

        func run() async throws {
            var baseline = try folder.read()
            let before = try baseline.difference(to: ContractBaseline.declared)
            let breaks = try baseline.accept(ContractBaseline.declared, retired: Set(retire))
            guard breaks.isEmpty else {
                for line in breaks { write(line) }
                throw ExitCode(1)
            }
            try baseline.write(to: folder.url)
            for line in before.additions { write("accepted: \(line)") }
            write("\(baseline.entries.count) events in \(folder.baseline)")
        }
    }
}
