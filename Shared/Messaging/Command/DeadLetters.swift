import ArgumentParser
import Foundation
import Kafka
import Messaging

struct DeadLetters: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Events that a consumer could not handle.",
        discussion:
            "A letter is named PARTITION:OFFSET, as list prints it. Kafka cannot delete one record: one that was replayed or dropped is marked so.",
        subcommands: [List.self, Show.self, Replay.self, Drop.self])

    struct GroupOptions: ParsableArguments {
        @OptionGroup var brokers: BrokerOptions
        @Argument(help: "The consumer group, such as trionex.search.index.")
        var group: String

        func withOffice<T>(_ body: (DeadLetterOffice) async throws -> T) async throws -> T {
            let configuration = try brokers.configuration
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
    }

    struct Choice: ParsableArguments {
        @Argument(help: "Letters, PARTITION:OFFSET.")
        var letters: [String] = []
        @Flag(help: "All of them.")
        var all = false

        func validate() throws {
            guard all != !letters.isEmpty else { throw ValidationError("Name letters, or give --all.") }
        }

        func chosen(from letters: [DeadLetter]) throws -> [DeadLetter] {
            guard !all else { return letters }
            return try self.letters.map { name in
                guard let letter = letters.first(where: { $0.name == name }) else { throw ValidationError("There is no letter \(name).") }
                return letter
            }
        }
    }

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print one line for each dead letter.")
        @OptionGroup var group: GroupOptions

        func run() async throws {
            for letter in try await group.withOffice({ try await $0.list() }) {
                print(
                    "\(letter.name)\t\(letter.diedAt)\t\(letter.message.text("ce_type") ?? "-")\t\(letter.attempts) tries\t\(letter.reason)"
                )
            }
        }
    }

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Print a dead letter whole, as JSON.")
        @OptionGroup var group: GroupOptions
        @Argument(help: "The letter, PARTITION:OFFSET.") var letter: String

        func run() async throws {
            let letters = try await group.withOffice { try await $0.list() }
            guard let found = letters.first(where: { $0.name == letter }) else { throw ValidationError("There is no letter \(letter).") }
            print(try MessageLine(found.message).json)
        }
    }

    struct Replay: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Let the consumer handle letters again; other consumers of the topic are not concerned.")
        @OptionGroup var group: GroupOptions
        @OptionGroup var choice: Choice

        func run() async throws {
            try await group.withOffice { office in
                let letters = try choice.chosen(from: try await office.list())
                for letter in letters { try await office.replay(letter) }
                print("\(letters.count) replayed")
            }
        }
    }

    struct Drop: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Give letters up for good.")
        @OptionGroup var group: GroupOptions
        @OptionGroup var choice: Choice

        func run() async throws {
            try await group.withOffice { office in
                let letters = try choice.chosen(from: try await office.list())
                for letter in letters { try await office.drop(letter) }
                print("\(letters.count) dropped")
            }
        }
    }
}
