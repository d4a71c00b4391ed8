package import Contracts

/// Writes AsyncAPI 3 from the event types, with the CloudEvents headers that every message carries (EVENTS.md).
package enum AsyncAPI {
    package static func document(_ events: [any Event.Type] = EventCatalog.all) -> JSONValue {
        var channels: [String: JSONValue] = [:]
        var operations: [String: JSONValue] = [:]
        var messages: [String: JSONValue] = [:]
        var schemas: [String: JSONValue] = [:]
        for topic in Topic.all {
            let published = events.filter { $0.topic == topic }
            guard !published.isEmpty else { continue }
            channels[topic.name] = .object([
                "address": .string(topic.name),
                "messages": .object(Dictionary(uniqueKeysWithValues: published.map { (key($0), reference("messages", key($0))) })),
                "bindings": .object(["kafka": .object(["bindingVersion": .string("0.5.0")])]),
            ])
            operations["publish-\(topic.owner)"] = .object([
                "action": .string("send"), "channel": .object(["$ref": .string("#/channels/\(topic.name)")]),
                "summary": .string("What \(topic.owner) announces."),
            ])
            for event in published {
                messages[key(event)] = message(event)
                schemas[key(event)] = payload(event)
            }
        }
        return .object([
            "asyncapi": .string("3.0.0"),
            "info": .object([
                "title": .string("Trionex events"), "version": .string(OpenAPI.version),
                "description": .string("CloudEvents 1.0 on Kafka, in the binary content mode of the CloudEvents Kafka protocol binding."),
            ]),
            "defaultContentType": .string("application/json"), "channels": .object(channels), "operations": .object(operations),
            "components": .object([
                "messages": .object(messages), "schemas": .object(schemas), "messageTraits": .object(["cloudEvent": trait]),
            ]),
        ])
    }

    /// `content.article.published.v1`: unique among all events, and free of the characters that references escape.
    static func key(_ event: any Event.Type) -> String { String(event.type.dropFirst("com.trionex.".count)) }

    private static func reference(_ kind: String, _ key: String) -> JSONValue { .object(["$ref": .string("#/components/\(kind)/\(key)")]) }

    private static func payload(_ event: any Event.Type) -> JSONValue {
        func open<E: Event>(_ type: E.Type) -> JSONValue { OpenAPI.json(SchemaProbe.named(type).schema) }
        return open(event)
    }

    private static func message(_ event: any Event.Type) -> JSONValue {
        .object([
            "name": .string(event.type), "title": .string(event.name), "summary": .string(event.summary),
            "contentType": .string("application/json"), "payload": reference("schemas", key(event)),
            "traits": .array([reference("messageTraits", "cloudEvent")]),
        ])
    }

    private static var trait: JSONValue {
        func text(_ meaning: String) -> JSONValue { .object(["type": .string("string"), "description": .string(meaning)]) }
        let headers: [(String, String, Bool)] = [
            ("ce_specversion", "1.0", true), ("ce_id", "UUIDv7; deduplicate by it", true), ("ce_source", "/services/<service>", true),
            ("ce_type", "com.trionex.<owner>.<noun>.<verb>.v<N>", true), ("ce_subject", "the aggregate's id", true),
            ("ce_time", "RFC 3339 in UTC", true), ("ce_tenantid", "the organization", true),
            ("ce_actorid", "person:<id>, key:<id>; when somebody caused it", false), ("traceparent", "W3C Trace Context", false),
            ("content-type", "application/json", true),
        ]
        return .object([
            "headers": .object([
                "type": .string("object"),
                "properties": .object(Dictionary(uniqueKeysWithValues: headers.map { ($0.0, text($0.1)) })),
                "required": .array(headers.filter(\.2).map { .string($0.0) }),
            ]),
            "bindings": .object([
                "kafka": .object([
                    "key": .object(["type": .string("string"), "description": .string("<tenantId>:<aggregateId>")]),
                    "bindingVersion": .string("0.5.0"),
                ])
            ]),
        ])
    }
}
