import DevStack
import Foundation
import Kafka
import Logging

/// Local brokers for the tests of this process: one that all share, and fresh ones for tests that break them.
enum Brokers {
    static let shared = Task { try await fresh() }

    static func fresh(brokers: Int = 1) async throws -> BrokerProcess {
        let scratch = try ScratchDirectory("trionex-kafka-tests")
        AtExit.perform { scratch.remove() }
        guard let executable = BuildFolder.program("trionex-broker") else {
            throw KafkaFailure.misconfigured(["trionex-broker is not built"])
        }
        let broker = try await BrokerProcess.start(
            executable: executable, port: try Ports.free(), topics: [], brokers: brokers, log: scratch.path + "/broker.log",
            control: scratch.path + "/control")
        AtExit.perform { broker.stopBlocking() }
        return broker
    }

    static func configuration() async throws -> KafkaConfiguration { configuration(try await shared.value) }

    static func configuration(_ broker: BrokerProcess) -> KafkaConfiguration {
        var configuration = KafkaConfiguration(brokers: broker.brokers, clientID: "tests")
        configuration.deliveryTimeout = .seconds(20)
        return configuration
    }
}

let quiet = Logger(label: "tests") { _ in SwiftLogNoOpLogHandler() }

/// A topic of one test.
func freshTopic() -> String { "test.\(UUID().uuidString.lowercased())" }

extension KafkaConsumer {
    /// Reads until there are so many; fewer when nothing comes for `limit`.
    func collect(_ count: Int, within limit: Duration = .seconds(60)) async -> [KafkaMessage] {
        await withTaskGroup(of: [KafkaMessage].self) { group in
            group.addTask {
                var messages: [KafkaMessage] = []
                while messages.count < count, let more = await self.next() { messages += more }
                return messages
            }
            group.addTask {
                try? await Task.sleep(for: limit)
                return []
            }
            // The reader answers what it has when it is cancelled, so its answer is the one that counts.
            var all: [KafkaMessage] = []
            var isFirst = true
            for await messages in group {
                if isFirst { group.cancelAll() }
                isFirst = false
                all += messages
            }
            return all
        }
    }
}

func eventually(within limit: Duration = .seconds(60), _ condition: () async throws -> Bool) async rethrows -> Bool {
    let deadline = ContinuousClock.now + limit
    while ContinuousClock.now < deadline {
        if try await condition() { return true }
        try? await Task.sleep(for: .milliseconds(20))
    }
    return false
}
