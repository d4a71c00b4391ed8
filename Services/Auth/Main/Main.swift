import AuthService
import Foundation
import ServiceKit

@main
struct Main {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst()), environment = ProcessInfo.processInfo.environment
        if let outcome = KeyCommand.run(arguments, environment: environment, now: Date()) {
            (outcome.exitCode == 0 ? FileHandle.standardOutput : .standardError).write(Data(outcome.text.utf8))
            exit(outcome.exitCode)
        }
        await Launch.run(Auth.self)
    }
}
