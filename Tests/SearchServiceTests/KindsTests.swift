import Contracts
import Foundation
import Postgres
import TestKit
import Testing

@Suite("What else is found: files and people")
struct KindsTests {
    @Test("a file is found by its name, parts of it and its kind, until it is deleted")
    func files() async throws {
        let library = try await Library.open()
        let id = FileID.make()
        try await library.host.publish(
            FileUploaded(
                fileID: id, name: "Annual-Report_2026finalDraft.pdf", contentType: "application/pdf", size: 3, sha256: "00",
                uploadedBy: library.tenant.editor.id), for: library.tenant.id)
        try await library.host.eventually("it is found") { try await library.search("annual report")["total"] == 1 }
        for text in ["Annual-Report_2026finalDraft.pdf", "report 2026", "pdf", "draft", "anual reprot"] {
            #expect(try await library.titles(text, "&type=file") == ["Annual-Report_2026finalDraft.pdf"], "\(text)")
        }
        let hit = try await library.search("annual", "&author=\(library.tenant.editor.id)")["data"][0]
        #expect(hit["type"] == "file" && hit["id"].string == id.description && hit["slug"].isNull)
        try await library.host.publish(FileDeleted(fileID: id, size: 3), for: library.tenant.id)
        try await library.host.eventually("it is gone") { try await library.search("annual report")["total"] == 0 }
    }

    @Test("people are found by name and address, as the last event of them says, and not when they have left")
    func people() async throws {
        let library = try await Library.open()
        let id = UserID.make()
        try await library.host.publish(
            UserCreated(userID: id, email: "ada@engines.example", firstName: "Ada", lastName: "Byron", role: "editor"),
            for: library.tenant.id)
        try await library.host.eventually("she is found") { try await library.titles("byron") == ["Ada Byron"] }
        #expect(try await library.titles("ada@engines.example") == ["Ada Byron"])
        #expect(try await library.titles("engines", "&type=person") == ["Ada Byron"])
        try await library.host.publish(
            UserUpdated(userID: id, email: "ada@engines.example", firstName: "Ada", lastName: "Lovelace", role: "editor", status: "active"),
            for: library.tenant.id)
        try await library.host.eventually("by her new name") { try await library.titles("lovelace") == ["Ada Lovelace"] }
        #expect(try await library.titles("byron").isEmpty)
        try await library.host.publish(MemberRemoved(userID: id), for: library.tenant.id)
        try await library.host.eventually("she is gone") { try await library.titles("lovelace").isEmpty }
    }

    @Test("who may not read a kind of thing finds none: not in results, totals, facets, completions or corrections")
    func permissions() async throws {
        let library = try await Library.open()
        let fileID = FileID.make(), personID = UserID.make()
        try await library.add("Quetzal habits")
        try await library.host.publish(
            FileUploaded(fileID: fileID, name: "quetzalcoatl.pdf", contentType: "application/pdf", size: 1, sha256: "00", uploadedBy: nil),
            for: library.tenant.id)
        try await library.host.publish(
            UserCreated(userID: personID, email: "q@quetzal.example", firstName: "Quetzaly", lastName: "Moreno", role: "user"),
            for: library.tenant.id)
        try await library.host.eventually("all are found") { try await library.search("quetz")["total"] == 3 }
        // What two transactions learn at once one of them leaves to the worker.
        try await library.host.eventually("their words are known") { try await library.suggestions("quet").count == 3 }
        for (permissions, types) in [
            (["search:read", "content:read"], ["article"]), (["search:read", "files:read"], ["file"]),
            (["search:read", "users:read", "content:read"], ["article", "person"]), (["search:read"], []),
        ] {
            let person = TestPerson(permissions: permissions.compactMap { Permission($0) }, in: library.tenant.id)
            let client = try await library.host.client(person)
            for text in ["quetz", "quetzla", "moreno quetzal", "quetzalcoatl"] {
                let answer = try await client.get("\(Library.path)?q=\(text.replacing(" ", with: "+"))")
                let found = Set(answer["data"].array.compactMap { $0["type"].string })
                #expect(found.isSubset(of: types), "\(text): \(found) with \(permissions)")
                #expect(answer["total"].int == answer["data"].array.count)
                for type in ["article", "file", "person"] {
                    #expect((answer["facets"]["type"][type].int ?? 0 > 0) == found.contains(type))
                }
            }
            let suggested = try await client.get("\(Library.path)/suggest?q=quet")
            #expect(Set(suggested["data"].array.compactMap { $0["type"].string }) == Set(types))
        }
    }

    @Test("a document for one person alone is found by that person alone, and teaches the vocabulary nothing")
    func alone() async throws {
        let library = try await Library.open()
        let id = try await library.add("Axolotl diary", "<p>regeneration notes</p>")
        let owner = library.tenant.editor
        _ = try await library.host.database.execute(
            "UPDATE documents SET only_for = \(owner.id) WHERE id = \(id)", as: .service(.search, for: library.tenant.id))
        let mine = try await library.host.client(owner)
        #expect(try await mine.get("\(Library.path)?q=axolotl")["total"] == 1)
        #expect(try await mine.get("\(Library.path)/suggest?q=axo")["data"].array.count == 1)
        let other = try await library.search("axolotl")
        #expect(other["total"] == 0 && other["facets"]["type"] == [:])
        #expect(try await library.suggestions("axo").isEmpty)
    }
}
