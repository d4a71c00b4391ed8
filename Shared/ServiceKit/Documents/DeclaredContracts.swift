import Contracts
package import Messaging

extension ContractBaseline {
    /// What the code declares of every event now: topic, schema and example.
    package static var declared: [Entry] {
        get throws {
            let schemas = AsyncAPI.document()["components"]["schemas"]
            return try EventCatalog.all.map { event in
                Entry(
                    type: event.type, topic: event.topic.name, schema: schemas[AsyncAPI.key(event)],
                    examples: [try JSON.decode(JSONValue.self, from: JSON.encode(event.example))])
            }
        }
    }
}
