import Contracts
import DevStack
import Foundation
import NIOHTTP1
import Synchronization
import TestKit
import Testing

/// Somebody who is not of ada's organization.
struct SweptCaller: Sendable {
    let name: String
    let token: String?
    var headers: [String: String] = [:]
    var isAlive = true

    /// Eve; a key of hers; a member of hers who may nothing; nobody; and eve, who says that she is of ada's.
    static func all(_ world: IsolationTests.World) async throws -> [SweptCaller] {
        let eve = world.eve
        var callers = [SweptCaller(name: "owner", token: eve.token)]
        let key = try await eve.client.post("/api/v1/auth/api-keys", ["name": "sweep", "scopes": ["*"]])
        guard let secret = key["key"].string ?? key["secret"].string ?? key["apiKey"].string else {
            throw SweptOrganization.Unmade(description: "a key answered \(key.status) \(key.text)")
        }
        callers.append(SweptCaller(name: "API key", token: secret))
        callers.append(SweptCaller(name: "powerless member", token: try await member(of: eve, world.platform)))
        callers.append(SweptCaller(name: "nobody", token: nil))
        callers.append(SweptCaller(name: "owner naming the other's slug", token: eve.token, headers: ["x-tenant-slug": world.ada.slug]))
        return callers
    }

    /// Somebody who was invited by mail, and joined as a viewer.
    private static func member(of organization: SweptOrganization, _ platform: Platform) async throws -> String {
        let unique = UUID().uuidString.lowercased().prefix(8), email = "\(organization.mark).\(unique)@example.org"
        let invited = try await organization.client.post(
            "/api/v1/organizations/\(organization.id)/invitations", ["email": .string(email), "role": "viewer"])
        guard invited.status < 300 else {
            throw SweptOrganization.Unmade(description: "inviting answered \(invited.status) \(invited.text)")
        }
        var token: String?
        try await TrionexTesting.eventually("the invitation comes by mail") {
            let mails = try await GatewayClient(base: platform.mail).get("/messages?to=\(email)").json.array
            let match = mails.compactMap { $0["body"].string }.joined().firstMatch(of: /token=([A-Za-z0-9_.~-]+)/)
            token = match.map { String($0.output.1) }
            return token != nil
        }
        let joined = try await TestClient(base: organization.base, token: nil).post(
            "/api/v1/auth/register",
            ["email": .string(email), "password": .string("nanoseconds of wire \(unique)"), "invitationToken": .string(token ?? "")])
        guard let access = joined["accessToken"].string else {
            throw SweptOrganization.Unmade(description: "joining answered \(joined.status) \(joined.text)")
        }
        return access
    }
}

/// Calls operations with what is another's and with what is nobody's, and holds the answers against each other.
struct Sweep {
    let world: IsolationTests.World
    let base: String
    /// What the operations are declared in.
    let components: JSONValue
    private(set) var calls = 0
    private(set) var compared = 0
    /// Comparisons of answers other than "malformed" and "not signed in".
    private(set) var deep = 0
    private(set) var findings: [String] = []
    private let secrets: Set<String>
    /// What eve has said herself, in this sweep or in one before: her own audit log says it back to her.
    private static let said = Mutex<Set<String>>([])

    init(world: IsolationTests.World, base: String, document: JSONValue) {
        self.world = world
        self.base = base
        components = document["components"]
        secrets = world.ada.secrets
    }

    /// Ways to fill the parameters of a path: with ada's, and with what is not there in the same places.
    private func fillings(_ operation: SweptOperation) -> [(foreign: [String: String], missing: [String: String])] {
        let parameters = operation.pathParameters
        guard !parameters.isEmpty else { return [([:], [:])] }
        func missing() -> String { UUID.version7().uuidString.lowercased() }
        // Where no list of ada's fits, any object of hers does.
        let any = world.ada.objects["/api/v1/content/articles"]?.first ?? world.ada.owner
        let foreign = Dictionary(
            uniqueKeysWithValues: parameters.map { ($0, world.ada.ids(for: $0, of: operation)?.first ?? any) })
        var fillings = [(foreign, foreign.mapValues { _ in missing() })]
        // An object of ada's under eve's own organization: the parent is right, the child is another's.
        if let first = parameters.first, parameters.count > 1, operation.collection(of: first) == "/api/v1/organizations" {
            var mixed = foreign, nowhere = foreign.mapValues { _ in missing() }
            mixed[first] = world.eve.id
            nowhere[first] = world.eve.id
            fillings.append((mixed, nowhere))
        }
        return fillings
    }

    mutating func call(_ operation: SweptOperation, _ caller: SweptCaller) async throws {
        let client = TestClient(base: base, token: caller.token)
        let theirs = world.ada.objects["/api/v1/users"]?.first ?? world.ada.owner
        let isAboutIDs = !operation.pathParameters.isEmpty || mentionsIDs(operation)
        // What ends the caller's own session, or their organization, is not for the sweep; it has no object of another's in it.
        if !operation.isSafe, operation.pathParameters.isEmpty, SweptOrganization.endsSomething(operation) { return }
        for filling in fillings(operation) {
            func ask(_ values: [String: String], _ id: String) async throws -> (SweptAnswer, TestResponse) {
                let response = try await send(operation, client, caller, values, id)
                inspect(response, operation, caller, sent: Array(values.values) + [id])
                return (SweptAnswer(response, sent: Array(values.values) + [id]), response)
            }
            let nobody = UUID.version7().uuidString.lowercased()
            let (missing, _) = try await ask(filling.missing, nobody)
            guard isAboutIDs else { continue }
            let (foreign, _) = try await ask(filling.foreign, theirs)
            compared += 1
            if ![400, 401, 415].contains(foreign.status) { deep += 1 }
            if foreign == missing { continue }
            // The first call may have used something up: what is not there is asked for once more.
            let (again, _) = try await ask(filling.missing, nobody)
            if foreign != again {
                findings.append("\(operation.label) for \(caller.name): foreign \(foreign) but missing \(missing), again \(again)")
            }
        }
    }

    private func mentionsIDs(_ operation: SweptOperation) -> Bool {
        if operation.query.contains(where: { $0.schema["format"].string == "uuid" }) { return true }
        guard let schema = operation.bodySchema else { return false }
        let probe = SampleMaker(components: components, id: "probe-of-an-id", mark: "x").value(schema)
        return "\(probe)".contains("probe-of-an-id")
    }

    private mutating func send(
        _ operation: SweptOperation, _ client: TestClient, _ caller: SweptCaller, _ values: [String: String], _ id: String
    ) async throws -> TestResponse {
        let maker = SampleMaker(components: components, id: id, mark: world.eve.mark)
        let path = operation.path(values) + maker.query(operation.query)
        var headers = caller.headers
        headers["x-request-id"] = "\(Traces.prefix)\(UUID().uuidString.lowercased())"
        var bytes: Data?
        switch operation.mediaType {
        case nil: break
        case "application/octet-stream":
            bytes = Data("\(world.eve.mark)".utf8)
            headers["content-type"] = "text/plain"
            headers["content-disposition"] = "attachment; filename=\"x.txt\""
        case "application/x-www-form-urlencoded":
            bytes = Data("id=\(id)&token=\(id)&client_id=\(id)".utf8)
            headers["content-type"] = "application/x-www-form-urlencoded"
        case let type?:
            bytes = try JSON.encode(maker.value(operation.bodySchema ?? [:]))
            headers["content-type"] = type
        }
        while true {
            calls += 1
            let response = try await client.send(HTTPMethod(rawValue: operation.method), path, bytes: bytes, headers: headers)
            // The gateway's own limit; those of single operations are long, and the same for both.
            guard response.status == 429, let seconds = response.header("retry-after").flatMap({ Int($0) }), seconds <= 60,
                response.problem == "rate-limited"
            else { return response }
            try await Task.sleep(for: .seconds(seconds))
        }
    }

    /// No answer says anything of ada's but what the request itself said.
    private mutating func inspect(_ response: TestResponse, _ operation: SweptOperation, _ caller: SweptCaller, sent: [String]) {
        let said = Self.said.withLock { said in
            said.formUnion(sent)
            said.formUnion(caller.headers.values)
            return said
        }
        let isHerLog = operation.template.hasPrefix("/api/v1/audit-logs")
        let text = response.headers.map { "\($0.name): \($0.value)" }.joined(separator: "\n") + "\n" + response.text
        for secret in secrets where text.contains(secret) {
            if isHerLog, said.contains(secret) { continue }
            if sent.contains(where: { $0.contains(secret) }) || caller.headers.values.contains(where: { $0.contains(secret) }) { continue }
            findings.append("\(operation.label) for \(caller.name) says \(secret): \(response.status) \(response.text.prefix(300))")
        }
        if response.status >= 500, response.status != 503 {
            findings.append("\(operation.label) for \(caller.name) failed: \(response.status) \(response.text.prefix(300))")
        }
    }
}

/// Everything of an organization in all databases, as one digest for each table.
enum Fingerprint {
    static func take(_ world: IsolationTests.World) async throws -> [String: String] {
        // What ada's own doing still causes has to come to rest.
        try await TrionexTesting.eventually("nothing waits to be announced") {
            try await tables(world, "outbox\\_waiting", "true").values.allSatisfy { $0.hasPrefix("0 ") }
        }
        // Consumers of other services still take in what she did: until nothing of hers has changed for a while.
        var (last, quiet) = ([String: String](), 0)
        try await TrionexTesting.eventually("nothing of ada's changes by itself") {
            let now = try await tables(world, "%", "tenant_id = '\(world.ada.id)'")
            let unsigned = try await tables(world, "audit_heads", "sequence > signed_sequence AND tenant_id = '\(world.ada.id)'")
            quiet = now == last && unsigned.values.allSatisfy { $0.hasPrefix("0 ") } ? quiet + 1 : 0
            last = now
            if quiet < 3 { try await Task.sleep(for: .seconds(1)) }
            return quiet >= 3
        }
        return last
    }

    private static func tables(_ world: IsolationTests.World, _ like: String, _ condition: String) async throws -> [String: String] {
        let url = world.platform.addresses.database
        let names = try await Psql.rows(
            """
            SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname LIKE '\(like)'
              AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'public', 'trionex_migrations')
              AND n.nspname NOT LIKE 'pg_%' ORDER BY 1
            """, url
        ).map { $0[0] }
        let questions = names.map {
            """
            SELECT '\($0)', count(*) || ' ' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') FROM \($0) t
            WHERE \(condition)
            """
        }
        let rows = try await Psql.rows(questions.joined(separator: " UNION ALL "), url)
        return Dictionary(uniqueKeysWithValues: rows.map { ($0[0], $0[1]) })
    }

    static func differences(_ before: [String: String], _ after: [String: String]) -> [String] {
        // Ada's own entries on what she read may still come in; those are hers.
        before.keys.filter { before[$0] != after[$0] }.sorted().map {
            "\($0): \(before[$0] ?? "") became \(after[$0] ?? "")"
        }
    }
}

/// What the programs have logged and measured of the sweep's calls.
enum Traces {
    static let prefix = "sweep-of-eve-"

    static func leaks(_ world: IsolationTests.World) async throws -> [String] {
        var leaks: [String] = []
        let settings = world.platform.stack.settings
        // What the request itself named stands in no log line either: paths are logged as templates.
        let secrets = world.ada.secrets.union([world.ada.email])
        for program in StackProgram.all {
            let log = (try? String(contentsOfFile: settings.log(of: program.name.rawValue), encoding: .utf8)) ?? ""
            for written in log.split(separator: "\n") where written.contains(prefix) || written.contains(world.eve.id) {
                // The gateway's alarm says which organization eve named; that is her own word.
                let line = written.replacingOccurrences(of: "\"namedOrganization\":\"\(world.ada.slug)\"", with: "")
                for secret in secrets where line.contains(secret) { leaks.append("\(program.name)'s log: \(line.prefix(400))") }
            }
            let base = program.name == .gateway ? world.platform.addresses.admin : settings.url(of: program.name)
            let metrics = try await TestClient(base: base, token: nil).get("/metrics").text
            for secret in secrets where metrics.contains(secret) { leaks.append("\(program.name)'s metrics name \(secret)") }
        }
        return leaks
    }
}
