extension ServiceTemplate {
    /// Every file of a new service: `{{Name}}` is Billing, `{{word}}` billing, `{{WORD}}` BILLING.
    static let texts: [(path: String, text: String)] = [
        ("Services/{{Name}}/README.md", readme),
        ("Services/{{Name}}/{{Name}}.swift", composition),
        ("Services/{{Name}}/Configuration.swift", configuration),
        ("Services/{{Name}}/Main/Main.swift", main),
        ("Services/{{Name}}/Routes/NoteRoutes.swift", routes),
        ("Services/{{Name}}/Domain/Note.swift", domain),
        ("Services/{{Name}}/Store/NoteStore.swift", store),
        ("Services/{{Name}}/Events/GreetOrganization.swift", handler),
        ("migrations/{{word}}/0001_notes.sql", migration),
        ("Tests/{{Name}}ServiceTests/NoteTests.swift", tests),
    ]

    private static let readme = #"""
        # {{Name}}

        Keeps notes of an organization.

        | what | which |
        |---|---|
        | routes | `GET`, `POST /api/v1/{{word}}/notes`, `GET /api/v1/{{word}}/notes/:id` |
        | tables | `{{word}}.notes`, and `outbox`, `inbox`, `idempotency_keys` as every service |
        | publishes | `trionex.audit` `entry.recorded` |
        | consumes | `trionex.users.events` `organization.created` (group `trionex.{{word}}.organizations`) |
        | settings | `TRIONEX_{{WORD}}_NOTES`, and those of every program (`{{word}} --help`) |

        One request, `POST /api/v1/{{word}}/notes`: `Routes/NoteRoutes.swift` declares it with the permission `{{word}}:write` and is given
        the decoded body; `Domain/Note.swift` decides whether there may be one more; `Store/NoteStore.swift` writes the row; the audit
        entry goes to the outbox in the same transaction; the answer is the note as it is stored.

        """#

    private static let composition = #"""
        package import Contracts
        package import ServiceKit

        /// The composition root: clients in, endpoints and consumers out.
        package enum {{Name}}: Program {
            package static let name = ServiceName.{{word}}
            package static let port = {{port}}
            package static let summary = "Keeps notes of an organization."

            package static func assemble(_ settings: {{Name}}Settings, _ house: Foundations) throws -> Assembly {
                Assembly(
                    endpoints: [NoteRoutes(database: house.database, settings: settings).endpoints],
                    consumers: [Consumption("organizations", GreetOrganization())])
            }
        }

        """#

    private static let configuration = #"""
        package import ServiceKit

        /// What {{word}} alone is told through its environment.
        package struct {{Name}}Settings: ServiceSettings {
            /// How many notes an organization may have.
            package let notesLimit: Int

            package init(_ reader: inout SettingsReader) {
                notesLimit = reader.integer("{{WORD}}_NOTES", default: 1_000, in: 1...100_000, "Notes that an organization may have")
            }
        }

        """#

    private static let main = #"""
        import {{Name}}Service
        import ServiceKit

        @main struct Main {
            static func main() async { await Launch.run({{Name}}.self) }
        }

        """#

    private static let routes = #"""
        import Contracts
        import Foundation
        import Messaging
        import Postgres
        import ServiceKit

        /// Reading and writing notes: decode, one transaction, encode.
        struct NoteRoutes: Sendable {
            let database: Database
            let settings: {{Name}}Settings

            var endpoints: Endpoints {
                Endpoints("{{word}}/notes") {
                    Endpoint.get("", "List notes, the newest first", may: "{{word}}:read", list)
                    Endpoint.post("", "Write a note", may: "{{word}}:write", create)
                    Endpoint.get(":id", "Read a note", may: "{{word}}:read", read)
                }
            }

            func list(_ request: CallerRequest, _ query: NoteQuery) async throws -> Page<NoteView> {
                let limit = query.limit ?? .standard
                let notes = try await database.query(NoteStore.newest(after: query.cursor?.timeAndID, limit: limit.value + 1), as: request.caller)
                return Page(notes.map(NoteView.init), limit: limit) { Cursor(time: $0.createdAt, id: $0.id.uuid) }
            }

            func create(_ request: CallerRequest, _ draft: NoteDraft) async throws -> Created<NoteView> {
                let view = try await database.transaction(as: request.caller) { tx in
                    let notes = NoteStore(tx: tx)
                    let note = try Note.write(draft.title, existing: notes.count(), limit: settings.notesLimit, at: tx.now)
                    try notes.insert(note)
                    try Outbox(tx).append(
                        AuditEntryRecorded(
                            action: "{{word}}.note.create", resourceType: "note", resourceID: note.id.description,
                            actor: request.caller.principalText, outcome: "allowed", riskLevel: "low", address: request.clientAddress,
                            userAgent: request.userAgent, changed: [:]))
                    return NoteView(note)
                }
                return Created(view, at: "/api/v1/{{word}}/notes/\(view.id)")
            }

            /// Another organization's note answers 404: row-level security hides it.
            func read(_ request: CallerRequest) async throws -> NoteView {
                let id = try request.path("id", as: NoteID.self)
                guard let note = try await database.first(NoteStore.find(id), as: request.caller) else { throw ResourceFailure.notFound }
                return NoteView(note)
            }
        }

        /// The body of POST.
        struct NoteDraft: Decodable, Sendable {
            let title: Title
        }

        /// The query of the list.
        struct NoteQuery: Decodable, Sendable {
            let limit: PageLimit?
            let cursor: Cursor?
        }

        /// A note as clients see it. Property names are the JSON's.
        struct NoteView: View {
            let id: NoteID
            let title: Title
            let createdAt: Date

            init(_ note: Note) {
                id = note.id
                title = note.title
                createdAt = note.createdAt
            }
        }

        """#

    private static let domain = #"""
        import Contracts
        import Foundation

        enum NoteKind {}
        typealias NoteID = TypedID<NoteKind>

        /// Something that an organization wants to remember.
        struct Note: Equatable, Sendable {
            let id: NoteID
            let title: Title
            let createdAt: Date

            /// Refuses one more than the limit.
            static func write(_ title: Title, existing: Int, limit: Int, at now: Date) throws(NoteFailure) -> Note {
                guard existing < limit else { throw .tooMany }
                return Note(id: .make(at: now), title: title, createdAt: now)
            }
        }

        /// The refusals of notes.
        enum NoteFailure: String, Failure {
            case tooMany = "too-many-notes"

            var kind: FailureKind { .conflict }
            var detail: String? { "The organization has as many notes as it may have." }
        }

        """#

    private static let store = #"""
        import Contracts
        import Foundation
        import Postgres

        /// The rows of notes. Takes a transaction, never the pool: only a transaction carries a caller, and without a caller
        /// row-level security shows no rows. What is read alone is handed out as a `Query`.
        struct NoteStore {
            let tx: Transaction

            static func find(_ id: NoteID) -> Query<Note> {
                Query("SELECT id, title, created_at FROM notes WHERE id = \(id)", Note.init(row:))
            }

            /// By keyset: notes that are written meanwhile neither shift a page nor appear twice.
            static func newest(after place: (Date, UUID)?, limit: Int) -> Query<Note> {
                let after: SQL = place.map { time, id -> SQL in "WHERE (created_at, id) < (\(time), \(id))" } ?? .empty
                return Query(
                    "SELECT id, title, created_at FROM notes \(fragment: after) ORDER BY created_at DESC, id DESC LIMIT \(limit)", Note.init(row:))
            }

            func count() throws -> Int {
                try tx.first(Query("SELECT count(*) AS notes FROM notes") { row -> Int in try row("notes") }) ?? 0
            }

            func insert(_ note: Note) throws {
                try tx.execute(
                    """
                    INSERT INTO notes (tenant_id, id, title, created_at)
                    VALUES (\(tx.caller.tenant), \(note.id), \(note.title), \(note.createdAt))
                    """)
            }
        }

        extension Note {
            fileprivate init(row: Row) throws {
                self.init(id: try row("id"), title: try row("title"), createdAt: try row("created_at"))
            }
        }

        """#

    private static let handler = #"""
        import Contracts
        import Messaging
        import Postgres

        /// Gives a new organization its first note. The event's id is recorded in this same transaction, so a redelivery changes nothing.
        struct GreetOrganization: EventHandler {
            func handle(_ event: OrganizationCreated, _ envelope: EventEnvelope, in tx: Transaction) throws {
                guard let title = Title(rawValue: "Welcome, \(event.name)") else { return }
                try NoteStore(tx: tx).insert(Note(id: .make(at: tx.now), title: title, createdAt: tx.now))
            }
        }

        """#

    private static let migration = #"""
        -- include: _shared/messaging.sql
        -- include: _shared/outbox.sql
        -- include: _shared/inbox.sql
        -- include: _shared/idempotency.sql

        CREATE TABLE notes (
            tenant_id  uuid        NOT NULL,
            id         uuid        NOT NULL,
            title      text        NOT NULL,
            created_at timestamptz NOT NULL,
            PRIMARY KEY (tenant_id, id)
        );
        CREATE INDEX notes_newest ON notes (tenant_id, created_at DESC, id DESC);
        ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
        ALTER TABLE notes FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant ON notes
            USING (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid)
            WITH CHECK (tenant_id = NULLIF(current_setting('app.tenant_id', true), '')::uuid);
        GRANT SELECT, INSERT ON notes TO {service};

        """#

    private static let tests = #"""
        import Contracts
        import Foundation
        import TestKit
        import Testing

        @testable import {{Name}}Service

        @Suite struct NoteTests {
            let tenant = TestTenant()

            @Test("A note that was written can be read and is listed first")
            func writing() async throws {
                let client = try await TestHost.start({{Name}}.self).client(tenant.owner)
                let older = try await client.post("/api/v1/{{word}}/notes", ["title": "older"])
                let newer = try await client.post("/api/v1/{{word}}/notes", ["title": "newer"])
                #expect(older.status == 201 && newer.status == 201)
                let id = try #require(newer.json["id"].string)
                #expect(try await client.get("/api/v1/{{word}}/notes/\(id)").json["title"].string == "newer")
                let first = try await client.get("/api/v1/{{word}}/notes?limit=1")
                #expect(first.json["data"].array.map(\.["title"].string) == ["newer"])
                let cursor = try #require(first.json["nextCursor"].string)
                let second = try await client.get("/api/v1/{{word}}/notes?limit=1&cursor=\(cursor)")
                #expect(second.json["data"].array.map(\.["title"].string) == ["older"])
                #expect(second.json["nextCursor"].string == nil)
            }

            @Test("Writing a note leaves an audit entry")
            func audit() async throws {
                let host = try await TestHost.start({{Name}}.self)
                _ = try await host.client(tenant.owner).post("/api/v1/{{word}}/notes", ["title": "seen"])
                let announced = try await host.outbox(tenant.id)
                #expect(announced.map { $0.payload["action"].string } == ["{{word}}.note.create"])
            }

            @Test("More notes than an organization may have are refused")
            func limit() throws {
                let title = try #require(Title(rawValue: "one more"))
                #expect(throws: NoteFailure.tooMany) { try Note.write(title, existing: 3, limit: 3, at: Date()) }
                #expect(try Note.write(title, existing: 2, limit: 3, at: Date()).title == title)
            }

            @Test("A new organization finds a first note, also when the event comes twice")
            func greeting() async throws {
                let host = try await TestHost.start({{Name}}.self)
                let event = OrganizationCreated(
                    organizationID: tenant.id, name: "Engines", slug: "engines", plan: "starter", createdBy: tenant.owner.id)
                let eventID = EventID.make()
                try await host.publish(event, for: tenant.id, eventID: eventID)
                try await host.publish(event, for: tenant.id, eventID: eventID)
                let client = try await host.client(tenant.viewer)
                try await host.eventually("the note is there") {
                    try await client.get("/api/v1/{{word}}/notes").json["data"].array.map(\.["title"].string) == ["Welcome, Engines"]
                }
            }

            @Test("Every endpoint refuses nobody, the powerless and other organizations")
            func sweep() async throws {
                let host = try await TestHost.start({{Name}}.self)
                let note = try await host.client(tenant.owner).post("/api/v1/{{word}}/notes", ["title": "mine"])
                let id = try #require(note.json["id"].string)
                try await EndpointSweep.check(host, objects: ["id": id], bodies: ["POST /api/v1/{{word}}/notes": ["title": "x"]])
            }
        }

        """#
}
