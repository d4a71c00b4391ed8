import Contracts
import Foundation
import Testing

@testable import AuthService

@Suite struct BcryptTests {
    /// From the test vectors of jBCrypt and of OpenBSD.
    static let vectors: [(String, String)] = [
        ("", "$2a$06$DCq7YPn5Rq63x1Lad4cll.TV4S6ytwfsfvkgY8jIucDrjc8deX1s."),
        ("a", "$2a$06$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe"),
        ("abc", "$2a$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i"),
        ("abcdefghijklmnopqrstuvwxyz", "$2a$06$.rCVZVOThsIa97pEDOxvGuRRgzG64bvtJ0938xuqzv18d3ZpQhstC"),
    ]

    @Test("hashes made elsewhere verify their passwords, in all three spellings", arguments: vectors)
    func verifies(_ password: String, _ hash: String) {
        for kind in ["$2a$", "$2b$", "$2y$"] {
            let spelled = kind + hash.dropFirst(4)
            #expect(Bcrypt.verify(Array(password.utf8), against: spelled))
            #expect(!Bcrypt.verify(Array((password + "!").utf8), against: spelled))
        }
    }

    @Test("a password does not end at a NUL")
    func nul() throws {
        let hash = Self.vectors[2].1
        #expect(!Bcrypt.verify(Array("abc\u{0}def".utf8), against: hash))
    }

    @Test(
        "what is no bcrypt hash verifies nothing",
        arguments: [
            "", "*0", "$2a$06$", "$2x$06$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i",
            "$2a$31$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i", "$2a$6$If6bvum7DFjUnE9p2uDeDu0YHzrHM6tf.iqN8.yx.jNN1ILEf7h0i0",
            "$6$rounds=5000$salt$hash", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ])
    func rubbish(_ hash: String) {
        #expect(!Bcrypt.verify(Array("abc".utf8), against: hash))
    }

    @Test("a decoy is a hash of its cost that nobody's password has")
    func decoy() {
        #expect(Bcrypt.cost(of: Bcrypt.decoy(cost: 4)) == 4)
        #expect(Bcrypt.cost(of: Bcrypt.decoy(cost: 40)) == Bcrypt.costs.upperBound)
        #expect(!Bcrypt.verify(Array("abc".utf8), against: Bcrypt.decoy(cost: 4)))
    }

    @Test("hashes are taken over when this program can bear what they cost")
    func importable() {
        #expect(PasswordHashing.canImport(Self.vectors[1].1))
        #expect(PasswordHashing.canImport("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"))
        for hash in [
            "secret", "$2a$20$m0CrhHm10qJ3lXRY.5zDGO3rS2KdeeWLuGmsfGlMfOxih58VYVfxe", "$argon2i$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA",
            "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
        ] {
            #expect(!PasswordHashing.canImport(hash), "\(hash)")
        }
    }

    @Test("an imported hash verifies the password as it was typed elsewhere, and is outdated")
    func hashing() async throws {
        let hashing = try PasswordHashing(
            cost: Argon2Cost(memoryKiB: 64, passes: 1, lanes: 1), threads: HashingThreads(threads: 1, limit: 10))
        let shown = try JSON.decode(PresentedSecret.self, from: Data(#""abc""#.utf8))
        #expect(try await hashing.verify(shown, against: Self.vectors[2].1))
        #expect(hashing.isOutdated(Self.vectors[2].1))
        hashing.note(bcryptCost: 4)
        #expect(try await !hashing.verify(shown, against: nil))
        let own = try await hashing.hash(Array("abc".utf8))
        #expect(try await hashing.verify(shown, against: own))
    }
}

@Suite struct PasswordPolicyTests {
    @Test("a file of leaked passwords is read line by line, whatever its line ends, and long lists are found through quickly")
    func file() throws {
        let path = NSTemporaryDirectory() + "leaked-\(UUID().uuidString).txt"
        defer { try? FileManager.default.removeItem(atPath: path) }
        let many = (0..<20_000).map { "leaked number \($0)" }
        try Data((["short", "correct horse", "Windows line\r"] + many + ["the last one"]).joined(separator: "\n").utf8)
            .write(to: URL(filePath: path))
        let list = try LeakedPasswords(contentsOf: path)
        #expect(list.count == 20_003)
        for word in ["correct horse", "CORRECT Horse", "windows line", "leaked number 19999", "the last one"] {
            #expect(list.contains(word), "\(word)")
        }
        for word in ["short", "correct horse battery", "leaked number 20000", ""] { #expect(!list.contains(word), "\(word)") }
        #expect(throws: LeakedPasswords.Unreadable.self) { try LeakedPasswords(contentsOf: path + ".missing") }
    }

    @Test("a password on the list, or made of what everybody knows of the person, is refused")
    func refused() throws {
        let policy = PasswordPolicy(leaked: LeakedPasswords(["a leaked password"]))
        let words: [String?] = ["ada.lovelace@example.org", "Analytical Engines", nil]
        func code(_ text: String) throws -> String? {
            do {
                try policy.check(try Password(text), about: words)
                return nil
            } catch let failure as ValidationFailure {
                return failure.fields.first?.code
            }
        }
        #expect(try code("A Leaked Password") == "password-known")
        for text in ["ada.lovelace@example.org", "Lovelace2026", "!!lovelace!!", "analyticalengines1", "Trionex-2026", "lovelace.ada"] {
            #expect(try code(text) == "password-personal", "\(text)")
        }
        for text in ["lovelace wrote the first program", "a very good secret", "the engines of cornwall"] {
            #expect(try code(text) == nil, "\(text)")
        }
    }

    @Test(
        "one to four characters again and again are among the first that are tried",
        arguments: ["1212121212", "abcabcabcabc", "xyz!xyz!xyz!"])
    func repeated(_ text: String) {
        #expect(KnownBadPasswords.contains(text))
    }
}
