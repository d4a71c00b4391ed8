import Contracts
import DevStack
import Foundation
import NIOHTTP1
import TestKit
import Testing

/// Every operation of every service, called by one organization on the objects of another: through the gateway and past it.
///
/// Operations are read from the merged OpenAPI document and their bodies are made from its schemas, so that what is new is swept too.
/// `ada` has something of every kind; `eve` asks for it.
@Suite("One organization's objects and another's calls", .serialized)
struct IsolationTests {
    struct World: Sendable {
        let platform: Platform
        let document: JSONValue
        let operations: [SweptOperation]
        let ada: SweptOrganization
        let eve: SweptOrganization
        /// What of ada's could not be made, or is in no list.
        let missing: [String]
    }

    private static let world = Task { () -> World in
        let platform = try await Platform.shared()
        let gateway = platform.addresses.gateway
        let document = try await mergedDocument(platform)
        let operations = SweptOperation.all(in: document)
        var ada = try await SweptOrganization.found(at: gateway, "ada")
        let missing = try await ada.fill(operations, document)
        // Lists of lists: what the first round finds opens the next.
        for _ in 0..<2 { try await ada.harvest(operations) }
        let eve = try await SweptOrganization.found(at: gateway, "eve")
        return World(platform: platform, document: document, operations: operations, ada: ada, eve: eve, missing: missing)
    }

    /// The gateway's document, once it has every service's operations in it.
    private static func mergedDocument(_ platform: Platform) async throws -> JSONValue {
        var declared: Set<String> = []
        for program in StackProgram.all where program.name != .gateway {
            let base = platform.stack.settings.url(of: program.name)
            let own = SweptOperation.all(in: try await TestClient(base: base, token: nil).get("/openapi.json").json)
            declared.formUnion(own.map(\.label).filter { $0.contains(" /api/") })
        }
        var document = JSONValue.null
        try await TrionexTesting.eventually("the gateway's document has all \(declared.count) operations") {
            document = try await TestClient(base: platform.addresses.gateway, token: nil).get("/api/v1/openapi.json").json
            return declared.isSubset(of: Set(SweptOperation.all(in: document).map(\.label)))
        }
        return document
    }

    @Test("there is something of every kind to be found, and its owner finds it")
    func objects() async throws {
        let world = try await Self.world.value
        #expect(world.operations.count >= 60, "\(world.operations.count) operations")
        #expect(world.missing.isEmpty, "\(world.missing)")
        for collection in [
            "/api/v1/content/articles", "/api/v1/files", "/api/v1/ai/conversations", "/api/v1/notifications", "/api/v1/users",
            "/api/v1/organizations/{id}/invitations", "/api/v1/organizations/{id}/members", "/api/v1/auth/api-keys",
            "/api/v1/auth/sessions",
        ] { #expect(world.ada.objects[collection] != nil, "\(collection) lists nothing") }
        var found = 0
        for operation in world.operations where operation.isSafe && !operation.pathParameters.isEmpty {
            guard let values = Self.own(operation, world.ada) else { continue }
            let answer = try await world.ada.client.get(operation.path(values))
            if answer.status == 200 { found += 1 }
        }
        #expect(found >= 8, "only \(found) operations read something of one's own")
    }

    @Test("is answered as if it were not there, says nothing of it, and changes nothing of it: every operation, every kind of caller")
    func sweep() async throws {
        let world = try await Self.world.value
        let before = try await Fingerprint.take(world)
        let callers = try await SweptCaller.all(world)
        var sweep = Sweep(world: world, base: world.platform.addresses.gateway, document: world.document)
        for operation in world.operations {
            for caller in callers where caller.isAlive { try await sweep.call(operation, caller) }
        }
        let findings = sweep.findings
        #expect(findings.isEmpty, "\(findings.count) findings:\n\(findings.prefix(40).joined(separator: "\n"))")
        #expect(sweep.compared >= 200)
        print(
            "isolation sweep through the gateway: \(world.operations.count) operations × \(callers.count) identities, "
                + "\(sweep.calls) calls, \(sweep.compared) comparisons of foreign with missing (\(sweep.deep) past the checks of form), "
                + "\(findings.count) findings")
        let after = try await Fingerprint.take(world)
        let changed = Fingerprint.differences(before, after)
        #expect(changed.isEmpty, "of ada's: \(changed)")
        let leaks = try await Traces.leaks(world)
        #expect(leaks.isEmpty, "\(leaks.prefix(20).joined(separator: "\n"))")
    }

    @Test("is so on each service itself, past the gateway")
    func services() async throws {
        let world = try await Self.world.value
        let before = try await Fingerprint.take(world)
        let callers = try await SweptCaller.all(world)
        var (calls, compared, findings) = (0, 0, [String]())
        for program in StackProgram.all where program.name != .gateway {
            let base = world.platform.stack.settings.url(of: program.name)
            let document = try await TestClient(base: base, token: nil).get("/openapi.json").json
            var sweep = Sweep(world: world, base: base, document: document)
            for operation in SweptOperation.all(in: document) {
                for caller in callers where caller.isAlive { try await sweep.call(operation, caller) }
            }
            calls += sweep.calls
            compared += sweep.compared
            findings += sweep.findings
        }
        #expect(findings.isEmpty, "\(findings.count) findings:\n\(findings.prefix(40).joined(separator: "\n"))")
        print("isolation sweep on the services: \(calls) calls, \(compared) comparisons, \(findings.count) findings")
        let changed = Fingerprint.differences(before, try await Fingerprint.take(world))
        #expect(changed.isEmpty, "of ada's: \(changed)")
    }

    @Test("takes as long as if it were not there")
    func timing() async throws {
        let world = try await Self.world.value
        var lines: [String] = []
        for (collection, service) in [
            ("/api/v1/content/articles", ServiceName.content), ("/api/v1/files", .files), ("/api/v1/ai/conversations", .assistant),
            ("/api/v1/users", .users), ("/api/v1/auth/api-keys", .auth),
        ] {
            let theirs = try #require(world.ada.objects[collection]?.first)
            let client = TestClient(base: world.platform.stack.settings.url(of: service), token: world.eve.token)
            var (foreign, missing) = ([Double](), [Double]())
            for round in 0..<220 {
                // By turns, so that what else the machine does falls on both.
                for isForeign in round.isMultiple(of: 2) ? [true, false] : [false, true] {
                    let path = "\(collection)/\(isForeign ? theirs : UUID().uuidString.lowercased())"
                    let start = ContinuousClock.now
                    let answer = try await client.get(path)
                    let time = Double(start.duration(to: .now).nanosecondsInTotal) / 1e6
                    #expect(answer.status == 404)
                    if round >= 20 { if isForeign { foreign.append(time) } else { missing.append(time) } }
                }
            }
            let (chance, medians) = (Ranks.superiority(foreign, missing), (Ranks.median(foreign), Ranks.median(missing)))
            lines.append(String(format: "%@ %.2f ms against %.2f ms, P = %.3f", collection, medians.0, medians.1, chance))
            // Even odds that a foreign object takes longer than a missing one, give or take: five standard errors of 200 against 200.
            #expect(abs(chance - 0.5) < 0.145, "\(lines.last ?? "")")
        }
        print("isolation, time of a foreign object against a missing one: \(lines.joined(separator: "; "))")
    }

    @Test("is a security event, in the platform's log, with the metric that the alarm looks at")
    func event() async throws {
        let world = try await Self.world.value
        let theirs = try #require(world.ada.objects["/api/v1/content/articles"]?.first)
        #expect(try await world.eve.client.get("/api/v1/content/articles/\(theirs)").status == 404)
        let metrics = TestClient(base: world.platform.stack.settings.url(of: .content), token: nil)
        try await TrionexTesting.eventually("the attempt is counted") {
            try await metrics.get("/metrics").text.split(separator: "\n").contains {
                $0.hasPrefix("trionex_cross_tenant_attempts_total{service=\"content\"}") && !$0.hasSuffix(" 0")
            }
        }
    }

    @Test("what ada did stands in her audit log, from every service, and the log is whole")
    func log() async throws {
        let world = try await Self.world.value
        let wanted: Set<String> = [
            "content.article.create", "content.article.update", "content.article.publish", "files.file.upload",
            "assistant.conversation.start",
            "users.user.create", "users.organization.create", "auth.api-key.create", "notifications.notification.send",
        ]
        var seen: Set<String> = []
        try await TrionexTesting.eventually("every service's entries have come") {
            var next: String? = ""
            while let cursor = next {
                let page = try await world.ada.client.get("/api/v1/audit-logs?limit=100\(cursor.isEmpty ? "" : "&cursor=\(cursor)")")
                seen.formUnion(page["data"].array.compactMap { $0["action"].string })
                next = page["nextCursor"].string
            }
            return wanted.isSubset(of: seen)
        }
        #expect(wanted.subtracting(seen).isEmpty, "\(wanted.subtracting(seen).sorted())")
        let verdict = try await world.ada.client.get("/api/v1/audit-logs/verify")
        #expect(verdict["valid"] == true, "\(verdict.text)")
        print("audit: \(seen.count) kinds of action in ada's log of \(verdict["entries"].int ?? 0) entries: \(seen.sorted())")
    }

    /// The owner's own values for the parameters of an operation; nil where nothing is known to fit.
    static func own(_ operation: SweptOperation, _ organization: SweptOrganization) -> [String: String]? {
        var values: [String: String] = [:]
        for parameter in operation.pathParameters {
            guard let id = organization.ids(for: parameter, of: operation)?.first else { return nil }
            values[parameter] = id
        }
        return values
    }
}

extension Duration {
    fileprivate var nanosecondsInTotal: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}

/// The test of Mann and Whitney, as the chance that one of the first is greater than one of the second.
enum Ranks {
    static func superiority(_ first: [Double], _ second: [Double]) -> Double {
        let sorted = second.sorted()
        let wins = first.reduce(0.0) { sum, value in
            let below = sorted.partitioningIndex { $0 >= value }, upTo = sorted.partitioningIndex { $0 > value }
            return sum + Double(below) + Double(upTo - below) / 2
        }
        return wins / Double(max(1, first.count * second.count))
    }

    static func median(_ values: [Double]) -> Double { values.isEmpty ? 0 : values.sorted()[values.count / 2] }
}

extension [Double] {
    fileprivate func partitioningIndex(where belongsBehind: (Double) -> Bool) -> Int {
        var (low, high) = (0, count)
        while low < high {
            let middle = (low + high) / 2
            if belongsBehind(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}
