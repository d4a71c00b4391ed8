import Foundation

/// The schemas of a drill, as migrations: what the product's services all include (outbox and inbox as they are today), then the drill's own
/// tables.
enum DrillTables {
    /// Writes them into `folder`, taking the shared parts from the product's `migrations`.
    static func write(into folder: String, from migrations: String) throws {
        let files = FileManager.default
        for name in ["_shared", "source", "sink"] {
            try files.createDirectory(atPath: "\(folder)/\(name)", withIntermediateDirectories: true)
        }
        let parts = try sharedParts(in: migrations)
        for part in parts { try files.copyItem(atPath: "\(migrations)/\(part)", toPath: "\(folder)/\(part)") }
        for (service, tables) in [("source", sourceTables), ("sink", sinkTables)] {
            let texts = parts.map { "-- include: \($0)\n" } + [tables]
            for (index, text) in texts.enumerated() {
                let path = "\(folder)/\(service)/" + String(format: "%04d_part.sql", index + 1)
                try text.write(toFile: path, atomically: true, encoding: .utf8)
            }
        }
    }

    /// The fragments that every service includes, in the order in which they do.
    private static func sharedParts(in migrations: String) throws -> [String] {
        let files = FileManager.default
        let services = try files.contentsOfDirectory(atPath: migrations).filter { !$0.hasPrefix("_") && !$0.hasPrefix(".") }.sorted()
        let included = try services.map { service in
            try files.contentsOfDirectory(atPath: "\(migrations)/\(service)").sorted().flatMap { file in
                try String(contentsOfFile: "\(migrations)/\(service)/\(file)", encoding: .utf8).split(separator: "\n")
                    .filter { $0.hasPrefix("-- include:") }.map { $0.dropFirst("-- include:".count).trimmingCharacters(in: .whitespaces) }
            }
        }
        guard let first = included.first else { throw DrillFailure("there are no migrations in \(migrations)") }
        return first.filter { part in included.allSatisfy { $0.contains(part) } }
    }

    private static let policies = """
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON {table}
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        CREATE POLICY platform ON {table} TO {service}_platform USING (true);
        GRANT SELECT, INSERT, UPDATE ON {table} TO {service};
        GRANT SELECT ON {table} TO {service}_platform;
        """

    private static let sourceTables =
        """
        -- The state: the last number of each key.
        CREATE TABLE counters (
            tenant_id uuid   NOT NULL,
            subject   text   NOT NULL,
            last      bigint NOT NULL,
            PRIMARY KEY (tenant_id, subject)
        );

        """ + policies.replacing("{table}", with: "counters")

    private static let sinkTables =
        """
        -- The last number of each key that took effect, and how many have.
        CREATE TABLE marks (
            tenant_id uuid   NOT NULL,
            subject   text   NOT NULL,
            last      bigint NOT NULL,
            handled   bigint NOT NULL,
            PRIMARY KEY (tenant_id, subject)
        );
        -- One row for each effect; nothing keeps it from being there twice.
        CREATE TABLE effects (
            position    bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            tenant_id   uuid        NOT NULL,
            subject     text        NOT NULL,
            number      bigint      NOT NULL,
            previous    bigint      NOT NULL,
            produced_at timestamptz NOT NULL,
            applied_at  timestamptz NOT NULL DEFAULT clock_timestamp()
        );

        """ + policies.replacing("{table}", with: "marks") + "\n" + policies.replacing("{table}", with: "effects")
}
