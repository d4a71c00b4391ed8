import ArgumentParser
import Contracts
import Foundation
import Kafka
import Messaging

struct DeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Events that a consumer could not handle.",
        discussion: """
            A letter is named PARTITION:OFFSET, as list prints it. Kafka cannot delete one record: one that was replayed or dropped is
            settled by a record after it in the same partition, and no longer listed.
            """,
        subcommands: [List.self, Show.self, Replay.self, Drop.self])

    struct GroupOptions: ParsableArguments {
        @OptionGroup var brokers: BrokerOptions
        @Argument(help: "The consumer group, such as trionex.search.index.")
        var group: String

        func withOffice<T>(_ body: (DeadLetterOffice) async throws -> T) async throws -> T {
            try await DeadLetters.mustExist(group, try brokers.reader)
            return try await DeadLetters.withOffice(group, try brokers.configuration, body)
        }
    }

    /// No letters is an answer, no group is a mistake. A group is known by the brokers, by its letters, or as one of the platform's own.
    static func mustExist(_ group: String, _ reader: KafkaReader) async throws {
        let buried = try await reader.topics(prefix: "trionex.").compactMap { DeadLetter.group(of: $0.topic) }
        let known = Set(try await Groups.all(reader) + buried).sorted()
        guard known.contains(group) else {
            throw Trouble.notThere("there is no group \(group); there are: \(known.joined(separator: ", "))")
        }
    }

    static func withOffice<T>(
        _ group: String, _ configuration: KafkaConfiguration, _ body: (DeadLetterOffice) async throws -> T
    ) async throws -> T {
        let producer = try KafkaProducer(configuration, logger: quiet)
        let office = DeadLetterOffice(group: group, reader: KafkaReader(configuration, logger: quiet), producer: producer)
        let result: Result<T, any Error>
        do {
            result = .success(try await body(office))
        } catch {
            result = .failure(error)
        }
        await producer.shutdown()
        return try result.get()
    }

    struct Choice: ParsableArguments {
        @OptionGroup var filter: FilterOptions
        @Argument(help: "Letters, PARTITION:OFFSET.")
        var letters: [String] = []
        @Flag(help: "All of them, or all that the filters let through.")
        var all = false

        func validate() throws {
            guard all != !letters.isEmpty else { throw ValidationError("Name letters, or give --all.") }
        }

        func chosen(from letters: [DeadLetter]) throws -> [DeadLetter] {
            let filter = try filter.filter()
            guard !all else { return letters.filter { filter.matches($0.message) } }
            return try self.letters.map { name in
                guard let letter = letters.first(where: { $0.name == name }) else { throw Trouble.notThere("there is no letter \(name)") }
                return letter
            }
        }
    }

    struct Line: Encodable {
        let group: String
        let letter: String
        let diedAt: String
        let type: String?
        let id: String?
        let tenant: String?
        let key: String?
        let tries: Int
        let reason: String
        let origin: String
        let originOffset: Int64
        let traceparent: String?
        let history: [Attempt]

        init(_ letter: DeadLetter) {
            group = letter.group
            self.letter = letter.name
            diedAt = letter.diedAt
            type = letter.message.text("ce_type")
            id = letter.message.text("ce_id")
            tenant = letter.message.text("ce_tenantid")
            key = letter.message.key.map { String(decoding: $0, as: UTF8.self) }
            tries = letter.attempts
            reason = letter.reason
            origin = "\(letter.origin)"
            originOffset = letter.originOffset
            traceparent = letter.message.text("traceparent")
            history = letter.history
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print one line for each dead letter, of one group or of all.")
        @OptionGroup var brokers: BrokerOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var filter: FilterOptions
        @Argument(help: "The consumer group, such as trionex.search.index; all when absent.") var group: String?

        func run() async throws {
            let (configuration, filter) = (try brokers.configuration, try filter.filter())
            var groups = group.map { [$0] } ?? []
            if let group {
                try await DeadLetters.mustExist(group, try brokers.reader)
            } else {
                groups = try await brokers.reader.topics(prefix: "trionex.").compactMap { DeadLetter.group(of: $0.topic) }
            }
            for group in groups {
                let letters = try await DeadLetters.withOffice(group, configuration) { try await $0.list() }
                for letter in letters where filter.matches(letter.message) {
                    let name = self.group == nil ? "\(group)  \(letter.name)" : letter.name
                    try output.print(
                        Line(letter),
                        "\(name)  \(letter.diedAt)  \(letter.message.text("ce_type") ?? "-")  \(letter.attempts) tries  \(letter.reason)")
                }
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "inspect", abstract: "Print a dead letter whole: where it came from, each of its tries, headers and payload.",
            aliases: ["show"])
        @OptionGroup var group: GroupOptions
        @OptionGroup var output: OutputOptions
        @Argument(help: "The letter, PARTITION:OFFSET.") var letter: String

        func run() async throws {
            let letters = try await group.withOffice { try await $0.list() }
            guard let found = letters.first(where: { $0.name == letter }) else { throw Trouble.notThere("there is no letter \(letter)") }
            let text = EventText(found.message)
            write(output.json ? text.line : text.page)
        }
    }

    struct Settled: Encodable {
        let group: String
        let letters: [String]
    }

    private static func settle(
        _ choice: Choice, of group: GroupOptions, _ output: OutputOptions, _ done: String,
        _ settle: (DeadLetterOffice, DeadLetter) async throws -> Void
    ) async throws {
        try await group.withOffice { office in
            let letters = try choice.chosen(from: try await office.list())
            for letter in letters { try await settle(office, letter) }
            try output.print(Settled(group: office.group, letters: letters.map(\.name)), "\(letters.count) \(done)")
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let the consumer handle letters again; other consumers of the topic are not concerned.",
            discussion: """
                The event keeps its id, so it takes effect once however often it is replayed. It comes after what its key has announced
                since: a handler that sets a state should look whether it is older than what it has.
                """)
        @OptionGroup var group: GroupOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var choice: Choice

        func run() async throws {
            try await DeadLetters.settle(choice, of: group, output, "replayed") { office, letter in try await office.replay(letter) }
        }
    }

    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give letters up for good.")
        @OptionGroup var group: GroupOptions
        @OptionGroup var output: OutputOptions
        @OptionGroup var choice: Choice

        func run() async throws {
            try await DeadLetters.settle(choice, of: group, output, "dropped") { office, letter in try await office.drop(letter) }
        }
    }
}
