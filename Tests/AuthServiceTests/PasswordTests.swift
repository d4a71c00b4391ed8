import Contracts
import Foundation
import Testing

@testable import AuthService

@Suite struct PasswordTests {
    @Test("a password is held to its length in characters, not bytes, and to nothing about their kinds")
    func lengths() throws {
        #expect(throws: TextProblem.self) { try Password("123456789") }
        #expect(throws: Never.self) { try Password("aaaaabbbbbc") }
        #expect(throws: Never.self) { try Password(String(repeating: "ü", count: 9) + "x") }
        #expect(throws: Never.self) { try Password(String(repeating: "ab", count: 64)) }
        #expect(throws: TextProblem.self) { try Password(String(repeating: "ab", count: 64) + "c") }
    }

    @Test("the same characters typed on another keyboard are the same password")
    func normalized() throws {
        #expect(try Password("caf\u{E9} au lait").bytes == Password("cafe\u{301} au lait").bytes)
    }

    @Test("a password never shows itself")
    func hidden() throws {
        let password = try Password("a secret worth keeping")
        var dumped = ""
        dump(password, to: &dumped)
        let shown = ["\(password)", String(describing: password), String(reflecting: password), dumped, "\([password])"]
        #expect(shown.allSatisfy { !$0.contains("secret") })
    }

    @Test("a hash is Argon2id with the settings in it, salted, and verifies the one password")
    func hashes() async throws {
        let cost = Argon2Cost(memoryKiB: 19_456, passes: 2, lanes: 1)
        let hashing = try PasswordHashing(cost: cost, threads: HashingThreads(threads: 2, limit: 10))
        let password = Array("a secret worth keeping".utf8)
        let first = try await hashing.hash(password), second = try await hashing.hash(password)
        #expect(first.hasPrefix("$argon2id$v=19$m=19456,t=2,p=1$"))
        #expect(first != second)
        #expect(try await hashing.verify(password, against: first))
        #expect(try await !hashing.verify(Array("a secret worth keeping.".utf8), against: first))
        #expect(try await !hashing.verify(password, against: nil))
        #expect(try await !hashing.verify(password, against: "$argon2id$rubbish"))
        #expect(!hashing.isOutdated(first))
        #expect(hashing.isOutdated(first.replacingOccurrences(of: "m=19456", with: "m=4096")))
    }

    @Test("a hash of the reference implementation verifies")
    func reference() async throws {
        // From the test vectors of the reference implementation: password "password", salt "somesalt", 2 passes, 64 MiB.
        let hash = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
        let hashing = try PasswordHashing(
            cost: Argon2Cost(memoryKiB: 64, passes: 1, lanes: 1), threads: HashingThreads(threads: 1, limit: 10))
        #expect(try await hashing.verify(Array("password".utf8), against: hash))
    }

    @Test("more passwords than the queue takes are refused, not piled up")
    func bounded() async throws {
        let threads = HashingThreads(threads: 1, limit: 2)
        let gate = DispatchSemaphore(value: 0)
        async let first: Void = threads.run { gate.wait() }
        async let second: Void = threads.run { gate.wait() }
        var refused = false
        for _ in 0..<500 where !refused {
            try await Task.sleep(for: .milliseconds(5))
            do {
                try await threads.run {}
            } catch is HashingBusy {
                refused = true
            }
        }
        #expect(refused)
        gate.signal()
        gate.signal()
        _ = try await (first, second)
        try await threads.run {}
    }
}

@Suite struct LockOutTests {
    private let policy = LockOut(threshold: 5, first: 30, longest: 900)

    @Test("there is no lock before the threshold, then it doubles up to the longest")
    func delays() {
        #expect(policy.delay(after: 4) == nil)
        #expect((5...11).map { policy.delay(after: $0) } == [30, 60, 120, 240, 480, 900, 900])
        #expect(policy.delay(after: 1_000_000) == 900)
    }

    @Test("what is left of a lock is rounded up, and never nothing")
    func seconds() {
        let now = Date(timeIntervalSince1970: 1_768_473_000)
        #expect(LockedOut(until: now.addingTimeInterval(1.2), now: now).seconds == 2)
        #expect(LockedOut(until: now.addingTimeInterval(0.001), now: now).seconds == 1)
    }
}

@Suite struct RefreshTokenTests {
    @Test("a refresh token carries its organization and session, and no two are alike")
    func form() throws {
        let tenant = TenantID.make(), session = SessionID.make()
        let first = RefreshToken.make(tenant: tenant, session: session), second = RefreshToken.make(tenant: tenant, session: session)
        #expect(first.text != second.text)
        let read = try #require(RefreshToken(first.text))
        #expect(read.tenant == tenant)
        #expect(read.session == session)
        #expect(read.digest == first.digest)
        #expect(RefreshToken(first.text + "A") == nil)
        #expect(RefreshToken(String(first.text.dropFirst())) == nil)
    }
}
