import Foundation
import TestKit
import Testing

/// Row-level security tried out on every table of every service, with a row in it: not what the catalogue says, but what happens.
@Suite("Row-level security")
struct RowSecurityTests {
    /// For each table a row of one organization is written by the administrator. Then, as the service's own role, with no organization set
    /// and with another one, everything that the role could do to the row is tried; with the right one, the row is seen. All of it in
    /// a transaction that is rolled back.
    private static let script = """
        BEGIN;
        SET LOCAL session_replication_role = replica;
        CREATE TEMP TABLE proof (service text, tab text, probe text, outcome text) ON COMMIT DROP;
        DO $proof$
        DECLARE
            mine constant uuid := '00000000-0000-4000-8000-00000000000a';
            theirs constant uuid := '00000000-0000-4000-8000-00000000000b';
            t record; c record; names text; vals text; one text; setting text; n bigint; outcome text; probe text; first_column text;
            identity text;
        BEGIN
            FOR t IN
                SELECT n.nspname AS service, cl.relname AS name, cl.oid FROM pg_class cl JOIN pg_namespace n ON n.oid = cl.relnamespace
                WHERE cl.relkind IN ('r', 'p') AND NOT cl.relispartition
                  AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public', 'trionex_migrations') AND n.nspname NOT LIKE 'pg_%'
                ORDER BY 1, 2
            LOOP
                FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = t.oid AND contype = 'c' LOOP
                    EXECUTE format('ALTER TABLE %I.%I DROP CONSTRAINT %I', t.service, t.name, c.conname);
                END LOOP;
                names := ''; vals := '';
                FOR c IN
                    SELECT a.attname, format_type(a.atttypid, NULL) AS type, ty.typtype, a.atttypid FROM pg_attribute a
                    JOIN pg_type ty ON ty.oid = a.atttypid
                    WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
                      AND (a.attnotnull OR a.attname = 'tenant_id') ORDER BY a.attnum
                LOOP
                    one := CASE
                        WHEN c.attname = 'tenant_id' THEN quote_literal(mine)
                        WHEN c.type = 'uuid' THEN quote_literal(gen_random_uuid())
                        WHEN c.type LIKE '%[]' THEN '''{}'''
                        WHEN c.type IN ('text', 'character varying', 'citext') THEN '''x'''
                        WHEN c.type IN ('smallint', 'integer', 'bigint', 'numeric', 'double precision', 'real') THEN '1'
                        WHEN c.type = 'boolean' THEN 'true'
                        WHEN c.type IN ('timestamp with time zone', 'timestamp without time zone', 'date') THEN 'now()'
                        WHEN c.type IN ('jsonb', 'json') THEN '''{}'''
                        WHEN c.type = 'bytea' THEN 'decode(repeat(''00'', 32), ''hex'')'
                        WHEN c.type = 'inet' THEN '''::1'''
                        WHEN c.type = 'interval' THEN '''1 day'''
                        ELSE '''''' END;
                    names := names || ', ' || quote_ident(c.attname);
                    vals := vals || ', ' || one || '::' || c.type;
                END LOOP;
                names := substr(names, 3); vals := substr(vals, 3);
                EXECUTE format('INSERT INTO %I.%I (%s) VALUES (%s)', t.service, t.name, names, vals);
                SELECT attname INTO first_column FROM pg_attribute a WHERE a.attrelid = t.oid AND a.attnum > 0 AND NOT a.attisdropped
                    AND a.attgenerated = '' AND a.attidentity = '' AND has_column_privilege(t.service, t.oid, a.attnum, 'UPDATE')
                    ORDER BY a.attname = 'tenant_id', a.attnum LIMIT 1;
                FOREACH setting IN ARRAY ARRAY['', theirs::text, 'right'] LOOP
                    FOREACH probe IN ARRAY ARRAY['select', 'update', 'delete', 'insert'] LOOP
                        PERFORM set_config('app.tenant_id', CASE setting WHEN 'right' THEN mine::text ELSE setting END, true);
                        IF setting = 'right' AND probe <> 'select' THEN CONTINUE; END IF;
                        BEGIN
                            EXECUTE format('SET LOCAL ROLE %I', t.service);
                            n := 0;
                            IF probe = 'select' THEN
                                EXECUTE format('SELECT count(*) FROM %I.%I WHERE tenant_id = %L', t.service, t.name, mine) INTO n;
                            ELSIF probe = 'update' THEN
                                IF first_column IS NULL THEN RAISE insufficient_privilege; END IF;
                                EXECUTE format('UPDATE %I.%I SET %I = %I', t.service, t.name, first_column, first_column);
                                GET DIAGNOSTICS n = ROW_COUNT;
                            ELSIF probe = 'delete' THEN
                                EXECUTE format('DELETE FROM %I.%I', t.service, t.name);
                                GET DIAGNOSTICS n = ROW_COUNT;
                            ELSE
                                EXECUTE format('INSERT INTO %I.%I (%s) VALUES (%s)', t.service, t.name, names, vals);
                                GET DIAGNOSTICS n = ROW_COUNT;
                            END IF;
                            outcome := n::text;
                        EXCEPTION WHEN insufficient_privilege THEN outcome := 'refused';
                        END;
                        RESET ROLE;
                        INSERT INTO proof VALUES (t.service, t.name,
                            probe || CASE setting WHEN '' THEN ' without' WHEN 'right' THEN ' with the right' ELSE ' with another' END, outcome);
                    END LOOP;
                END LOOP;
            END LOOP;
        END
        $proof$;
        SELECT service, tab, probe, outcome FROM proof ORDER BY 1, 2, 3;
        ROLLBACK;
        """

    @Test("lets no service see, change, remove or add a row without an organization, or with another's, in any table")
    func everyTable() async throws {
        let rows = try await Psql.rows(Self.script)
        var tables: Set<String> = []
        for row in rows {
            let (table, probe, outcome) = ("\(row[0]).\(row[1])", row[2], row[3])
            tables.insert(table)
            if probe == "select with the right" {
                // The control: the row is there to be seen, for a role that may read the table at all.
                #expect(outcome == "1" || outcome == "refused", "\(table): \(probe) saw \(outcome)")
            } else if probe.hasPrefix("insert") {
                #expect(outcome == "refused", "\(table): \(probe) wrote \(outcome)")
            } else {
                #expect(outcome == "0" || outcome == "refused", "\(table): \(probe) reached \(outcome)")
            }
        }
        let seen = rows.filter { $0[2] == "select with the right" && $0[3] == "1" }.count
        #expect(tables.count >= 40 && seen >= 30, "\(tables.count) tables, \(seen) of them readable by their service")
        print("row-level security: \(rows.count) probes on \(tables.count) tables, \(seen) of them readable by their service")
    }

    @Test("a partition cannot be reached past its table")
    func partitions() async throws {
        let rows = try await Psql.rows(
            """
            SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relispartition AND (has_table_privilege(n.nspname::text, c.oid, 'SELECT, INSERT, UPDATE, DELETE'))
              AND NOT c.relrowsecurity
            """)
        #expect(rows.isEmpty, "\(rows)")
    }
}
