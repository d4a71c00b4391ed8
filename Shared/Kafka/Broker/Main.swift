import ArgumentParser
import Foundation

@main
struct TrionexBroker: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-broker",
        abstract: "A broker for development and tests that speaks the Kafka protocol: librdkafka's mock cluster on fixed ports.",
        discussion: """
            It is not Kafka. It keeps everything in memory and nothing over a restart. Each partition silently drops its oldest \
            records beyond 5 MiB or 100,000 entries. It has no administration API, does not deduplicate what an idempotent producer \
            sends twice, ignores transactions, has no TLS, no accounts and no access rules, and listens on 127.0.0.1 alone. Topics \
            that a client names come into being with 4 partitions. Durability, replication and fail-over are to be tried on a real \
            cluster.

            When it is ready it writes one line, `ready HOST:PORT`, to standard output. Then it takes commands, one a line, on standard \
            input and on the socket given by --control, and answers each with `ok` or `error <reason>`:
              down N                     broker N (from 1) drops its connections and takes none
              up N                       broker N is back
              rtt N MS                   broker N answers MS milliseconds late
              leader TOPIC PARTITION N   broker N leads the partition
              coordinator GROUP N        broker N coordinates the group
              topic NAME PARTITIONS      creates a topic
              error APIKEY CODE COUNT    the next COUNT requests of that API are answered with the error CODE
              topics                     lists the topics and their numbers of partitions
              quit                       ends the program, as SIGTERM and SIGINT do
            """)

    @Option(help: "The port of the first broker; the others follow. 0 takes free ones.")
    var port: UInt16 = 29092

    @Option(help: "How many brokers there are.")
    var brokers = 1

    @Option(help: "Partitions of a topic given without a number.")
    var partitions = 4

    @Option(name: .customLong("topic"), help: "A topic to create, NAME or NAME:PARTITIONS. May be given several times.")
    var topics: [String] = []

    @Option(help: "Where to create a Unix socket for commands.")
    var control: String?

    @Flag(help: "End when standard input ends.")
    var stopWithInput = false

    @Flag(help: "End when the program that started this one is gone.")
    var stopWithParent = false

    private static let brokerLimit = 16
    private static let partitionLimit = 1_000
    private static let parentInterval: TimeInterval = 0.2

    func validate() throws {
        guard (1...Self.brokerLimit).contains(brokers) else { throw ValidationError("--brokers: from 1 to \(Self.brokerLimit)") }
        guard Int(port) + brokers - 1 <= 65_535 else { throw ValidationError("--port: at most 65535, for the last broker too") }
        guard (1...Self.partitionLimit).contains(partitions) else {
            throw ValidationError("--partitions: from 1 to \(Self.partitionLimit)")
        }
        for topic in topics { _ = try named(topic) }
    }

    private func named(_ text: String) throws -> (String, Int) {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        let count = parts.count == 2 ? Int(parts[1]) : partitions
        guard let name = parts.first, !name.isEmpty, parts.count <= 2, let count, (1...Self.partitionLimit).contains(count) else {
            throw ValidationError("--topic: \(text) is not NAME or NAME:PARTITIONS")
        }
        return (String(name), count)
    }

    func run() throws {
        // Commands and signals both end the program by a byte in this pipe: the one thing a signal handler may do.
        let ends = Pipe()
        let wake = ends.fileHandleForWriting.fileDescriptor
        let quit: @Sendable () -> Void = { _ = write(wake, "q", 1) }
        signal(SIGPIPE, SIG_IGN)
        let sources = [SIGTERM, SIGINT].map { number in
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler(handler: quit)
            source.resume()
            return source
        }
        let parent = getppid()
        let cluster = try MockCluster(brokers: brokers, firstPort: port)
        for topic in topics {
            let (name, count) = try named(topic)
            try cluster.createTopic(name, partitions: count)
        }
        let port = ControlPort(cluster: cluster, quit: quit)
        if let control { try port.serveSocket(at: control) }
        FileHandle.standardOutput.write(Data("ready \(cluster.bootstrap)\n".utf8))
        let stopWithInput = stopWithInput
        port.serveStandardInput { if stopWithInput { quit() } }
        if stopWithParent {
            Thread.detachNewThread {
                while getppid() == parent { Thread.sleep(forTimeInterval: Self.parentInterval) }
                quit()
            }
        }
        _ = ends.fileHandleForReading.readData(ofLength: 1)
        withExtendedLifetime(sources) {}
        if let control { unlink(control) }
    }
}
