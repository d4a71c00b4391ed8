import Contracts
import DevStack
import Foundation
import Kafka
import Messaging
import Synchronization
import TestKit
import Testing

/// `trionex-events` as an operator runs it, against a broker.
@Suite("The command line of events")
struct CommandTests {
    private struct Output {
        let code: Int32
        let text: String
        let complaint: String
        var lines: [String] { text.split(separator: "\n").map(String.init) }
        func json() throws -> [JSONValue] { try lines.map { try JSON.decode(JSONValue.self, from: Data($0.utf8)) } }
    }

    private func run(_ arguments: String..., brokers: String) async throws -> Output { try await run(arguments, brokers: brokers) }

    private func run(_ arguments: [String], brokers: String) async throws -> Output {
        guard let executable = BuildFolder.program("trionex-events") else { throw StackFailure("trionex-events is not built") }
        let process = Process()
        process.executableURL = URL(filePath: executable)
        process.arguments = arguments
        process.environment = ["TRIONEX_KAFKA_BROKERS": brokers, "PATH": "/usr/bin:/bin"]
        process.currentDirectoryURL = URL(filePath: Repository.root)
        // Files, not pipes: another process started meanwhile would hold a pipe open.
        let folder = FileManager.default.temporaryDirectory.appending(path: "trionex-events-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let files = [folder.appending(path: "output"), folder.appending(path: "complaint")]
        for file in files { try Data().write(to: file) }
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: files[0])
        process.standardError = try FileHandle(forWritingTo: files[1])
        let ended = AsyncStream<Int32> { continuation in
            process.terminationHandler = {
                continuation.yield($0.terminationStatus)
                continuation.finish()
            }
        }
        try process.run()
        var code: Int32 = -1
        for await status in ended { code = status }
        let texts = try files.map { String(decoding: try Data(contentsOf: $0), as: UTF8.self) }
        return Output(code: code, text: texts[0], complaint: texts[1])
    }

    private func record<E: Event>(_ event: E, for tenant: TenantID, id: EventID = .make(), payload: String? = nil) throws -> KafkaRecord {
        let envelope = EventEnvelope(
            id: id, source: "/services/\(E.topic.owner)", type: E.type, subject: event.aggregateID, time: Date(), tenant: tenant,
            actor: nil, traceparent: nil)
        return CloudEvent.record(
            topic: E.topic.name, envelope: envelope, payload: try payload.map { Array($0.utf8) } ?? Array(JSON.encode(event)))
    }

    @Test("tail and inspect find an event by type, organization, key, time and field")
    func reading() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make(), id = EventID.make()
        let topic = Topic.files.name, brokers = bench.broker.brokers
        let sent = await bench.producer.send([
            try record(FileUploaded.example, for: tenant, id: id), try record(FileDeleted.example, for: tenant),
            try record(FileDeleted.example, for: .make()),
        ])
        let place = try #require(try sent.first?.get())
        for (filters, count) in [
            (["--tenant", "\(tenant)"], 2), (["--tenant", "\(tenant)", "--type", "file.uploaded"], 1), (["--type", "files.*.deleted"], 2),
            (["--id", "\(id)"], 1), (["--key", "\(tenant):\(FileUploaded.example.aggregateID)"], 2), (["--since", "1h"], 3),
            (["--since", "2999-01-01T00:00:00Z"], 0),
            (["--tenant", "\(tenant)", "--field", "fileID=\(FileUploaded.example.aggregateID)"], 2),
            (["--field", "fileID=none"], 0), (["--most", "1"], 1),
        ] {
            let output = try await tail(topic, filters, brokers)
            #expect(output.code == 0 && output.lines.count == count, "\(filters): \(output.text) \(output.complaint)")
        }
        let line = try #require(try await tail(topic, ["--id", "\(id)"], brokers).json().first)
        #expect(line["headers"]["ce_id"].string == "\(id)")
        #expect(try line["value"] == JSON.decode(JSONValue.self, from: JSON.encode(FileUploaded.example)))

        let page = try await run("inspect", topic, "\(place.partition):\(place.offset)", brokers: brokers)
        #expect(page.code == 0 && page.text.contains("\(id)") && page.text.contains("contract\n  kept"), "\(page.complaint)")
        let byID = try await run("inspect", topic, "--id", "\(id)", "--json", brokers: brokers)
        #expect(try byID.json().first?["offset"].int == Int(place.offset))
        let none = try await run("inspect", topic, "--id", "\(EventID.make())", brokers: brokers)
        #expect(none.code == 66 && none.complaint.contains("no such event") && none.text.isEmpty)
        #expect(try await run("inspect", "trionex.nowhere", "0:0", brokers: brokers).code == 66)
        #expect(try await run("inspect", topic, brokers: brokers).code == 64)
    }

    private func tail(_ topic: String, _ filters: [String], _ brokers: String) async throws -> Output {
        var arguments = ["tail", topic, "--once", "--json"]
        arguments += filters
        return try await run(arguments, brokers: brokers)
    }

    enum Watched: TestTopic { static let name = "watched" }

    @Test("dead letters are listed, inspected, replayed and dropped; topics and lag tell how far a group is")
    func deadLetters() async throws {
        let bench = try await Bench.shared.value, tenant = TenantID.make(), brokers = bench.broker.brokers
        let topic = Noted<Watched>.topic.name
        let isCured = Flag()
        let handler = Note<Watched>(before: { event, _, _ in if event.number < 2, !isCured.isSet { throw Broken() } })
        var limits = EventConsumer.Limits()
        limits.retry = Backoff(first: .milliseconds(5), most: .milliseconds(10))
        let consumer = try bench.consumer("watched", [handler], limits: limits)
        let group = consumer.group
        #expect(
            await bench.producer.send(try (0..<5).map { try record(Noted<Watched>(subject: "s\($0)", number: $0), for: tenant) })
                .allSatisfy { (try? $0.get()) != nil })
        try await during([consumer.run]) {
            try await expectEventually { try await bench.effects(of: tenant).count == 3 }
            let office = DeadLetterOffice(group: group, reader: KafkaReader(bench.kafka, logger: quiet), producer: bench.producer)
            try await expectEventually { try await office.list().count == 2 }

            let list = try await run("dead-letters", "list", group, "--json", brokers: brokers).json()
            #expect(list.count == 2)
            let first = try #require(list.first { $0["key"].string == "\(tenant):s0" })
            #expect(first["tries"] == 3 && first["history"].array.count == 3 && first["reason"].string?.contains("broken") == true)
            #expect(first["origin"].string?.hasPrefix(topic) == true && first["tenant"].string == "\(tenant)")
            #expect(try await run("dead-letters", "list", "--type", "note.*", "--json", brokers: brokers).json().contains(first))
            let letter = first["letter"].string ?? "", other = list.first { $0 != first }?["letter"].string ?? ""
            let page = try await run("dead-letters", "inspect", group, letter, brokers: brokers)
            #expect(page.code == 0 && page.text.contains("tries\n") && page.text.contains("\"number\" : 0"), "\(page.text)")
            #expect(try await run("dead-letters", "inspect", group, "9:99", brokers: brokers).code == 66)
            #expect(try await run("dead-letters", "replay", group, brokers: brokers).code == 64)

            isCured.set()
            #expect(try await run("dead-letters", "replay", group, letter, brokers: brokers).text == "1 replayed\n")
            #expect(try await run("dead-letters", "drop", group, other, brokers: brokers).text == "1 dropped\n")
            #expect(try await run("dead-letters", "list", group, brokers: brokers).lines.isEmpty)
            try await expectEventually { try await bench.effects(of: tenant).count == 4 }
            #expect(!(try await bench.effects(of: tenant).contains { $0.number == 1 }))

            try await expectEventually { try await run("lag", group, "--most", "0", brokers: brokers).code == 0 }
            let lag = try await run("lag", group, "--json", brokers: brokers).json()
            #expect(lag.reduce(0) { $0 + ($1["end"].int ?? 0) } == 6 && lag.allSatisfy { $0["behind"] == 0 })
        }
        #expect(await bench.producer.send([try record(Noted<Watched>(subject: "s", number: 9), for: tenant)]).count == 1)
        let behind = try await run("lag", group, "--most", "0", brokers: brokers)
        #expect(behind.code == 1 && behind.complaint.contains("1 behind"))
        let topics = try await run("topics", "--json", brokers: brokers).json()
        let watched = try #require(topics.first { $0["topic"].string == topic })
        #expect(watched["partitions"] == 4 && watched["records"] == 7)
        #expect(topics.contains { $0["topic"].string == group + ".dlq" })
        // Also where the group has never committed anything.
        let fresh = try (0..<40).map { try record(Noted<Watched>(subject: "fresh \($0)", number: 10 + $0), for: tenant) }
        for one in fresh { #expect(await bench.producer.send([one]).count == 1) }
        let lags = try await run("lag", group, "--json", brokers: brokers).json()
        #expect(lags.count == 4 && lags.reduce(0) { $0 + ($1["behind"].int ?? 0) } == 41, "\(lags)")
    }

    @Test("a group that is not there is a mistake, one without letters is not")
    func unknownGroups() async throws {
        let brokers = try await Bench.shared.value.broker.brokers
        for arguments in [
            ["list", "nosuch"], ["inspect", "trionex.nosuch.group", "0:1"], ["replay", "nosuch", "--all"], ["drop", "nosuch", "0:1"],
        ] {
            let output = try await run(["dead-letters"] + arguments, brokers: brokers)
            #expect(output.code == 66 && output.text.isEmpty, "\(arguments): \(output.text)")
            #expect(
                output.complaint.contains("there is no group \(arguments[1]); there are: ")
                    && output.complaint.contains("trionex.search.index"),
                "\(output.complaint)")
        }
        let none = try await run("dead-letters", "list", "trionex.search.index", brokers: brokers)
        #expect(none.code == 0 && none.text.isEmpty && none.complaint.isEmpty, "\(none.complaint)")
    }

    enum Kept: TestTopic { static let name = "command-kept" }

    @Test("republish says which services there are, and of which topics and organizations nothing is kept")
    func republishing() async throws {
        let stage = try await RelayStage.make(), tenant = TenantID.make(), other = TenantID.make()
        let url = stage.bench.postgres.url(user: "alpha", password: "alpha", database: stage.name)
        try await stage.announce([Noted<Kept>(subject: "s", number: 1), Noted<Kept>(subject: "t", number: 2)], for: tenant)
        try await during([stage.relay().run]) { try await expectEventually { try await stage.waiting() == 0 } }
        func republish(_ more: String..., service: String = "alpha", at url: String) async throws -> Output {
            try await run(["republish", "--service", service, "--since", "1h", "--database-url", url] + more, brokers: "")
        }
        let topic = Noted<Kept>.topic.name
        let all = try await republish("--topic", topic, "--tenant", "\(tenant)", at: url)
        #expect(all.code == 0 && all.text == "2 events wait to be published again\n" && all.complaint.isEmpty, "\(all.complaint)")

        // One of two is there: done, and the other named.
        let some = try await republish("--topic", topic, "--topic", "trionex.typo.events", at: url)
        #expect(some.code == 0 && some.text.hasSuffix("wait to be published again\n"))
        #expect(some.complaint == "trionex-events: the outbox of alpha keeps nothing of the topic trionex.typo.events\n")
        for arguments in [["--topic", "trionex.typo.events"], ["--topic", topic, "--tenant", "\(other)"]] {
            let none = try await run(
                ["republish", "--service", "alpha", "--since", "1h", "--database-url", url, "--json"] + arguments, brokers: "")
            #expect(none.code == 66 && none.complaint.contains("keeps nothing of the"), "\(none.complaint)")
            #expect(try none.json().first?["events"] == 0)
        }

        let nowhere = try await republish(service: "nosuch", at: url)
        #expect(nowhere.code == 66 && nowhere.text.isEmpty)
        #expect(
            nowhere.complaint == "trionex-events: no service nosuch announces events in this database; those that do: alpha\n",
            "\(nowhere.complaint)")
    }

    @Test("a database that refuses is told from one that is not there")
    func refusals() async throws {
        let postgres = try await Bench.shared.value.postgres
        func republish(_ url: String) async throws -> Output {
            try await run("republish", "--service", "alpha", "--since", "1h", "--database-url", url, brokers: "")
        }
        for (url, reason) in [
            (postgres.url(), "connect as the service's own role"),
            (postgres.url(user: "alpha", password: "wrong"), "password authentication failed"),
            (postgres.url(user: "alpha", password: "alpha", database: "nosuch"), "does not exist"),
            (postgres.url(user: "beta", password: "beta"), "the address is another service's"),
        ] {
            let refused = try await republish(url)
            #expect(refused.code == 77 && refused.complaint.contains(reason), "\(refused.code) \(refused.complaint)")
            #expect(!refused.complaint.contains("does not answer"), "\(refused.complaint)")
        }
        let away = try await republish("postgres://alpha:alpha@127.0.0.1:1/trionex")
        #expect(away.code == 69 && away.complaint.contains("database does not answer"), "\(away.code) \(away.complaint)")
        #expect(try await republish("alpha at home").code == 64)
    }

    @Test("validate says which message breaks its contract, and where")
    func validating() async throws {
        let bench = try await Bench.shared.value, brokers = bench.broker.brokers
        let topic = Topic.content.name
        #expect(await bench.producer.send([try record(ArticleDeleted.example, for: .make())]).count == 1)
        let good = try await run("validate", topic, brokers: brokers)
        #expect(good.code == 0 && good.text == "1 messages, 0 break their contract\n", "\(good.text)\(good.complaint)")
        let id = EventID.make()
        let sent = await bench.producer.send([
            try record(ArticleDeleted.example, for: .make(), id: id, payload: #"{"slug":7}"#),
            try record(ArticleDeleted.example, for: .make()),
        ])
        let bad = try #require(try sent.first?.get())
        let output = try await run("validate", topic, "--json", brokers: brokers)
        let lines = try output.json()
        #expect(output.code == 1 && lines.count == 1)
        #expect(lines.first?["id"].string == "\(id)" && lines.first?["offset"].int == Int(bad.offset))
        #expect(lines.first?["breaks"].array.contains("the payload /articleID is missing") == true, "\(output.text)")
        let file = "Shared/Contracts/asyncapi.json"
        #expect(try await run("validate", topic, "--document", file, brokers: brokers).code == 1)
        #expect(try await run("validate", topic, "--document", "/nowhere", brokers: brokers).code == 66)
        #expect(try await run("validate", topic, "--document", "Package.swift", brokers: brokers).code == 64)
    }

    @Test("help explains every command, and brokers that are away are said so")
    func manners() async throws {
        let help = try await run("--help", brokers: "")
        for command in ["topics", "tail", "inspect", "dead-letters", "lag", "validate", "contracts", "republish", "start-over"] {
            #expect(help.text.contains("  \(command)"), "\(command)")
            #expect(try await run(command, "--help", brokers: "").code == 0)
        }
        #expect(try await run("lag", brokers: "nowhere:port").code == 64)
        #expect(try await run("tail", "t", "--since", "yesterday", brokers: "").code == 64)
        let away = try await run("lag", brokers: "127.0.0.1:1")
        #expect(away.code == 69 && away.complaint.contains("kafka does not answer"), "\(away.code) \(away.complaint)")
    }

    @Test("the groups that the program knows are those of the services")
    func knownGroups() throws {
        var declared: Set<String> = []
        let services = URL(filePath: Repository.path("Services"))
        for service in try FileManager.default.contentsOfDirectory(at: services, includingPropertiesForKeys: [.isDirectoryKey]) {
            var text = ""
            for case let file as URL in FileManager.default.enumerator(at: service, includingPropertiesForKeys: nil)
                ?? FileManager.DirectoryEnumerator()
            where file.pathExtension == "swift" { text += try String(contentsOf: file, encoding: .utf8) }
            // The name stands there, or a constant of that name does.
            for match in text.matches(of: /Consumption\(\s*(?:"([a-z-]+)"|(?:\w+\.)?([a-z]\w+)),/) {
                let constant = match.output.2.flatMap { name in
                    text.matches(of: /let (\w+) = "([a-z-]+)"/).first { $0.output.1 == name }?.output.2
                }
                guard let name = match.output.1 ?? constant else { continue }
                declared.insert("trionex.\(service.lastPathComponent.lowercased()).\(name)")
            }
        }
        #expect(Set(KnownGroups.all) == declared, "Shared/Messaging/Operating/KnownGroups.swift")
    }
}

/// Set once.
private final class Flag: Sendable {
    private let value = Mutex(false)
    var isSet: Bool { value.withLock { $0 } }
    func set() { value.withLock { $0 = true } }
}
