package import Contracts
import Foundation
package import Kafka

/// Events on Kafka: CloudEvents 1.0 in the binary content mode of its Kafka protocol binding (the contract is EVENTS.md).
package enum CloudEvent {
    /// The record of one event; `payload` is its JSON. The key keeps all events of one aggregate in order.
    package static func record(topic: String, envelope: EventEnvelope, payload: [UInt8]) -> KafkaRecord {
        var headers = [
            KafkaHeader("ce_specversion", "1.0"),
            KafkaHeader("ce_id", envelope.id.description),
            KafkaHeader("ce_source", envelope.source),
            KafkaHeader("ce_type", envelope.type),
            KafkaHeader("ce_subject", envelope.subject),
            KafkaHeader("ce_time", Timestamp.text(envelope.time)),
            KafkaHeader("ce_tenantid", envelope.tenant.description),
        ]
        if let actor = envelope.actor { headers.append(KafkaHeader("ce_actorid", actor)) }
        if let traceparent = envelope.traceparent { headers.append(KafkaHeader("traceparent", traceparent)) }
        headers.append(KafkaHeader("content-type", "application/json"))
        return KafkaRecord(topic: topic, key: Array("\(envelope.tenant):\(envelope.subject)".utf8), value: payload, headers: headers)
    }

    /// The event's attributes. Throws `CloudEventProblem`, naming the first header that is missing or wrong.
    package static func envelope(of message: KafkaMessage) throws(CloudEventProblem) -> EventEnvelope {
        guard try required("ce_specversion", message) == "1.0" else { throw CloudEventProblem(header: "ce_specversion") }
        return EventEnvelope(
            id: try parsed("ce_id", message) { EventID($0) },
            source: try required("ce_source", message),
            type: try required("ce_type", message),
            subject: try required("ce_subject", message),
            time: try parsed("ce_time", message) { Timestamp.date($0) },
            tenant: try parsed("ce_tenantid", message) { TenantID($0) },
            actor: message.text("ce_actorid"),
            traceparent: message.text("traceparent"))
    }

    private static func required(_ header: String, _ message: KafkaMessage) throws(CloudEventProblem) -> String {
        guard let text = message.text(header), !text.isEmpty else { throw CloudEventProblem(header: header) }
        return text
    }

    private static func parsed<T>(_ header: String, _ message: KafkaMessage, _ parse: (String) -> T?) throws(CloudEventProblem) -> T {
        guard let value = parse(try required(header, message)) else { throw CloudEventProblem(header: header) }
        return value
    }
}

/// A record that is not an event of ours: this header is missing or cannot be read.
package struct CloudEventProblem: Error, Equatable, CustomStringConvertible {
    package let header: String
    package var description: String { "the header \(header) is missing or cannot be read" }
}
