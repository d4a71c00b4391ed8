import ArgumentParser
import Contracts
import DevStack
import Foundation

/// Plays the journey through the gateway, step by step, and shows what was asked and answered.
@main
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-demo", abstract: "Plays one journey through all nine services, with nothing but HTTP through the gateway.",
        discussion: "Start the platform with `make run` first. With --again it looks whether an earlier journey's things are still there.")

    @Option(help: "Where the gateway listens.")
    var gateway = "http://127.0.0.1:8080"

    @Option(help: "Where the mail sink shows what has arrived.")
    var mail = "http://127.0.0.1:8025"

    @Option(help: "Where the journey is remembered for --again.")
    var record = ".run/demo.json"

    @Flag(help: "Look whether what the last journey made is still there (after a restart).")
    var again = false

    @Flag(help: "Show the steps only.")
    var quiet = false

    func run() async throws {
        let quiet = quiet
        let journey = Journey(
            gateway: gateway, mail: mail,
            report: { exchange in if !quiet { Self.show(exchange) } },
            headline: { Swift.print("\n\($0)") },
            finding: { Swift.print("     ✓ \($0)") })
        do {
            if again {
                let data = try Data(contentsOf: URL(filePath: record))
                try await journey.lookAgain(try JSON.decode(Journey.Record.self, from: data))
            } else {
                let made = try await journey.play()
                try? FileManager.default.createDirectory(
                    at: URL(filePath: record).deletingLastPathComponent(), withIntermediateDirectories: true)
                try JSON.encode(made).write(to: URL(filePath: record))
                Swift.print(
                    """

                    12. Stop the platform with Ctrl-C, start it again with make run, then:
                         make demo AGAIN=1
                    """)
            }
        } catch let failed as Journey.Failed {
            Swift.print("     ✗ \(failed)")
            throw ExitCode.failure
        } catch {
            Swift.print("     ✗ the gateway at \(gateway) does not answer (\(error)). Is `make run` running?")
            throw ExitCode.failure
        }
        Swift.print("\nThe journey went as it should.")
    }

    private static func show(_ exchange: Exchange) {
        Swift.print("   → \(exchange.method) \(exchange.path)\(exchange.asked.map { "  " + shorten(hidingSecrets($0), 140) } ?? "")")
        let body = String(decoding: exchange.body.prefix(2_000), as: UTF8.self)
        Swift.print("   ← \(exchange.status)  \(shorten(body, 160))")
    }

    private static func hidingSecrets(_ text: String) -> String {
        text.replacing(/"(password|token|invitationToken)":"[^"]*"/) { "\"\($0.1)\":\"…\"" }
    }

    private static func shorten(_ text: String, _ length: Int) -> String {
        text.count > length ? String(text.prefix(length)) + "…" : text
    }
}
