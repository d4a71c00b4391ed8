import Contracts
import Foundation
import TestKit
import Testing

@Suite("Settings of searches")
struct SettingsTests {
    private static let path = "\(Library.path)/settings"

    @Test("synonyms and stop words count from the next search on, for this organization alone, and the change is on record")
    func synonyms() async throws {
        let library = try await Library.open()
        let other = try await Library.open()
        for one in [library, other] {
            try await one.add("Automobile repair")
            try await one.add("Motor vehicle tax")
            try await one.add("Gardening")
        }
        let admin = try await library.host.client(library.tenant.owner)
        #expect(try await admin.get(Self.path)["synonyms"] == [])
        #expect(try await library.titles("car").isEmpty)
        let saved = try await admin.put(
            Self.path, ["synonyms": [["car", "automobile", "motor vehicle"]], "stopWords": ["ACME"], "language": "german"])
        #expect(saved.status == 200)
        #expect(saved["language"] == "german")
        #expect(saved.header("etag") == "\"v1\"")
        #expect(try await Set(library.titles("car")) == ["Automobile repair", "Motor vehicle tax"])
        #expect(try await Set(library.titles("motor vehicle")) == ["Automobile repair", "Motor vehicle tax"])
        #expect(try await library.titles("acme gardening") == ["Gardening"])
        #expect(try await other.titles("car").isEmpty)
        let announced = try await library.host.outbox(library.tenant.id)
        #expect(announced.map { $0.payload["action"].string } == ["search.settings.replace"])
        // Of documents that do not show their language, the organization's is taken.
        try await library.add("Häuser")
        #expect(try await library.titles("haus") == ["Häuser"])
    }

    @Test("behind a large group of synonyms demands and exclusions still count")
    func crowded() async throws {
        let library = try await Library.open()
        try await library.add("Blue car insurance")
        try await library.add("Red car insurance")
        try await library.add("Blue car")
        let admin = try await library.host.client(library.tenant.owner)
        let group: [JSONValue] = [.string("car")] + (1...19).map { .string("motor vehicle kind number \($0)") }
        #expect(try await admin.put(Self.path, ["synonyms": .array([.array(group)])]).status == 200)
        #expect(try await library.titles("car insurance -red").first == "Blue car insurance")
        for text in ["car -red", "car insurance -red", "car car car car car car -red"] {
            #expect(try await library.titles(text).allSatisfy { !$0.hasPrefix("Red") }, "\(text)")
        }
        #expect(try await library.titles("car car car \"insurance\"").contains("Blue car") == false)
    }

    @Test("what makes no sense is refused with its place, a stale change too, and others may not even look")
    func refusals() async throws {
        let library = try await Library.open()
        let admin = try await library.host.client(library.tenant.owner)
        let bad = try await admin.put(Self.path, ["synonyms": [["one"], ["same", "SAME"], ["a", "b"]]])
        #expect(bad.status == 400)
        #expect(Set(bad.badFields) == ["/synonyms/0", "/synonyms/1"])
        #expect(try await admin.put(Self.path, ["language": "klingon"]).badFields == ["/language"])
        #expect(try await admin.put(Self.path, ["stopWords": ["x"]]).status == 200)
        #expect(try await admin.put(Self.path, [:], headers: ["If-Match": "\"v0\""]).status == 412)
        #expect(try await library.reader.get(Self.path).status == 403)
        #expect(try await library.reader.put(Self.path, [:]).status == 403)
    }
}
