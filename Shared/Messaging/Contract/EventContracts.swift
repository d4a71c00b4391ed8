package import Contracts
import Foundation
package import Kafka

/// What an AsyncAPI document of ours promises of every message on a topic: its headers, its key, its payload.
package struct EventContracts: Sendable {
    /// The document is not one of ours, or says something that cannot be checked.
    package struct Unreadable: Error, CustomStringConvertible {
        package let description: String
    }

    private struct Contract: Sendable {
        let topic: String
        let payload: JSONSchema
        let headers: [JSONSchema]
    }

    private let contracts: [String: Contract]
    /// Topics of the document, in alphabetical order.
    package let topics: [String]

    /// Throws `Unreadable`, naming the place.
    package init(asyncAPI document: JSONValue) throws(Unreadable) {
        guard document["asyncapi"].string?.hasPrefix("3.") == true, case .object(let channels) = document["channels"] else {
            throw Unreadable(description: "this is no AsyncAPI 3 document with channels")
        }
        var contracts: [String: Contract] = [:]
        for (name, channel) in channels {
            guard case .object(let messages) = channel["messages"] else { continue }
            for key in messages.keys {
                let message = document["components"]["messages"][key]
                guard let type = message["name"].string else { throw Unreadable(description: "the message \(key) has no name") }
                do {
                    let traits = message["traits"].array.compactMap { $0["$ref"].string?.split(separator: "/").last.map(String.init) }
                    contracts[type] = Contract(
                        topic: channel["address"].string ?? name, payload: try JSONSchema(message["payload"], in: document),
                        headers: try traits.map { trait in
                            try JSONSchema(document["components"]["messageTraits"][trait]["headers"], in: document)
                        })
                } catch {
                    throw Unreadable(description: "\(type): \(error)")
                }
            }
        }
        self.contracts = contracts
        topics = Set(contracts.values.map(\.topic)).sorted()
    }

    /// The types of a topic, in alphabetical order.
    package func types(of topic: String) -> [String] { contracts.filter { $0.value.topic == topic }.map(\.key).sorted() }

    /// Everything in which a message breaks its contract, one sentence each; empty when it keeps it.
    package func breaks(of message: KafkaMessage) -> [String] {
        guard let type = message.text("ce_type") else { return ["the header ce_type is missing or cannot be read"] }
        guard let contract = contracts[type] else { return ["the document knows no event \(type)"] }
        var breaks = contract.topic == message.topic ? [] : ["\(type) belongs to \(contract.topic)"]
        let headers = JSONValue.object(
            Dictionary(message.headers.map { ($0.name, .string(String(decoding: $0.value, as: UTF8.self))) }, uniquingKeysWith: { $1 }))
        breaks += contract.headers.flatMap { $0.violations(of: headers) }.map { "the header \($0.path.dropFirst()) \($0.what)" }
        do {
            let envelope = try CloudEvent.envelope(of: message)
            if message.key != Array("\(envelope.tenant):\(envelope.subject)".utf8) { breaks.append("the key is not <tenant>:<subject>") }
            if let trace = envelope.traceparent, trace.wholeMatch(of: /[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}/) == nil {
                breaks.append("the header traceparent is none (W3C Trace Context)")
            }
        } catch {
            if !breaks.contains(where: { $0.contains(error.header) }) { breaks.append("\(error)") }
        }
        if message.text("content-type").map({ $0 == "application/json" }) == false {
            breaks.append("the content-type is not application/json")
        }
        guard let value = try? JSON.decode(JSONValue.self, from: Data(message.value ?? [])) else {
            return breaks + ["the payload is no JSON"]
        }
        return breaks + contract.payload.violations(of: value).map { "the payload \($0)" }
    }
}
