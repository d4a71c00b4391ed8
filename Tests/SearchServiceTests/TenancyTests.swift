import Contracts
import TestKit
import Testing

@Suite("Search and its tenants")
struct TenancyTests {
    @Test("an organization finds its own and nothing else, not even in counts")
    func isolation() async throws {
        let library = try await Library.open()
        let other = try await Library.open()
        let id = try await library.add("Narwhals", tags: ["arctic"])
        let answer = try await other.search("narwhals")
        #expect(answer["data"] == [])
        #expect(answer["total"] == 0)
        #expect(answer["facets"] == ["type": [:], "tag": [:], "category": [:], "author": [:]])
        try await other.delete(id, version: 99)
        try await other.host.eventually("the other's event was handled") { try await other.indexed(id)?.version == 99 }
        #expect(try await library.titles("narwhals") == ["Narwhals"])
    }

    @Test("every endpoint refuses nobody, the powerless and the foreign")
    func sweep() async throws {
        let library = try await Library.open()
        try await EndpointSweep.check(library.host)
    }
}
