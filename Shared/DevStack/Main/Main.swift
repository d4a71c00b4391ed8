import ArgumentParser
import DevStack
import Foundation

/// `trionex-dev`: the whole platform on this machine, behind `make run`.
@main
struct TrionexDev: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "trionex-dev",
        abstract: "Runs the whole platform on this machine: PostgreSQL, Redis, a local broker, a mail sink and the nine programs.",
        subcommands: [Run.self, Stop.self, With.self, Status.self, NewService.self],
        defaultSubcommand: Run.self)
}

struct Run: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Starts everything and keeps it running until Ctrl-C.",
        discussion: """
            What it keeps is in .run below the current folder, which must be the checkout. A program that dies is started again.
            The exit code is 0 after Ctrl-C, 1 when something did not start.

            Settings are environment variables:
            \(StackSettings.variables.map { "  \($0.name): \($0.meaning)" }.joined(separator: "\n"))
            """)

    @Option(help: ArgumentHelp("Only these programs, comma-separated.", valueName: "a,b"))
    var services: String?

    @Flag(help: "Say only what goes wrong, and the addresses.")
    var quiet = false

    @Flag(help: "Do not make the demo organization.")
    var withoutDemo = false

    func run() async throws {
        let signals = StopSignals.take()
        let terminal = Terminal(quiet: quiet)
        do {
            let session = try Session(
                terminal: terminal, services: services.map { $0.split(separator: ",").map(String.init) }, makesDemo: !withoutDemo)
            try await session.run(until: signals)
        } catch let failure as StackFailure {
            terminal.fail("\(failure)")
            throw ExitCode(1)
        }
    }
}

struct With: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Runs a program against the platform: the one that runs from this folder, else one started for it and stopped after it.",
        discussion: """
            In the arguments, {gateway}, {admin}, {mail}, {database}, {redis} and {kafka} become addresses, {run} the folder of the stack. \
            A program without a path is one of the product's own. The exit code is the program's.
            """)

    @Argument(parsing: .captureForPassthrough, help: "The program and its arguments.")
    var command: [String]

    func run() async throws {
        // Taken as the program's name otherwise, and a platform started to run it.
        if ["--help", "-h"].contains(command.first) { throw CleanExit.helpRequest(self) }
        let signals = StopSignals.take()
        let terminal = Terminal(quiet: false)
        do {
            let command = Command(words: command.first == "--" ? Array(command.dropFirst()) : command)
            let code: Int32
            if let addresses = StackAddresses.read(from: Folder.run) {
                code = try await command.run(against: addresses, runDirectory: Folder.run, until: signals)
            } else {
                code = try await Session(terminal: terminal, services: nil, makesDemo: false).run(command, until: signals)
            }
            guard code == 0 else { throw ExitCode(code) }
        } catch let failure as StackFailure {
            terminal.fail("\(failure)")
            throw ExitCode(1)
        }
    }
}

struct Stop: AsyncParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Stops what runs from this folder.")

    func run() async throws {
        let terminal = Terminal(quiet: false)
        do {
            let stopped = try await StackLock.stopHolder(in: Folder.run)
            terminal.show(stopped ? "Trionex has stopped." : "Trionex does not run from this folder.")
        } catch let failure as StackFailure {
            terminal.fail("\(failure)")
            throw ExitCode(1)
        }
    }
}

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Says whether it runs, where, and how much memory each program has. The exit code is 1 when nothing runs.")

    func run() async throws {
        let terminal = Terminal(quiet: false)
        guard let addresses = StackAddresses.read(from: Folder.run) else {
            terminal.show("Trionex does not run from this folder.")
            throw ExitCode(1)
        }
        terminal.show(Table.memory(of: addresses))
    }
}

struct NewService: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "service", abstract: "Writes the files of a new service into the checkout, and its lines where services are listed.")

    @Argument(help: "Its name in one word, such as Billing.")
    var name: String

    func run() async throws {
        let terminal = Terminal(quiet: false)
        do {
            for change in try ServiceTemplate(name: name).write(into: Folder.checkout) { terminal.show(change) }
        } catch let failure as StackFailure {
            terminal.fail("\(failure)")
            throw ExitCode(1)
        }
    }
}

/// The folders that commands work in.
enum Folder {
    static var checkout: String { FileManager.default.currentDirectoryPath }
    static var run: String { checkout + "/.run" }
}
