import Contracts
import Foundation
import ServiceKit
import TestKit
import Testing

@Suite("The event contract")
struct EventContractTests {
    /// A new event writes its golden file and fails once, so that the file is looked at and committed.
    @Test("each event's form is the one in its golden file", arguments: EventTypes.all)
    func golden(type: String) throws {
        let event = try #require(EventCatalog.all.first { $0.type == type })
        let encoder = JSON.encoder()
        encoder.outputFormatting.insert(.prettyPrinted)
        let text = try encoder.encode(event.example) + Data("\n".utf8)
        let url = URL(filePath: Repository.path("Tests/ContractsTests/Golden/\(type).json"))
        guard let golden = try? Data(contentsOf: url) else {
            try text.write(to: url)
            Issue.record("\(url.lastPathComponent) is new: look at it and commit it")
            return
        }
        #expect(String(decoding: text, as: UTF8.self) == String(decoding: golden, as: UTF8.self))
    }

    @Test("what was published last year can still be read", arguments: EventTypes.all)
    func goldenDecodes(type: String) throws {
        let event = try #require(EventCatalog.all.first { $0.type == type })
        func decode<E: Event>(_ type: E.Type) throws {
            let data = try Data(contentsOf: URL(filePath: Repository.path("Tests/ContractsTests/Golden/\(E.type).json")))
            let event = try JSON.decode(type, from: data)
            #expect(try JSON.encode(event) == JSON.encode(E.example))
        }
        try decode(event)
    }

    @Test("no golden file is left of an event that is gone")
    func noOrphans() throws {
        let files = try FileManager.default.contentsOfDirectory(atPath: Repository.path("Tests/ContractsTests/Golden"))
        #expect(Set(files) == Set(EventCatalog.all.map { $0.type + ".json" }))
    }

    @Test("each event has one topic, its owner's, and a name of its own")
    func names() {
        #expect(Set(EventTypes.all).count == EventCatalog.all.count)
        for event in EventCatalog.all {
            #expect(Topic.all.contains(event.topic), "\(event.type)")
            #expect(event.name.wholeMatch(of: /[a-z-]+\.[a-z-]+/) != nil, "\(event.name)")
            #expect(event.summary.hasSuffix(".") && !event.example.aggregateID.isEmpty)
        }
    }

    @Test("AsyncAPI names every event with the schema of its golden file")
    func asyncAPI() throws {
        let document = AsyncAPI.document()
        for event in EventCatalog.all {
            let key = String(event.type.dropFirst("com.trionex.".count))
            let schema = document["components"]["schemas"][key]
            let example = try JSON.decode(JSONValue.self, from: JSON.encode(event.example))
            guard case .object(let fields) = example, case .object(let properties) = schema["properties"] else {
                Issue.record("\(key) is no object")
                continue
            }
            #expect(Set(fields.keys) == Set(properties.keys), "\(key): the example sets every field")
            #expect(document["channels"][event.topic.name]["messages"][key]["$ref"].string == "#/components/messages/\(key)")
        }
    }
}

enum EventTypes {
    static let all: [String] = EventCatalog.all.map { $0.type }
}
