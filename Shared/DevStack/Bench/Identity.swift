import Contracts
import DevStack
import Foundation
import Logging
import Postgres
import Synchronization

/// What signing in, tokens, rights and their end cost.
struct IdentityFigures {
    let stack: StackAddresses
    let runDirectory: String
    let seconds: Int
    let row: (String, String) -> Void

    private var auth: String { stack.programs[ServiceName.auth.rawValue] ?? "" }
    private var users: String { stack.programs[ServiceName.users.rawValue] ?? "" }

    func measure() async throws {
        try await signIns()
        try await tokens()
        let person = try await Newcomer.register(at: stack.gateway)
        try await reads(person)
        try await claims(person)
        try await revocations()
    }

    // MARK: - Signing in

    static let accounts = 32

    /// By as many accounts in turn, through the gateway, with as many connections as keep two cores busy.
    private func signIns() async throws {
        let peer = Argon2Program()
        let alone = try await peer.milliseconds()
        row("one Argon2id hash (19 MiB, 2 passes, 1 lane) by `argon2`, alone", String(format: "%.1f ms", alone))
        let unique = UUID().uuidString.lowercased().prefix(12)
        let password = "measured not guessed \(unique)"
        for index in 0..<Self.accounts {
            let answer = try await GatewayClient(base: stack.gateway).post(
                "/api/v1/auth/register", ["email": .string("bench.\(index).\(unique)@example.org"), "password": .string(password)])
            guard answer.status == 201 else { throw StackFailure("registering answered \(answer.status)") }
        }
        let script = """
            local count = 0
            request = function()
              count = count + 1
              local body = string.format('{"email":"bench.%d.\(unique)@example.org","password":"\(password)"}', count % \(Self.accounts))
              return wrk.format("POST", "/api/v1/auth/login", {["Content-Type"] = "application/json"}, body)
            end
            """
        let before = try await HashTimes.read(auth)
        let busyBefore = Processor.busySeconds()
        let figures = try await Wrk.run(stack.gateway, connections: 4, seconds: seconds, script: script)
        let busy = Processor.busySeconds() - busyBefore
        let hashes = try await HashTimes.read(auth).count - before.count
        row("sign-ins through the gateway, 4 connections, all on two cores", String(format: "%.0f/s", figures.perSecond))
        row("the same, p50 / p95", Self.times(figures))
        row(
            "share of the password hash in the processor time of all of it (hashes × time alone ÷ busy time)",
            String(format: "%.0f %%", hashes * alone / 1000 / max(busy, 0.001) * 100))
    }

    // MARK: - Tokens

    private func tokens() async throws {
        try await TokenFigures.rows(for: .seconds(seconds), row)
        row(
            "RSA-2048 verification alone by `openssl speed`, one core",
            String(format: "%.1fk/s", try await OpenSSL.verificationsPerSecond() / 1000))
    }

    // MARK: - Reading

    static let members = 100_000

    private func reads(_ person: Newcomer) async throws {
        try await MemberSeed(database: stack.database, tenant: person.tenant).insert(Self.members)
        for (what, path) in [
            ("GET /auth/me", "/api/v1/auth/me"), ("GET /users, 20 of 100,000 members", "/api/v1/users?limit=20"),
            ("GET /users?role=user&status=active, 20 of 100,000", "/api/v1/users?role=user&status=active&limit=20"),
        ] {
            let figures = try await Wrk.run(stack.gateway + path, token: person.token, connections: 8, seconds: seconds)
            row(
                "\(what), through the gateway, 8 connections, p50 / p95",
                Self.times(figures) + String(format: " (%.1fk/s)", figures.perSecond / 1000))
        }
    }

    /// What auth asks users at each sign-in and each refresh.
    private func claims(_ person: Newcomer) async throws {
        let me = try await person.client.get("/api/v1/auth/me")
        guard let id = me["user"]["id"].string else { throw StackFailure("me answered \(me.status)") }
        let secret = try String(contentsOfFile: runDirectory + "/keys/service-secret", encoding: .utf8)
            .trimmingCharacters(in: .whitespacesAndNewlines)
        let grant = try await GatewayClient(base: auth).post(
            "/internal/v1/service-token", ["service": "auth", "secret": .string(secret)])
        guard let token = grant["token"].string else { throw StackFailure("asking for a service token answered \(grant.status)") }
        let figures = try await Wrk.run(
            "\(users)/internal/v1/people/\(id)/claims?organization=\(person.tenant)", token: token, connections: 32, seconds: seconds)
        row("claims look-ups at users, 32 connections", String(format: "%.1fk/s", figures.perSecond / 1000))
        row("the same, p50 / p95", Self.times(figures))
    }

    // MARK: - The end of a session

    static let logouts = 100

    private func revocations() async throws {
        var further: [ExtraGateway] = []
        for _ in 0..<2 { further.append(try await ExtraGateway.start(beside: stack, in: runDirectory)) }
        let gateways = [stack.gateway] + further.map(\.url)
        var times: [Double] = []
        for _ in 0..<Self.logouts { times += try await Revocation(gateways: gateways).milliseconds() }
        for gateway in further { await gateway.stop() }
        times.sort()
        row(
            "from sending a logout to the refusal of its token, at each of 3 gateways, \(Self.logouts) logouts, p50 / p95 / longest",
            String(
                format: "%.0f ms / %.0f ms / %.0f ms", times[times.count / 2], times[times.count * 95 / 100], times[times.count - 1]))
    }

    private static func times(_ figures: WrkFigures) -> String { String(format: "%.1f ms / %.1f ms", figures.median, figures.late) }
}

/// One logout: how long each gateway still lets the token in.
struct Revocation {
    let gateways: [String]
    /// Each gateway knows the token by then and would go on without asking anybody.
    static let settling: Duration = .milliseconds(20)
    static let limit: Duration = .seconds(10)

    func milliseconds() async throws -> [Double] {
        let person = try await Newcomer.register(at: gateways[0])
        let clients = gateways.map { GatewayClient(base: $0, token: person.token) }
        for client in clients {
            let answer = try await client.get(Self.path)
            guard answer.status == 200 else { throw StackFailure("before the logout the token was answered with \(answer.status)") }
        }
        try await Task.sleep(for: Self.settling)
        let start = ContinuousClock.now
        return try await withThrowingTaskGroup(of: Double?.self) { group in
            for client in clients {
                group.addTask {
                    while start.duration(to: .now) < Self.limit {
                        if try await client.get(Self.path).status == 401 { return start.duration(to: .now) / .milliseconds(1) }
                        try await Task.sleep(for: .milliseconds(1))
                    }
                    throw StackFailure("\(client.base) still let the token in after \(Self.limit)")
                }
            }
            group.addTask {
                let answer = try await clients[0].post("/api/v1/auth/logout")
                guard (200..<300).contains(answer.status) else { throw StackFailure("the logout answered \(answer.status)") }
                return nil
            }
            return try await group.reduce(into: []) { times, time in if let time { times.append(time) } }
        }
    }

    /// Another service than the one that ends the session, so that nobody knows of it beforehand.
    private static let path = "/api/v1/content/articles?limit=1"
}

/// Members in bulk, as no interface would make them: directly, under row-level security all the same.
struct MemberSeed {
    let database: String
    let tenant: TenantID
    static let batch = 10_000

    func insert(_ count: Int) async throws {
        var address = URLComponents(string: database)
        address?.user = "users"
        address?.password = "users"
        let database = Database(DatabaseConfiguration(url: address?.string ?? database), service: .users, logger: Logger(label: "bench"))
        for first in stride(from: 1, through: count, by: Self.batch) {
            let last = min(count, first + Self.batch - 1)
            try await database.execute(
                """
                INSERT INTO people (tenant_id, user_id, email, first_name, last_name, role, status, created_at, updated_at)
                SELECT \(tenant), gen_random_uuid(), 'member.' || number || '@example.org', 'Member', 'Number ' || number,
                    (ARRAY['user', 'editor', 'viewer'])[1 + number % 3], 'active', now() - number * interval '1 second', now()
                FROM generate_series(\(first)::bigint, \(last)::bigint) AS number
                """, as: .service(.users, for: tenant), slow: true)
        }
        await database.shutdown()
        // As the autovacuum would soon.
        _ = try await Command.output("psql", ["-q", "-d", self.database, "-c", "ANALYZE users.people"])
    }
}
