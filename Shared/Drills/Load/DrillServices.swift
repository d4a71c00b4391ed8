package import Contracts
import Messaging

/// The two services of a drill, each with a schema and roles of its own as every service has.
package enum DrillServices {
    /// Changes its state and announces it; its outbox is drained by the real relay.
    package static let source = ServiceName(rawValue: "source")
    /// Follows the source with the real consumer; its handler keeps what it saw.
    package static let sink = ServiceName(rawValue: "sink")
    package static let consumer = "ledger"
    package static var group: String { EventConsumer.group(service: sink, consumer: consumer) }
}
