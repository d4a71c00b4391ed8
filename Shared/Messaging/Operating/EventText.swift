package import Contracts
package import Foundation
package import Kafka

/// A message for people and programs to read.
package struct EventText: Encodable, Sendable {
    package let topic: String
    package let partition: Int32
    package let offset: Int64
    /// When it was published.
    package let published: Date?
    package let key: String?
    package let headers: [String: String]
    /// As JSON when it is that, as text otherwise.
    package let value: JSONValue
    /// Of a dead letter, each of its tries.
    package let history: [Attempt]?

    package init(_ message: KafkaMessage) {
        topic = message.topic
        partition = message.partition
        offset = message.offset
        published = message.timestamp
        key = message.key.map { String(decoding: $0, as: UTF8.self) }
        let all = Dictionary(message.headers.map { ($0.name, String(decoding: $0.value, as: UTF8.self)) }, uniquingKeysWith: { $1 })
        headers = all.filter { $0.key != DeadLetter.Header.history }
        let bytes = message.value ?? []
        value = (try? JSON.decode(JSONValue.self, from: Data(bytes))) ?? .string(String(decoding: bytes, as: UTF8.self))
        history = DeadLetter(message)?.history
    }

    /// One line of JSON.
    package var line: String { (try? JSON.encode(self)).map { String(decoding: $0, as: UTF8.self) } ?? "{}" }

    /// One line for a person: time, place, type, key, payload.
    package var row: String {
        let time = published.map(Timestamp.text) ?? "-"
        let payload = (try? JSON.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return "\(time)  \(partition):\(offset)  \(headers["ce_type"] ?? "-")  \(key ?? "-")  \(payload)"
    }

    /// All of it, over several lines.
    package var page: String {
        var lines = [
            "\(topic) \(partition):\(offset)", "published  \(published.map(Timestamp.text) ?? "-")", "key        \(key ?? "-")", "headers",
        ]
        let width = headers.keys.map(\.count).max() ?? 0
        lines += headers.sorted { $0.key < $1.key }.map {
            "  " + $0.key.padding(toLength: width, withPad: " ", startingAt: 0) + "  \($0.value)"
        }
        if let history, !history.isEmpty {
            lines.append("tries")
            lines += history.map { "  \(Timestamp.text($0.at))  \($0.counts ? "failed" : "waited")  \($0.reason)" }
        }
        lines.append("payload")
        let encoder = JSON.encoder()
        encoder.outputFormatting.insert(.prettyPrinted)
        let pretty = (try? encoder.encode(value)).map { String(decoding: $0, as: UTF8.self) } ?? ""
        return (lines + pretty.split(separator: "\n").map { "  " + $0 }).joined(separator: "\n")
    }
}
