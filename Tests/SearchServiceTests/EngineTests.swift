import Contracts
import DevStack
import Foundation
import Postgres
import TestKit
import Testing

/// The functions that reach the index with their owner's rights, called as nobody in the service would.
@Suite("The engine's own door")
struct EngineTests {
    private static let ranked = """
        ranked('[["narwhal"],["#needs:content:read"]]', '{}', NULL, '{content:read}', NULL, NULL, NULL,
            ARRAY['narwhal'::tsquery], ARRAY[NULL::tsquery], '{1}', NULL, 'narwhal', 10, now(), false, 100)
        """

    /// As the role that the program logs in as, with the organization set or not.
    private func ask(_ sql: String, tenant: TenantID?, role: String = "search") async throws -> [[String]] {
        let servers = try await TestServers.shared.value
        let setting = tenant.map(\.description) ?? ""
        return try await Psql.rows(
            """
            BEGIN; SET LOCAL ROLE \(role); SET LOCAL search_path = search, public; SET LOCAL app.tenant_id = '\(setting)';
            \(sql); COMMIT
            """, servers.postgres.url())
    }

    @Test("gives an organization its own, another and nobody nothing")
    func tenants() async throws {
        let library = try await Library.open()
        let other = try await Library.open()
        let id = try await library.add("Narwhal")
        try await other.add("Walrus")
        #expect(try await ask("SELECT id FROM \(Self.ranked)", tenant: library.tenant.id) == [[id.description]])
        #expect(try await ask("SELECT id FROM \(Self.ranked)", tenant: other.tenant.id).isEmpty)
        #expect(try await ask("SELECT id FROM \(Self.ranked)", tenant: nil).isEmpty)
        let words = "SELECT stem FROM understand('{narwh}', 1, '{1}', false, '{content:read}') WHERE kind = 'prefix'"
        #expect(try await ask(words, tenant: library.tenant.id) == [["narwhal"]])
        #expect(try await ask(words, tenant: other.tenant.id).isEmpty)
        #expect(try await ask(words, tenant: nil).isEmpty)
        let errors = "SELECT stem FROM understand('{narhwal}', 0, '{1}', false, '{content:read}') WHERE kind = 'near'"
        #expect(try await ask(errors, tenant: library.tenant.id) == [["narwhal"]])
        #expect(try await ask(errors, tenant: other.tenant.id).isEmpty)
    }

    @Test("gives nothing without the permission, and a key made for another organization finds nothing there")
    func permissions() async throws {
        let library = try await Library.open()
        let other = try await Library.open()
        try await library.add("Narwhal")
        let blind = Self.ranked.replacing("'{content:read}'", with: "'{files:read}'")
        #expect(try await ask("SELECT id FROM \(blind)", tenant: library.tenant.id).isEmpty)
        // The mark before a key is public knowledge; the organization's id is compared besides.
        let mark = try await ask("SELECT tenant_mark('\(library.tenant.id)')", tenant: library.tenant.id)[0][0]
        let forged = Self.ranked.replacing("\"narwhal\"", with: "\"\(mark)narwhal\"")
        #expect(try await ask("SELECT id FROM \(forged)", tenant: other.tenant.id).isEmpty)
    }

    @Test("is closed to every other role", arguments: ["content", "search_platform", "users"])
    func others(role: String) async throws {
        await #expect(throws: StackFailure.self) {
            try await ask("SELECT id FROM search.\(Self.ranked)", tenant: .make(), role: role)
        }
        await #expect(throws: StackFailure.self) {
            try await ask("SELECT stem FROM search.understand('{a}', 1, '{1}', false, '{content:read}')", tenant: .make(), role: role)
        }
    }

    @Test("reads only the postings of the organization: the index narrows by its marked keys, not by reading its documents")
    func index() async throws {
        let library = try await Library.open()
        try await library.add("Narwhal")
        let plan = try await Psql.rows(
            """
            BEGIN; SET LOCAL ROLE search_owner; SET LOCAL search_path = search, public; SET LOCAL enable_seqscan = off;
            SET LOCAL app.tenant_id = '\(library.tenant.id)';
            EXPLAIN SELECT id FROM documents d
            WHERE document_keys(d.tenant_id, d.words, d.type, d.needs, d.tags, d.category, d.author_id) @@ 'xxxxnarwhal' AND searchable
                AND tenant_id = '\(library.tenant.id)';
            COMMIT
            """, try await TestServers.shared.value.postgres.url())
        let text = plan.map { $0[0] }.joined(separator: "\n")
        #expect(text.contains("documents_by_key") && text.contains("Index Cond: (document_keys("), "\(text)")
    }
}
