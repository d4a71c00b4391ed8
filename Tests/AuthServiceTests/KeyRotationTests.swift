import Contracts
import Foundation
import JWTKit
import NIOHTTP1
import ServiceKit
import Synchronization
import TestKit
import Testing

@testable import AuthService

/// A clock that stands until it is told to go on.
final class Clock: Sendable {
    private let seconds: Mutex<TimeInterval>

    init(_ start: TimeInterval = 1_768_473_000) { seconds = Mutex(start) }

    @Sendable func now() -> Date { Date(timeIntervalSince1970: seconds.withLock { $0 }) }
    func advance(_ by: TimeInterval) { seconds.withLock { $0 += by } }
}

/// A directory of signing keys of its own, and the rings on it.
struct KeyRoom {
    let path = NSTemporaryDirectory() + "trionex-key-test-\(UUID().uuidString)/keys"
    let clock = Clock()
    let sealing: Sealing
    static let longestToken: TimeInterval = 3_600
    static let claims = AccessClaims(service: .users, issuedAt: Date(), lifetime: 60)

    init() throws { sealing = try #require(Sealing(keys: Self.sealingKey())) }

    static func sealingKey() -> String { Data((0..<32).map { _ in UInt8.random(in: .min ... .max) }).base64EncodedString() }

    func ring() throws -> KeyRing {
        try KeyRing.open(path, sealing: sealing, longestToken: Self.longestToken, now: clock.now, logger: .silent)
    }

    @discardableResult
    func rotate(replacing: Bool = false) throws -> String {
        try KeyRing.rotate(path, sealing: sealing, now: clock.now(), replacing: replacing).kid
    }

    func names(_ suffix: String = ".key") throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: path).filter { $0.hasSuffix(suffix) }.sorted()
    }

    /// Everything in the directory, as text.
    func contents() throws -> String {
        try FileManager.default.contentsOfDirectory(atPath: path).map {
            String(decoding: FileManager.default.contents(atPath: "\(path)/\($0)") ?? Data(), as: UTF8.self)
        }.joined(separator: "\n")
    }
}

extension KeyRing {
    var publishedIDs: [String] {
        ((try? JSON.decode(JSONValue.self, from: document)) ?? .null)["keys"].array.compactMap { $0["kid"].string }
    }

    func signer() async throws -> String? { TokenParts.header(try await sign(KeyRoom.claims))["kid"].string }
}

@Suite struct KeyFileTests {
    @Test("a key is made on the first start, sealed, readable by nobody else, and kept")
    func keptKey() throws {
        let room = try KeyRoom()
        let first = try room.ring(), second = try room.ring()
        #expect(first.keyID == second.keyID)
        #expect(first.document == second.document)
        let names = try room.names()
        #expect(names.count == 1)
        func mode(_ path: String) throws -> Int? { try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int }
        #expect(try mode("\(room.path)/\(names[0])") == 0o600)
        #expect(try mode(room.path) == 0o700)
        let contents = try room.contents()
        #expect(contents.contains(first.keyID), "it says which key it is")
        #expect(!contents.contains("PRIVATE") && !contents.contains("BEGIN"))
    }

    @Test("many that start at once on an empty directory share one key")
    func startedAtOnce() async throws {
        let room = try KeyRoom()
        let ids = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<6 { group.addTask { try room.ring().keyID } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(ids.count == 1)
    }

    @Test("plain keys of an earlier version are sealed at the next start, by the time in their name, and none is left in the clear")
    func sealsPlainKeys() async throws {
        let room = try KeyRoom()
        try FileManager.default.createDirectory(atPath: room.path, withIntermediateDirectories: true)
        let keys = try (0..<2).map { _ in try SigningKey.make(at: Date(), signsFrom: Date()) }
        for (name, key) in zip(["key-20260115T093000000Z.pem", "key-20260115T100000000Z.pem"], keys) {
            try Data(key.pem.utf8).write(to: URL(filePath: "\(room.path)/\(name)"))
        }
        // The clock stands at half past ten of that day; the files were written just now, as after a restore.
        let ring = try room.ring()
        #expect(ring.publishedIDs == keys.map(\.kid))
        #expect(try await ring.signer() == keys[1].kid)
        #expect(try room.names(".pem").isEmpty)
        #expect(try room.names().count == 2)
        #expect(try !room.contents().contains("PRIVATE"))
        #expect(try room.ring().publishedIDs == ring.publishedIDs)
    }

    @Test("what a file's date on the disk says changes nothing")
    func dates() async throws {
        let room = try KeyRoom()
        _ = try room.ring()
        room.clock.advance(86_400)
        try room.rotate()
        room.clock.advance(KeyRing.leadSeconds)
        let before = try room.ring()
        for name in try room.names() {
            try FileManager.default.setAttributes([.modificationDate: Date.distantFuture], ofItemAtPath: "\(room.path)/\(name)")
        }
        let after = try room.ring()
        #expect(try await after.signer() == before.signer())
        #expect(after.publishedIDs == before.publishedIDs)
    }

    @Test("another sealing key opens nothing, and the sentence says what to look at; a key that is kept behind the first still opens")
    func otherSealingKey() throws {
        let room = try KeyRoom()
        let kid = try room.ring().keyID
        let other = KeyRoom.sealingKey(), sealing = try #require(Sealing(keys: other))
        #expect { try KeyRing.open(room.path, sealing: sealing, logger: .silent) } throws: { "\($0)".contains("TRIONEX_SEALING_KEY") }

        let old = KeyRoom.sealingKey(), moved = NSTemporaryDirectory() + "trionex-key-test-\(UUID().uuidString)/keys"
        let first = try KeyRing.open(moved, sealing: try #require(Sealing(keys: old)), logger: .silent)
        let both = try KeyRing.open(moved, sealing: try #require(Sealing(keys: "\(other),\(old)")), logger: .silent)
        #expect(first.keyID == both.keyID)
        #expect(first.keyID != kid)
    }

    @Test("times that somebody has changed in a file are found out")
    func tampered() throws {
        let room = try KeyRoom()
        _ = try room.ring()
        let path = "\(room.path)/\(try room.names()[0])"
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let changed = text.replacingOccurrences(of: "2026-01-15T10:30:00.000Z", with: "2020-01-15T10:30:00.000Z")
        #expect(changed != text)
        try Data(changed.utf8).write(to: URL(filePath: path))
        #expect { try room.ring() } throws: { "\($0)".contains("it was changed") }
    }

    @Test("a file that is no key stops the start with a sentence that names it", arguments: ["key-1.pem", "key-1.key"])
    func brokenKey(name: String) throws {
        let room = try KeyRoom()
        try FileManager.default.createDirectory(atPath: room.path, withIntermediateDirectories: true)
        try Data("rubbish".utf8).write(to: URL(filePath: "\(room.path)/\(name)"))
        #expect { try room.ring() } throws: { "\($0)".contains(name) }
    }
}

@Suite struct KeyRotationTests {
    @Test(
        "a running ring notices a new key, publishes it, signs with it when everybody can know it, and drops the old one when its last token is over"
    )
    func overlap() async throws {
        let room = try KeyRoom()
        let ring = try room.ring()
        let first = ring.keyID
        room.clock.advance(3_600)
        #expect(ring.publishedIDs == [first])
        let second = try room.rotate()
        #expect(ring.publishedIDs == [first], "it looks every few seconds")
        room.clock.advance(KeyRing.lookSeconds)
        #expect(ring.publishedIDs == [first, second])
        #expect(try await ring.signer() == first)
        room.clock.advance(KeyRing.leadSeconds - KeyRing.lookSeconds - 1)
        #expect(try await ring.signer() == first)
        room.clock.advance(1)
        #expect(try await ring.signer() == second)
        // The last token of the first was signed now.
        #expect(ring.publishedIDs == [first, second])
        #expect(try ring.removeOver() == 0)
        room.clock.advance(KeyRoom.longestToken)
        #expect(ring.publishedIDs == [first, second], "clocks differ")
        room.clock.advance(KeyRing.clockMargin)
        _ = ring.document
        room.clock.advance(KeyRing.lookSeconds)
        #expect(ring.publishedIDs == [second])
        #expect(try ring.removeOver() == 1)
        #expect(try room.names().count == 1)
        #expect(try room.ring().publishedIDs == [second])
        #expect(try await ring.signer() == second)
    }

    @Test("while two keys overlap, every token of either is good, also for a verifier that has kept the keys from before")
    func verifiers() async throws {
        let room = try KeyRoom()
        let ring = try room.ring(), other = try room.ring()
        func claims() -> AccessClaims { AccessClaims(service: .users, issuedAt: room.clock.now(), lifetime: 3_600) }
        let verifier = TokenVerifier(source: .keys { ring.publicKeys }, revocations: nil, now: room.clock.now, logger: .silent)
        let old = try await ring.sign(claims())
        _ = try await verifier.verify(old)
        try room.rotate()
        for _ in 0..<8 {
            room.clock.advance(60)
            for signing in [ring, other] {
                let caller = try await verifier.verify(try await signing.sign(claims()))
                #expect(caller.principal == .service(.users))
            }
            let late = TokenVerifier(source: .keys { other.publicKeys }, revocations: nil, now: room.clock.now, logger: .silent)
            _ = try await late.verify(old)
        }
        #expect(try await ring.signer() == other.signer())
    }

    @Test("on the schedule one of several replicas makes one key, whoever comes first; with it off none does")
    func schedule() async throws {
        let room = try KeyRoom()
        let age: TimeInterval = 90 * 86_400
        let replicas = try (0..<4).map { _ in try room.ring() }
        room.clock.advance(age - 1)
        for replica in replicas { #expect(try !replica.rotate(whenOlderThan: age)) }
        room.clock.advance(1)
        let made = try await withThrowingTaskGroup(of: Bool.self) { group in
            for replica in replicas { group.addTask { try replica.rotate(whenOlderThan: age) } }
            return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
        }
        #expect(made == 1)
        #expect(try room.names().count == 2)
        room.clock.advance(KeyRing.lookSeconds)
        #expect(Set(replicas.map(\.publishedIDs)).count == 1)
        for replica in replicas { #expect(try !replica.rotate(whenOlderThan: age)) }
        var reader = SettingsReader(environment: ["TRIONEX_AUTH_KEY_ROTATION_DAYS": "0"])
        #expect(AuthSettings(&reader).keyRotation == nil)
        var standard = SettingsReader(environment: [:])
        #expect(AuthSettings(&standard).keyRotation == age)
    }

    @Test("after a compromise the new key signs at once and nothing of the others is left")
    func compromised() async throws {
        let room = try KeyRoom()
        let ring = try room.ring()
        let stolen = try await ring.sign(KeyRoom.claims)
        let fresh = try room.rotate(replacing: true)
        room.clock.advance(KeyRing.lookSeconds)
        #expect(ring.publishedIDs == [fresh])
        #expect(try await ring.signer() == fresh)
        #expect(try room.names().count == 1)
        let verifier = TokenVerifier(source: .keys { ring.publicKeys }, revocations: nil, logger: .silent)
        await #expect(throws: AccessFailure.badToken) { try await verifier.verify(stolen) }
    }

    @Test("a directory that cannot be read for a while changes nothing")
    func unreadable() async throws {
        let room = try KeyRoom()
        let ring = try room.ring()
        let kid = ring.keyID
        try Data("rubbish".utf8).write(to: URL(filePath: "\(room.path)/key-9.key"))
        room.clock.advance(KeyRing.lookSeconds)
        #expect(ring.publishedIDs == [kid])
        try FileManager.default.removeItem(atPath: "\(room.path)/key-9.key")
        let second = try room.rotate()
        room.clock.advance(KeyRing.lookSeconds)
        #expect(ring.publishedIDs == [kid, second])
    }
}

@Suite struct KeyCommandTests {
    @Test("auth rotate-keys adds a key, and says when it signs; the running auth publishes it without a restart")
    func running() async throws {
        let stack = try await AuthStack.shared.value
        let directory = NSTemporaryDirectory() + "trionex-auth-keys-\(UUID().uuidString)"
        let sealingKey = try #require(try await TestServers.shared.value.environment(for: "auth")["TRIONEX_SEALING_KEY"])
        let host = try await stack.another(["TRIONEX_AUTH_KEY_DIRECTORY": directory])
        func published() async throws -> [String?] {
            try await host.client(token: nil).get("/.well-known/jwks.json")["keys"].array.map { $0["kid"].string }
        }
        let before = try await published()
        #expect(before.count == 1)
        let outcome = try #require(
            KeyCommand.run(
                ["rotate-keys"], environment: ["TRIONEX_AUTH_KEY_DIRECTORY": directory, "TRIONEX_SEALING_KEY": sealingKey], now: Date()))
        #expect(outcome.exitCode == 0)
        #expect(outcome.text.contains("310 seconds"))
        try await host.eventually("the running auth publishes both") { try await published().count == 2 }
        #expect(try await published().first == before[0])
        try await host.stop()
    }

    @Test("it refuses in a sentence what it cannot do, and leaves other arguments to the program")
    func refuses() throws {
        #expect(KeyCommand.run([], environment: [:], now: Date()) == nil)
        #expect(KeyCommand.run(["--help"], environment: [:], now: Date()) == nil)
        let usage = try #require(KeyCommand.run(["rotate-keys", "--now"], environment: [:], now: Date()))
        #expect(usage.exitCode == 64 && usage.text.contains("Usage"))
        let unsealed = try #require(KeyCommand.run(["rotate-keys"], environment: [:], now: Date()))
        #expect(unsealed.exitCode == 78 && unsealed.text.contains("TRIONEX_SEALING_KEY"))
    }
}
