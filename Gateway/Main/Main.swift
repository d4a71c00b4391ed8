import Foundation
import GatewayService
import ServiceKit

@main
struct Main {
    static func main() async {
        let arguments = Array(CommandLine.arguments.dropFirst()), environment = ProcessInfo.processInfo.environment
        if let outcome = await CheckConfig.run(arguments, environment: environment) {
            (outcome.exitCode == 0 ? FileHandle.standardOutput : .standardError).write(Data(outcome.text.utf8))
            exit(outcome.exitCode)
        }
        // Comes back when the gateway has ended, or when there was only help to give.
        await Launch.run(Gateway.self)
        if arguments.contains(where: ["--help", "-h"].contains) { FileHandle.standardOutput.write(Data(CheckConfig.help.utf8)) }
    }
}
