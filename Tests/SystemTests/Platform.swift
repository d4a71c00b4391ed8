import Contracts
import DevStack
import Foundation
import TestKit

/// The nine real programs on ports of their own, with a broker that can be told to fail.
struct Platform: Sendable {
    let stack: Stack
    let broker: BrokerProcess
    let addresses: StackAddresses

    private static let running = Task { try await begin() }

    /// Started once for all system tests.
    static func shared() async throws -> Platform { try await running.value }

    private static func begin() async throws -> Platform {
        let scratch = try ScratchDirectory("trionex-system")
        AtExit.perform { scratch.remove() }
        guard let executable = BuildFolder.program("trionex-broker") else { throw StackFailure("trionex-broker is not built") }
        let broker = try await BrokerProcess.start(
            executable: executable, port: try Ports.free(), topics: Topic.all.map(\.name), log: scratch.path + "/broker.log",
            control: scratch.path + "/broker.sock")
        AtExit.perform { broker.stopBlocking() }
        var settings = StackSettings(root: Repository.path(""), runDirectory: scratch.path)
        settings.kafkaBrokers = broker.brokers
        settings.postgresPort = try Ports.free()
        settings.redisPort = try Ports.free()
        settings.smtpPort = try Ports.free()
        settings.mailPort = try Ports.free()
        settings.adminPort = try Ports.free()
        for program in StackProgram.all { settings.ports[program.name] = try Ports.free() }
        let stack = Stack(settings, say: { _ in })
        let addresses = try await stack.start()
        return Platform(stack: stack, broker: broker, addresses: addresses)
    }

    var mail: String { addresses.mail ?? "" }

    func kill(_ program: ServiceName) throws { stack.process(of: program)?.send(.kill) }

    /// A person who has just registered, with an organization of their own.
    func newcomer() async throws -> (client: GatewayClient, email: String) {
        let unique = UUID().uuidString.lowercased().prefix(12)
        let email = "grace.\(unique)@example.org"
        let gateway = GatewayClient(base: addresses.gateway)
        let answer = try await gateway.post(
            "/api/v1/auth/register",
            [
                "email": .string(email), "password": .string("nanoseconds of wire \(unique)"),
                "organization": ["name": .string("Compilers \(unique)")],
            ])
        guard answer.status == 201 else { throw Journey.Failed(description: "registering answered \(answer.status)") }
        return (gateway.signedIn(answer["accessToken"].string ?? ""), email)
    }
}
