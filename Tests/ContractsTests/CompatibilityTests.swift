import Contracts
import Foundation
import Messaging
import ServiceKit
import TestKit
import Testing

@Suite("Compatibility of events")
struct CompatibilityTests {
    private static let folder = URL(filePath: Repository.path("Tests/ContractsTests/Baseline"))

    @Test("no event breaks what was accepted before, and what was added has been accepted")
    func baseline() throws {
        let difference = try ContractBaseline(folder: Self.folder).difference(to: ContractBaseline.declared)
        for line in difference.breaks { Issue.record("\(line)") }
        for line in difference.additions { Issue.record("\(line): `trionex-events contracts accept` takes it, then commit") }
    }

    @Test("every payload that was published in a version can still be read, and keeps the schema", arguments: EventTypes.all)
    func examples(type: String) throws {
        let event = try #require(EventCatalog.all.first { $0.type == type })
        let entry = try #require(try ContractBaseline(folder: Self.folder).entries[type], "\(type) is not accepted yet")
        func decode<E: Event>(_ type: E.Type, _ data: Data) throws { _ = try JSON.decode(type, from: data) }
        let declared = try #require(try ContractBaseline.declared.first { $0.type == type })
        let schema = try JSONSchema(declared.schema)
        #expect(!entry.examples.isEmpty)
        for example in entry.examples {
            try decode(event, try JSON.encode(example))
            #expect(schema.violations(of: example).isEmpty)
        }
    }

    private static let old: JSONValue = [
        "type": "object", "required": ["id", "name"],
        "properties": [
            "id": ["type": "string", "format": "uuid"], "name": ["type": "string", "maxLength": 80], "note": ["type": "string"],
            "state": ["type": "string", "enum": ["on", "off"]],
            "lines": ["type": "array", "items": ["type": "object", "required": ["sum"], "properties": ["sum": ["type": "integer"]]]],
            "tags": ["type": "object", "additionalProperties": ["type": "string"]],
        ],
    ]

    private static func changed(_ path: [String], to value: JSONValue?) -> JSONValue { set(old, path[...], value) }

    private static func set(_ value: JSONValue, _ path: ArraySlice<String>, _ new: JSONValue?) -> JSONValue {
        guard let name = path.first, case .object(var object) = value else { return new ?? .null }
        object[name] = path.count == 1 ? new : set(value[name], path.dropFirst(), new)
        return .object(object)
    }

    @Test("an optional field may be added, at any depth, and words about fields may change")
    func additions() {
        let more = Self.changed(["properties", "more"], to: ["type": "number"])
        #expect(Compatibility(from: Self.old, to: more).breaks.isEmpty)
        #expect(Compatibility(from: Self.old, to: more).additions == ["/more is new"])
        let deep = Self.changed(["properties", "lines", "items", "properties", "tax"], to: ["type": "integer"])
        #expect(Compatibility(from: Self.old, to: deep).breaks.isEmpty)
        #expect(Compatibility(from: Self.old, to: deep).additions == ["/lines/*/tax is new"])
        let described = Self.changed(["properties", "id", "description"], to: "what it is")
        #expect(Compatibility(from: Self.old, to: described) == Compatibility(from: Self.old, to: Self.old))
    }

    @Test(
        "anything else breaks somebody",
        arguments: [
            (["properties", "note"], nil, "/note was removed"),
            (["properties", "name", "type"], "integer", "/name was string and is integer"),
            (["properties", "id", "format"], nil, "/id had format"), (["properties", "id", "format"], "uri", "/id had format"),
            (["properties", "name", "maxLength"], 90, "/name had maxLength"),
            (["properties", "note", "pattern"], "^x", "/note had pattern"),
            (["required"], ["id", "name", "note"], "/note was optional and is now required"),
            (["required"], ["id"], "/name was always there"),
            (["properties", "state", "enum"], ["on", "off", "broken"], "/state may now be broken"),
            (["properties", "state", "enum"], ["on"], "/state may no longer be off"),
            (["properties", "state", "enum"], nil, "/state has lost"), (["properties", "name", "enum"], ["x"], "/name has got"),
            (["properties", "lines", "items", "required"], [], "/lines/*/sum was always there"),
            (["properties", "lines", "items", "properties", "sum"], nil, "/lines/*/sum was removed"),
            (["properties", "lines", "items"], nil, "/lines/* has another schema"),
            (["properties", "tags", "additionalProperties", "type"], "integer", "/tags/* was string"),
            (["properties", "tags", "additionalProperties"], false, "/tags/* has another schema"), (["type"], "array", "/ was object"),
        ] as [([String], JSONValue?, String)])
    func breaks(path: [String], value: JSONValue?, expected: String) {
        let breaks = Compatibility(from: Self.old, to: Self.changed(path, to: value)).breaks
        #expect(breaks.contains { $0.hasPrefix(expected) }, "\(breaks)")
    }

    @Test("a field that is new and required breaks the reading of old messages")
    func newRequired() {
        let new = Self.set(Self.changed(["properties", "more"], to: ["type": "string"]), ["required"], ["id", "name", "more"])
        #expect(Compatibility(from: Self.old, to: new).breaks.count == 1)
        #expect(Compatibility(from: Self.old, to: new).breaks[0].hasPrefix("/more is new and required"))
    }

    private static func entry(_ type: String, topic: String = "t", _ schema: JSONValue = old, _ examples: JSONValue...)
        -> ContractBaseline.Entry
    {
        ContractBaseline.Entry(type: type, topic: topic, schema: schema, examples: examples)
    }

    @Test("an event that is gone or has moved breaks its contract until it is retired; a new one is taken")
    func gone() throws {
        var baseline = ContractBaseline([Self.entry("com.trionex.a.b.c.v1"), Self.entry("com.trionex.a.b.d.v1")])
        let moved = [Self.entry("com.trionex.a.b.c.v1", topic: "u"), Self.entry("com.trionex.a.b.c.v2")]
        let difference = baseline.difference(to: moved)
        #expect(difference.breaks.count == 2 && difference.additions == ["com.trionex.a.b.c.v2 is a new event"])
        let kept = baseline
        #expect(baseline.accept(moved).count == 2)
        #expect(baseline == kept, "nothing is taken while something breaks")
        let all = [Self.entry("com.trionex.a.b.c.v1"), Self.entry("com.trionex.a.b.c.v2")]
        #expect(baseline.accept(all, retired: ["com.trionex.a.b.d.v1"]).isEmpty)
        #expect(baseline.entries.keys.sorted() == ["com.trionex.a.b.c.v1", "com.trionex.a.b.c.v2"])
    }

    @Test("a break names the event, the place and the way out")
    func sentence() {
        let baseline = ContractBaseline([Self.entry("com.trionex.a.b.c.v1")])
        let broken = baseline.difference(to: [Self.entry("com.trionex.a.b.c.v1", Self.changed(["properties", "note"], to: nil))])
        #expect(
            broken.breaks == [
                "com.trionex.a.b.c.v1: /note was removed or renamed: consumers read it. Declare com.trionex.a.b.c.v2 and publish it beside this one."
            ])
    }

    @Test("accepting keeps the examples of before, on disk too")
    func accepted() throws {
        var baseline = ContractBaseline([Self.entry("com.trionex.a.b.c.v1", Self.old, ["id": "1"])])
        let more = Self.changed(["properties", "more"], to: ["type": "number"])
        let now = [Self.entry("com.trionex.a.b.c.v1", more, ["id": "1", "more": 2])]
        #expect(baseline.accept(now).isEmpty)
        #expect(baseline.accept(now).isEmpty, "once more changes nothing")
        #expect(baseline.entries["com.trionex.a.b.c.v1"]?.examples == [["id": "1"], ["id": "1", "more": 2]])
        let folder = FileManager.default.temporaryDirectory.appending(path: "trionex-baseline-\(UUID().uuidString)")
        defer { try? FileManager.default.removeItem(at: folder) }
        try baseline.write(to: folder)
        #expect(try ContractBaseline(folder: folder) == baseline)
        try ContractBaseline().write(to: folder)
        #expect(try ContractBaseline(folder: folder).entries.isEmpty)
    }
}
