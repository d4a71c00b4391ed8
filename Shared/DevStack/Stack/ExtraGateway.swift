import AsyncHTTPClient
import Contracts
import Foundation
import NIOCore
import NIOHTTP1

/// One more gateway beside a stack that runs: for what several gateways must agree on.
package final class ExtraGateway: Sendable {
    /// Where it answers.
    package let url: String
    private let process: ManagedProcess

    private init(url: String, process: ManagedProcess) {
        self.url = url
        self.process = process
    }

    /// Starts it on free ports, with further variables of its own, and returns when it is ready. It ends with this process at the latest.
    ///
    /// Throws a `StackFailure` when the program is not there or does not become ready.
    package static func start(
        beside stack: StackAddresses, in runDirectory: String, settings: [String: String] = [:]
    ) async throws -> ExtraGateway {
        guard let program = BuildFolder.program(ServiceName.gateway.rawValue) else {
            throw StackFailure("The program gateway is not in \(BuildFolder.path). Build it with swift build.")
        }
        let (port, adminPort) = (try Ports.free(), try Ports.free())
        var variables = ProcessInfo.processInfo.environment
        for name in StackSettings.variables.map(\.name) { variables[name] = nil }
        variables["TRIONEX_HTTP_HOST"] = "127.0.0.1"
        variables["TRIONEX_HTTP_PORT"] = "\(port)"
        variables["TRIONEX_ADMIN_PORT"] = "\(adminPort)"
        variables["TRIONEX_REDIS_URL"] = stack.redis
        variables["TRIONEX_KAFKA_BROKERS"] = stack.kafka
        for (name, address) in stack.programs where name != ServiceName.gateway.rawValue {
            variables["TRIONEX_\(name.uppercased())_URL"] = address
        }
        variables["TRIONEX_JWKS"] = (stack.programs[ServiceName.auth.rawValue] ?? "") + "/.well-known/jwks.json"
        variables["TRIONEX_SERVICE_SECRET_FILE"] = runDirectory + "/keys/service-secret"
        variables["TRIONEX_SEALING_KEY_FILE"] = runDirectory + "/keys/sealing-key"
        variables["TRIONEX_PUBLIC_URL"] = stack.gateway
        variables.merge(settings) { _, own in own }
        let process = try ManagedProcess.start(
            ProcessLaunch(program, [], environment: variables, log: "\(runDirectory)/logs/gateway-\(port).log"))
        let gateway = ExtraGateway(url: "http://127.0.0.1:\(port)", process: process)
        do {
            try await gateway.becomeReady("http://127.0.0.1:\(adminPort)/ready")
            return gateway
        } catch {
            await gateway.stop()
            throw error
        }
    }

    package func stop() async { await process.stop() }

    private static let readyLimit: Duration = .seconds(30)

    private func becomeReady(_ url: String) async throws {
        let deadline = ContinuousClock.now + Self.readyLimit
        while ContinuousClock.now < deadline {
            if let exit = process.exit { throw StackFailure("the further gateway \(exit) while starting; see \(process.launch.log)") }
            // Not listening yet: what counts is the deadline.
            let answer = try? await HTTPClient.shared.execute(HTTPClientRequest(url: url), timeout: .seconds(2))
            if answer?.status == .ok { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw StackFailure("the further gateway was not ready within \(Self.readyLimit.components.seconds) s; see \(process.launch.log)")
    }
}
