import ArgumentParser
import Contracts
import Foundation
import Kafka
import Messaging
import Postgres
import ServiceKit

/// What an operator does with events.
struct TrionexEvents: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-events",
        abstract: "Looks at Trionex's events and consumers, and puts right what went wrong.",
        discussion: """
            The brokers are those of TRIONEX_KAFKA_BROKERS and TRIONEX_KAFKA_PROPERTIES, as for the services; of a platform that `make run`
            has started: TRIONEX_KAFKA_BROKERS=127.0.0.1:29092. With --json every command prints one JSON object a line.

            Exit codes: 0 done; 1 something is wrong with what was looked at (a contract is broken, a group is too far behind);
            64 wrong usage; 66 what was named is not there; 69 the brokers or the database do not answer; 77 the database is there and
            refuses the role, its password, or what it may do.
            """,
        subcommands: [
            Topics.self, Tail.self, Inspect.self, DeadLetters.self, Lag.self, Validate.self, ContractCommands.self, Republish.self,
            StartOver.self,
        ])
}

@main
enum Main {
    static func main() async {
        do {
            var command = try TrionexEvents.parseAsRoot()
            if var asynchronous = command as? any AsyncParsableCommand { try await asynchronous.run() } else { try command.run() }
        } catch {
            switch error {
            case let trouble as Trouble: end(trouble.description, trouble.code)
            case let failure as KafkaFailure: end(failure.description, failure.exitCode)
            case let failure as DependencyFailure where failure.isRefusedConnection: end(FailureReason.text(failure), Trouble.refused)
            case is any Failure: end(FailureReason.text(error), Trouble.away)
            case let failure as PostgresFailure: end(failure.description, failure.isDenied ? Trouble.refused : 1)
            default: TrionexEvents.exit(withError: error)
            }
        }
    }

    private static func end(_ text: String, _ code: Int32) -> Never {
        warn(text)
        exit(code)
    }
}

/// A sentence on standard error, which a script does not read as the answer.
func warn(_ text: String) { writeToError("trionex-events: \(text)\n") }

func writeToError(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

/// Ends the program with a sentence and an exit code of sysexits(3).
struct Trouble: Error, CustomStringConvertible {
    static let missing: Int32 = 66
    static let away: Int32 = 69
    static let refused: Int32 = 77

    let description: String
    let code: Int32

    static func notThere(_ text: String) -> Trouble { Trouble(description: text, code: missing) }
}

extension KafkaFailure {
    fileprivate var exitCode: Int32 {
        switch self {
        case .away, .closed: Trouble.away
        case .refused: 1
        case .misconfigured: 64
        }
    }
}
