import Foundation
import Testing

@testable import DevStack

@Suite("The command trionex-dev") final class DevCommandTests {
    let scratch: ScratchDirectory
    init() throws { scratch = try ScratchDirectory("trionex-command-test") }
    deinit { scratch.remove() }

    @Test("Asked for help, a command explains itself and starts nothing", arguments: ["--help", "-h"])
    func help(_ flag: String) async throws {
        guard let program = BuildFolder.program("trionex-dev") else { throw StackFailure("trionex-dev is not built") }
        for command in ["run", "with", "status", "stop", "service"] {
            let launch = ProcessLaunch(program, [command, flag], directory: scratch.path, log: scratch.path + "/\(command).log")
            let (exit, output) = try await ManagedProcess.run(launch, atMost: .seconds(60))
            #expect(exit.succeeded, "\(command): \(output)")
            #expect(output.contains("USAGE: trionex-dev \(command)"), "\(command): \(output)")
            #expect(!FileManager.default.fileExists(atPath: scratch.path + "/.run"), "\(command)")
        }
    }
}
