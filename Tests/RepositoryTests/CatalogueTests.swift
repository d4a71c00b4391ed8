import DevStack
import Foundation
import TestKit
import Testing

/// The law of row-level security, read off the catalogue of a database that has every migration applied.
@Suite("The catalogue")
struct CatalogueTests {
    private static let policy = "(tenant_id = (NULLIF(current_setting('app.tenant_id'::text, true), ''::text))::uuid)"

    private func ask(_ sql: String) async throws -> [[String]] {
        let servers = try await TestServers.shared.value
        return try await Psql.rows(sql, servers.postgres.url())
    }

    private static let tables = """
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public', 'trionex_migrations')
          AND n.nspname NOT LIKE 'pg_%'
        """

    @Test("every table has tenant_id, and row-level security enabled and forced")
    func tables() async throws {
        let rows = try await ask(
            """
            SELECT n.nspname || '.' || c.relname, c.relrowsecurity, c.relforcerowsecurity,
                   EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND a.attnotnull
                           AND a.atttypid = 'uuid'::regtype)
            \(Self.tables) ORDER BY 1
            """)
        #expect(rows.count >= 30, "there are tables of eight services: \(rows.count)")
        for row in rows { #expect(row[1...] == ["t", "t", "t"], "\(row[0])") }
    }

    @Test("every table has the one policy for reading and writing")
    func policies() async throws {
        let rows = try await ask(
            """
            SELECT n.nspname || '.' || c.relname, coalesce(p.policies, '')
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            LEFT JOIN LATERAL (SELECT string_agg(qual || ' | ' || coalesce(with_check, qual), ';') AS policies FROM pg_policies p
                WHERE p.schemaname = n.nspname AND p.tablename = c.relname AND p.roles = '{public}' AND p.cmd = 'ALL') p ON true
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public', 'trionex_migrations')
              AND n.nspname NOT LIKE 'pg_%' ORDER BY 1
            """)
        for row in rows { #expect(row[1] == "\(Self.policy) | \(Self.policy)", "\(row[0]): \(row[1])") }
    }

    @Test("any other policy is for the service's platform role, or lets the owner, which cannot log in, read for functions that it defines")
    func otherPolicies() async throws {
        let rows = try await ask(
            """
            SELECT schemaname || '.' || tablename || ': ' || policyname, array_to_string(roles, ','), schemaname, cmd FROM pg_policies
            WHERE roles <> '{public}' ORDER BY 1
            """)
        for row in rows {
            let isOwners = row[1] == row[2] + "_owner" && row[3] == "SELECT"
            #expect(isOwners || row[1] == row[2] + "_platform", "\(row[0]) is for \(row[1])")
        }
    }

    @Test(
        "functions that run with their owner's rights fix their search path, are the owner's, and are called by one role of the service alone"
    )
    func definers() async throws {
        let rows = try await ask(
            """
            SELECT n.nspname || '.' || p.proname, pg_get_userbyid(p.proowner), n.nspname,
                EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search\\_path=%' AND setting LIKE '%pg\\_temp'),
                (SELECT string_agg(pg_get_userbyid(a.grantee), ',' ORDER BY a.grantee = p.proowner)
                 FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS a)
            FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
            WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public') ORDER BY 1
            """)
        // Those of the outbox and inbox are the relay's, in every schema; any other is named here, with the role that may call it.
        let shared = ["outbox_days", "inbox_days"]
        let own = [
            "analytics.drop_partition": "analytics_platform", "analytics.make_partition": "analytics_platform",
            "search.ranked": "search", "search.understand": "search",
        ]
        #expect(rows.map(\.[0]).filter { name in !shared.contains { name.hasSuffix(".\($0)") } } == own.keys.sorted())
        for row in rows {
            let caller = own[row[0]] ?? row[2] + "_platform"
            #expect(row[1] == row[2] + "_owner" && row[3] == "t" && row[4] == "\(caller),\(row[2])_owner", "\(row)")
        }
    }

    @Test("indexes over several columns begin with tenant_id, but for the platform's own work")
    func indexes() async throws {
        let rows = try await ask(
            """
            SELECT n.nspname || '.' || i.relname, a.attname
            FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class c ON c.oid = x.indrelid
            JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = x.indkey[0]
            WHERE x.indnkeyatts > 1 AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public', 'trionex_migrations')
              AND n.nspname NOT LIKE 'pg_%' ORDER BY 1
            """)
        #expect(!rows.isEmpty)
        for row in rows where !row[0].contains("_platform_") { #expect(row[1] == "tenant_id", "\(row[0]) begins with \(row[1])") }
    }

    @Test("a service's role owns nothing, cannot bypass row-level security and inherits nothing")
    func roles() async throws {
        for service in Checkout.services.map({ $0.lowercased() }) {
            let rows = try await ask(
                """
                SELECT rolsuper, rolbypassrls, rolinherit, rolcreaterole, rolcreatedb,
                       EXISTS (SELECT 1 FROM pg_class WHERE relowner = r.oid)
                FROM pg_roles r WHERE rolname IN ('\(service)', '\(service)_platform')
                """)
            #expect(rows.count == 2, "\(service)")
            for row in rows { #expect(row[0] == "f" && row[1] == "f" && row[3...] == ["f", "f", "f"], "\(service): \(row)") }
        }
    }

    @Test("no service's role can read another's schema")
    func schemas() async throws {
        let rows = try await ask(
            """
            SELECT r.rolname, n.nspname FROM pg_roles r, pg_namespace n
            WHERE r.rolname IN (\(Checkout.services.map { "'\($0.lowercased())'" }.joined(separator: ", ")))
              AND n.nspname IN (\(Checkout.services.map { "'\($0.lowercased())'" }.joined(separator: ", ")))
              AND r.rolname <> n.nspname AND has_schema_privilege(r.rolname, n.nspname, 'USAGE')
            """)
        #expect(rows.isEmpty, "\(rows)")
    }
}

/// The administrator's look at the catalogue, through psql: our own client refuses a superuser, as it should.
private enum Psql {
    static func rows(_ sql: String, _ url: String) async throws -> [[String]] {
        guard let psql = ["/usr/bin/psql", "/usr/local/bin/psql"].first(where: { FileManager.default.isExecutableFile(atPath: $0) }) else {
            throw StackFailure("psql is not installed: it comes with the package postgresql")
        }
        let log = FileManager.default.temporaryDirectory.appending(path: "trionex-psql-\(UUID().uuidString)").path(percentEncoded: false)
        defer { try? FileManager.default.removeItem(atPath: log) }
        let launch = ProcessLaunch(psql, ["-X", "-A", "-t", "-F", "\u{1F}", "-v", "ON_ERROR_STOP=1", "-c", sql, url], log: log)
        let (exit, output) = try await ManagedProcess.run(launch, atMost: .seconds(20))
        guard exit == .code(0) else { throw StackFailure("psql: \(output)") }
        return output.split(separator: "\n").map { $0.split(separator: "\u{1F}", omittingEmptySubsequences: false).map(String.init) }
    }
}
