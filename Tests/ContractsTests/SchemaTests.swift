import Contracts
import Foundation
import Kafka
import Messaging
import ServiceKit
import Testing

@Suite("JSON Schema")
struct SchemaTests {
    @Test(
        "holds values against the keywords of our documents",
        arguments: [
            (["type": "string"], "x", true), (["type": "string"], 1, false), (["type": "integer"], 1, true),
            (["type": "integer"], .number(1.5), false),
            (["type": "integer"], .number(2.0), true), (["type": "number"], 1, true), (["type": "null"], nil, true),
            (["type": ["string", "null"]], nil, true), (["type": ["string", "null"]], false, false), (["type": "boolean"], true, true),
            (["type": "boolean"], 1, false), (["type": "string", "minLength": 2], "é", false),
            (["type": "string", "maxLength": 1], "👍", true),
            (["type": "string", "maxLength": 1], "ab", false), (["type": "string", "pattern": "^a"], "ba", false),
            (["type": "string", "pattern": "a"], "bab", true), (["minimum": 2], 1, false), (["maximum": 2], .number(2.5), false),
            (["minimum": 2, "maximum": 2], 2, true), (["minimum": 2], "1", true), (["enum": ["a", "b"]], "c", false),
            (["enum": ["a", 1]], 1, true), (["const": "a"], "b", false), (["items": ["type": "integer"]], [1, "2"], false),
            (["maxItems": 1], [1, 2], false), (["minItems": 1], [], false), (["properties": ["a": ["type": "integer"]]], ["a": "x"], false),
            (["properties": ["a": ["type": "integer"]]], ["b": "x"], true), (["required": ["a"]], ["b": 1], false),
            (["required": ["a"]], ["a": nil], true), (["additionalProperties": false, "properties": ["a": [:]]], ["a": 1, "b": 2], false),
            (["additionalProperties": ["type": "string"]], ["a": "x", "b": 2], false),
            (["anyOf": [["type": "string"], ["type": "null"]]], 1, false), (["anyOf": [["type": "string"], ["type": "null"]]], nil, true),
            ([:], ["any": ["thing"]], true), (["$ref": "#/components/schemas/id"], "x", false),
            (["type": "string", "format": "uuid"], "0197b1c0-0000-7000-8000-000000000001", true),
            (["type": "string", "format": "uuid"], "0197b1c0", false),
            (["type": "string", "format": "date-time"], "2026-01-15T10:30:00.123Z", true),
            (["type": "string", "format": "date-time"], "2026-01-15", false),
            (["type": "string", "format": "uri"], "https://a.org/b", true),
            (["type": "string", "format": "uri"], "b", false), (["type": "string", "format": "byte"], "%%", false),
            (["type": "string", "description": "words", "title": "t"], "x", true),
        ] as [(JSONValue, JSONValue, Bool)])
    func keywords(schema: JSONValue, value: JSONValue, fits: Bool) throws {
        let document: JSONValue = ["components": ["schemas": ["id": ["type": "integer"]]]]
        #expect(try JSONSchema(schema, in: document).violations(of: value).isEmpty == fits)
    }

    @Test(
        "refuses what it does not know, and says where",
        arguments: [
            (["unevaluatedProperties": false], "/unevaluatedProperties"), (["properties": ["a": ["oneOf": []]]], "/properties/a/oneOf"),
            (["type": "text"], "/type"), (["format": "ipv4"], "/format"), (["items": ["pattern": "("]], "/items/pattern"), ("x", ""),
            (["$ref": "other.json"], ""), (["$ref": "#/components/schemas/none"], ""), (["$ref": "#/components/schemas/loop"], nil),
            (["maxLength": "2"], "/maxLength"), (["$ref": "#/components/schemas/loop", "type": "string"], ""),
        ] as [(JSONValue, String?)])
    func refusals(schema: JSONValue, place: String?) throws {
        let document: JSONValue = ["components": ["schemas": ["loop": ["$ref": "#/components/schemas/loop"]]]]
        let error = #expect(throws: JSONSchema.Unreadable.self) { try JSONSchema(schema, in: document) }
        if let place { #expect(error?.path == place) }
    }

    @Test("says in which field and what, and never the value")
    func sentences() throws {
        let schema = try JSONSchema([
            "type": "object", "required": ["id"], "properties": ["a/b": ["type": "array", "items": ["type": "string", "maxLength": 3]]],
        ])
        let violations = schema.violations(of: ["a/b": ["ok", "hunter2"]])
        #expect(violations.map(\.description) == ["/id is missing", "/a~1b/1 has 7 characters"])
    }

    @Test("every example keeps what AsyncAPI says of it, and no example does without its first field", arguments: EventTypes.all)
    func ours(type: String) throws {
        let contracts = try EventContracts(asyncAPI: AsyncAPI.document())
        let event = try #require(EventCatalog.all.first { $0.type == type })
        let payload = try JSON.encode(event.example)
        let message = Self.message(event, payload)
        #expect(contracts.breaks(of: message) == [])
        guard case .object(var fields) = try JSON.decode(JSONValue.self, from: payload) else { return }
        let required = try #require(ContractBaseline.declared.first { $0.type == type }).schema["required"].array.compactMap(\.string)
        let first = try #require(required.first)
        fields[first] = nil
        #expect(contracts.breaks(of: Self.message(event, try JSON.encode(fields))) == ["the payload /\(first) is missing"])
    }

    @Test("a message's headers, key and topic are part of its contract")
    func headers() throws {
        let contracts = try EventContracts(asyncAPI: AsyncAPI.document())
        let payload = try JSON.encode(ArticleDeleted.example)
        func breaks(_ change: (inout [KafkaHeader]) -> Void, key: String? = nil, topic: String? = nil, value: String? = nil) -> [String] {
            let good = Self.message(ArticleDeleted.self, payload)
            var headers = good.headers
            change(&headers)
            return contracts.breaks(
                of: KafkaMessage(
                    place: TopicPartition(topic ?? good.topic, 0), offset: 0, key: key.map { Array($0.utf8) } ?? good.key,
                    value: value.map { Array($0.utf8) } ?? good.value, headers: headers, timestamp: nil, assignment: 0))
        }
        #expect(breaks { _ in } == [])
        #expect(breaks { $0.removeAll { $0.name == "ce_id" } } == ["the header ce_id is missing"])
        #expect(breaks { $0.append(KafkaHeader("ce_id", "7")) } == ["the header ce_id is missing or cannot be read"])
        #expect(
            breaks { $0.append(KafkaHeader("ce_type", "com.trionex.x.y.z.v9")) } == ["the document knows no event com.trionex.x.y.z.v9"])
        #expect(breaks { $0.append(KafkaHeader("traceparent", "x")) } == ["the header traceparent is none (W3C Trace Context)"])
        #expect(breaks { $0.append(KafkaHeader("content-type", "text/plain")) } == ["the content-type is not application/json"])
        #expect(breaks({ _ in }, key: "other") == ["the key is not <tenant>:<subject>"])
        #expect(breaks({ _ in }, topic: "trionex.audit") == ["com.trionex.content.article.deleted.v1 belongs to trionex.content.events"])
        #expect(breaks({ _ in }, value: "{") == ["the payload is no JSON"])
    }

    private static func message(_ event: any Event.Type, _ payload: Data) -> KafkaMessage {
        let envelope = EventEnvelope(
            id: .make(), source: "/services/x", type: event.type, subject: event.example.aggregateID, time: Date(), tenant: .make(),
            actor: "person:\(UserID.make())", traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        let record = CloudEvent.record(topic: event.topic.name, envelope: envelope, payload: Array(payload))
        return KafkaMessage(
            place: TopicPartition(record.topic, 0), offset: 0, key: record.key, value: record.value, headers: record.headers,
            timestamp: nil,
            assignment: 0)
    }
}
