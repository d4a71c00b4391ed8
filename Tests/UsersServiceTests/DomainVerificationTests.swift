import Contracts
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import Postgres
import ServiceKit
import Synchronization
import TestKit
import Testing

@testable import UsersService

/// A name server on loopback that answers TXT questions from what it was told, over UDP and TCP.
final class NameServer: Sendable {
    private let records = Mutex<[String: [[String]]]>([:])
    private let cut = Mutex<Set<String>>([])
    private let broken = Mutex<Set<String>>([])
    let address: String
    private let channels: [any Channel]

    static let shared = Task { try await NameServer() }

    /// A record may be of several strings, which belong together.
    func publish(_ name: String, _ texts: [[String]]) { records.withLock { $0[name.lowercased()] = texts } }
    func withdraw(_ name: String) { records.withLock { $0[name.lowercased()] = nil } }
    /// Answers over UDP are cut off, as those that are too long are.
    func cutOff(_ name: String) { cut.withLock { _ = $0.insert(name.lowercased()) } }
    /// Answers SERVFAIL.
    func fail(_ name: String) { broken.withLock { _ = $0.insert(name.lowercased()) } }

    private init() async throws {
        let box = Mutex<NameServer?>(nil)
        let answering: @Sendable ([UInt8], Bool) -> [UInt8] = { question, isUDP in
            box.withLock { $0 }?.answer(question, isUDP: isUDP) ?? []
        }
        let udp = try await DatagramBootstrap(group: MultiThreadedEventLoopGroup.singleton).channelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(UDPAnswers(answering)) }
        }.bind(host: "127.0.0.1", port: 0).get()
        let port = udp.localAddress?.port ?? 0
        let tcp = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton).childChannelInitializer { channel in
            channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(TCPAnswers(answering)) }
        }.bind(host: "127.0.0.1", port: port).get()
        address = "127.0.0.1:\(port)"
        channels = [udp, tcp]
        box.withLock { $0 = self }
    }

    private func answer(_ question: [UInt8], isUDP: Bool) -> [UInt8] {
        guard question.count > 12 else { return [] }
        var labels: [String] = [], index = 12
        while index < question.count, question[index] != 0 {
            let length = Int(question[index])
            labels.append(String(decoding: question[(index + 1)..<(index + 1 + length)], as: UTF8.self))
            index += 1 + length
        }
        let section = Array(question[12..<(index + 5)])
        let name = labels.joined(separator: ".").lowercased()
        func message(_ code: UInt8, _ answers: [[UInt8]], isCut: Bool = false) -> [UInt8] {
            Array(question[0..<2]) + [0x81 | (isCut ? 0x02 : 0), 0x80 | code, 0, 1, 0, UInt8(answers.count), 0, 0, 0, 0] + section
                + answers.flatMap { $0 }
        }
        if broken.withLock({ $0.contains(name) }) { return message(2, []) }
        guard let texts = records.withLock({ $0[name] }) else { return message(3, []) }
        if isUDP, cut.withLock({ $0.contains(name) }) { return message(0, [], isCut: true) }
        return message(
            0,
            texts.map { strings in
                let data = strings.flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) }
                return [0xC0, 0x0C, 0, 16, 0, 1, 0, 0, 0, 60, UInt8(data.count >> 8), UInt8(data.count & 0xFF)] + data
            })
    }
}

private final class UDPAnswers: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>
    private let answer: @Sendable ([UInt8], Bool) -> [UInt8]
    init(_ answer: @escaping @Sendable ([UInt8], Bool) -> [UInt8]) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let bytes = answer(Array(envelope.data.readableBytesView), true)
        context.writeAndFlush(
            wrapOutboundOut(AddressedEnvelope(remoteAddress: envelope.remoteAddress, data: ByteBuffer(bytes: bytes))), promise: nil)
    }
}

private final class TCPAnswers: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    private let answer: @Sendable ([UInt8], Bool) -> [UInt8]
    init(_ answer: @escaping @Sendable ([UInt8], Bool) -> [UInt8]) { self.answer = answer }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = answer(Array(unwrapInboundIn(data).readableBytesView.dropFirst(2)), false)
        var buffer = ByteBuffer(integer: UInt16(bytes.count))
        // In two pieces, as a slow network would bring it.
        buffer.writeBytes(bytes.prefix(5))
        context.writeAndFlush(wrapOutboundOut(buffer), promise: nil)
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(bytes: bytes.dropFirst(5))), promise: nil)
    }
}

@Suite struct DomainVerificationTests {
    /// Shared by these tests: domains are looked up at the tests' own name server.
    private static let host = Task {
        try await TestHost.start(Users.self, environment: ["TRIONEX_USERS_DNS_SERVER": try await NameServer.shared.value.address])
    }

    private struct Case: Sendable {
        let company: Company
        let names: NameServer
        let client: TestClient
        let domain: String
        var path: String { "\(company.path)/domain" }

        func claim() async throws -> TestResponse { try await client.put(path, ["domain": .string(domain)]) }

        /// The pause between two looks is for people, not for tests.
        func verify() async throws -> TestResponse {
            try await company.host.database.execute(
                "UPDATE organizations SET domain_checked_at = domain_checked_at - interval '1 hour'",
                as: .service(.users, for: company.tenant.id))
            return try await client.post("\(path)/verify")
        }
    }

    private func begin(domain: String? = nil) async throws -> Case {
        let company = try await Company.found()
        return Case(
            company: company, names: try await NameServer.shared.value, client: try await Self.host.value.client(company.tenant.owner),
            domain: domain ?? "engines-\(UUID().uuidString.lowercased()).example")
    }

    @Test("a domain is the organization's when its TXT record is there, and not before")
    func verifies() async throws {
        let one = try await begin()
        #expect(try await one.client.get(one.path).problem == "no-domain")
        let claimed = try await one.claim()
        #expect(claimed.status == 200, "\(claimed.text)")
        #expect(claimed["status"] == "pending")
        #expect(claimed["record"]["type"] == "TXT")
        let name = try #require(claimed["record"]["name"].string), value = try #require(claimed["record"]["value"].string)
        #expect(name == "_trionex-challenge.\(one.domain)")
        #expect(try await one.verify().problem == "domain-not-verified")
        one.names.publish(name, [["something else"], [value + "x"]])
        #expect(try await one.verify().problem == "domain-not-verified")
        #expect(try await one.client.get(one.company.path)["domain"].isNull)
        let gateway = try await one.company.host.client(service: .auth)
        #expect(try await gateway.get("/internal/v1/organizations/by-domain/\(one.domain)").status == 404)
        // The record's strings belong together, and others may stand beside it.
        one.names.publish(name, [["v=spf1 -all"], [String(value.prefix(10)), String(value.dropFirst(10))]])
        let verified = try await one.verify()
        #expect(verified.status == 200, "\(verified.text)")
        #expect(verified["status"] == "verified")
        #expect(try await one.client.get(one.company.path)["domain"].string == one.domain)
        let owner = try await gateway.get("/internal/v1/organizations/by-domain/\(one.domain.uppercased())")
        #expect(owner["organization"].string == one.company.tenant.id.description)
        #expect(try await one.company.audit().last?["action"] == "users.organization.verify-domain")
        // The same again keeps it; another takes its place and is to be shown anew.
        #expect(try await one.claim()["status"] == "verified")
        #expect(try await one.client.delete(one.path).status == 204)
        #expect(try await gateway.get("/internal/v1/organizations/by-domain/\(one.domain)").status == 404)
    }

    @Test("of two organizations that can both write the record, the first has the domain")
    func taken() async throws {
        let one = try await begin(), two = try await begin(domain: one.domain)
        let first = try #require(try await one.claim()["record"]["value"].string)
        let second = try #require(try await two.claim()["record"]["value"].string)
        #expect(first != second)
        one.names.publish("_trionex-challenge.\(one.domain)", [[first], [second]])
        #expect(try await one.verify().status == 200)
        let refused = try await two.verify()
        #expect(refused.status == 409)
        #expect(refused.problem == "domain-taken")
    }

    @Test("a long answer is fetched over TCP; a name server that fails is said to be away, and is no proof of anything")
    func transport() async throws {
        let one = try await begin()
        let value = try #require(try await one.claim()["record"]["value"].string), name = "_trionex-challenge.\(one.domain)"
        one.names.cutOff(name)
        one.names.publish(name, [[value]])
        #expect(try await one.verify()["status"] == "verified")
        let two = try await begin()
        _ = try await two.claim()
        two.names.fail("_trionex-challenge.\(two.domain)")
        #expect(try await two.verify().status == 503)
    }

    @Test("nobody looks twice within seconds")
    func patience() async throws {
        let one = try await begin()
        _ = try await one.claim()
        #expect(try await one.verify().status == 409)
        let again = try await one.client.post("\(one.path)/verify")
        #expect(again.status == 429)
        #expect(again.header("retry-after") != nil)
    }

    @Test("a verified domain is lost after three looks in vain, and not before", .timeLimit(.minutes(1)))
    func lost() async throws {
        let one = try await begin()
        let value = try #require(try await one.claim()["record"]["value"].string), name = "_trionex-challenge.\(one.domain)"
        one.names.publish(name, [[value]])
        #expect(try await one.verify().status == 200)
        one.names.withdraw(name)
        let house = try await Self.host.value.host.foundations
        let checks = DomainChecks(
            database: house.database, lookup: TXTLookup(server: one.names.address), now: { Date() }, logger: house.logger)
        for look in 1...3 {
            #expect(try await one.client.get(one.company.path)["domain"].string == one.domain, "look \(look)")
            let before = Date().addingTimeInterval(-2 * DomainClaim.recheckEvery)
            try await one.company.host.database.execute(
                "UPDATE organizations SET domain_checked_at = \(before)", as: .service(.users, for: one.company.tenant.id))
            try await checks.checkSome()
        }
        #expect(try await one.client.get(one.company.path)["domain"].isNull)
        #expect(try await one.company.audit().last?["action"] == "users.organization.lose-domain")
    }

    @Test(
        "what is no domain, or one on which anybody has an address, is refused",
        arguments: [
            "gmail.com", "localhost", "-a.example", "a b.example", "10.0.0.1", "example..org", "x.\(String(repeating: "a", count: 64))",
        ])
    func bad(_ domain: String) async throws {
        let one = try await begin(domain: domain)
        #expect(try await one.claim().badFields == ["/domain"])
    }
}

@Suite struct DNSAnswerTests {
    private let question = DNSQuestion(name: "_a.example", number: 0x1234)

    private func head(_ number: [UInt8] = [0x12, 0x34], _ flags: [UInt8] = [0x81, 0x80], answers: UInt8 = 1) -> [UInt8] {
        number + flags + [0, 1, 0, answers, 0, 0, 0, 0]
    }
    private var section: [UInt8] { Array(question.bytes[12..<(question.bytes.count - 11)]) }
    private let record: [UInt8] = [0xC0, 0x0C, 0, 16, 0, 1, 0, 0, 0, 60, 0, 3, 2, 104, 105]

    @Test("an answer is read")
    func reads() throws {
        #expect(try question.answer(head() + section + record).texts == ["hi"])
        #expect(try question.answer(head([0x12, 0x34], [0x83, 0x80], answers: 0) + section).isCutOff)
        #expect(try question.answer(head([0x12, 0x34], [0x81, 0x83], answers: 0) + section).texts.isEmpty)
    }

    @Test("an answer with another number, to another question, or cut anywhere, is refused")
    func refuses() {
        let whole = head() + section + record
        #expect(throws: DNSQuestion.BadAnswer.self) { try question.answer(head([0x12, 0x35]) + section + record) }
        #expect(throws: DNSQuestion.BadAnswer.self) { try question.answer(head([0x12, 0x34], [0x01, 0x00]) + section + record) }
        var other = section
        other[2] = UInt8(ascii: "b")
        #expect(throws: DNSQuestion.BadAnswer.self) { try question.answer(head() + other + record) }
        for length in 0..<whole.count { #expect(throws: DNSQuestion.BadAnswer.self) { try question.answer(Array(whole.prefix(length))) } }
    }

    @Test("random bytes behind a good head are read or refused, and nothing worse")
    func random() {
        for _ in 0..<2_000 {
            let noise = (0..<Int.random(in: 0...80)).map { _ in UInt8.random(in: .min ... .max) }
            _ = try? question.answer(head(answers: .random(in: 0...20)) + section + noise)
        }
    }
}
