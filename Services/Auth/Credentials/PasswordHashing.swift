import CArgon2
import Foundation
import Metrics
import ServiceKit
import Synchronization

/// What one hash costs (RFC 9106). The default is OWASP's least: 19 MiB, two passes, one lane.
struct Argon2Cost: Sendable, Equatable {
    let memoryKiB: Int
    let passes: Int
    let lanes: Int

    /// How a hash of this cost begins in the PHC string format.
    var prefix: String { "$argon2id$v=19$m=\(memoryKiB),t=\(passes),p=\(lanes)$" }
}

/// Argon2id, on threads of its own. Memory is wiped by the library. Imported bcrypt hashes are verified, never made.
///
/// While such hashes are left, every verification costs one Argon2id and one bcrypt hash, whoever's it is: else time would tell an
/// imported account from an address that nobody has.
struct PasswordHashing: Sendable {
    static let saltBytes = 16
    static let hashBytes = 32

    let cost: Argon2Cost
    private let threads: HashingThreads
    private let timer = Timer(label: "trionex_auth_password_hash_duration_seconds")
    /// A hash of nobody's password, of the current cost.
    private let nobodys: String
    private let bcryptCost = BcryptCost()

    init(cost: Argon2Cost, threads: HashingThreads) throws {
        self.cost = cost
        self.threads = threads
        nobodys = try Argon2.hash(Argon2.random(Self.hashBytes), cost: cost)
    }

    /// The PHC string to store.
    func hash(_ password: [UInt8]) async throws -> String {
        try await measured { [cost] in Result { try Argon2.hash(password, cost: cost) } }.get()
    }

    /// Whether the password is the one that was hashed. Without a hash it takes as long, and is not: an unknown address
    /// cannot be told from a wrong password by time.
    func verify(_ password: [UInt8], against hash: String?) async throws -> Bool {
        let argon2 = hash.flatMap { Bcrypt.cost(of: $0) == nil ? $0 : nil } ?? nobodys
        let bcrypt = hash.flatMap { Bcrypt.cost(of: $0) == nil ? nil : $0 } ?? bcryptCost.current.map(Bcrypt.decoy)
        return try await measured {
            let isArgon2 = Argon2.verify(password, against: argon2)
            let isBcrypt = bcrypt.map { Bcrypt.verify(password, against: $0) } ?? false
            guard let hash else { return false }
            return hash == argon2 ? isArgon2 : isBcrypt
        }
    }

    /// As shown, in the form its hash was made from: elsewhere nobody normalizes.
    func verify(_ shown: PresentedSecret, against hash: String?) async throws -> Bool {
        let isImported = hash.flatMap(Bcrypt.cost) != nil
        return try await verify(isImported ? Array(shown.text.utf8) : shown.passwordBytes, against: hash)
    }

    /// A hash made when the settings were others, or elsewhere, is replaced at the next sign-in.
    func isOutdated(_ hash: String) -> Bool { !hash.hasPrefix(cost.prefix) }

    /// Whether a hash made elsewhere can be taken over: bcrypt or Argon2id, of a cost that this program can bear.
    static func canImport(_ hash: String) -> Bool {
        if let cost = Bcrypt.cost(of: hash) { return Bcrypt.costs.contains(cost) }
        return Argon2Cost(of: hash).map { $0.memoryKiB <= 262_144 && $0.passes <= 10 && $0.lanes <= 8 } ?? false
    }

    /// The highest cost among the imported hashes that are left; nil when there is none.
    func note(bcryptCost cost: Int?) { bcryptCost.set(cost) }

    private func measured<T: Sendable>(_ work: @escaping @Sendable () -> T) async throws -> T {
        try await threads.run { [timer] in
            let start = ContinuousClock.now
            defer { timer.recordNanoseconds((ContinuousClock.now - start).nanoseconds) }
            return work()
        }
    }
}

/// What the imported hashes that are left cost: read from the database now and then.
private final class BcryptCost: Sendable {
    private let held = Mutex<Int?>(nil)
    var current: Int? { held.withLock { $0 } }
    func set(_ cost: Int?) { held.withLock { $0 = cost } }
}

extension Argon2Cost {
    /// The cost that a PHC string names, such as `$argon2id$v=19$m=19456,t=2,p=1$…`.
    init?(of hash: String) {
        let parts = hash.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 6, parts[0].isEmpty, parts[1] == "argon2id", parts[2] == "v=19", !parts[4].isEmpty, !parts[5].isEmpty else {
            return nil
        }
        let numbers = parts[3].split(separator: ",").map { $0.split(separator: "=") }
        guard numbers.count == 3, numbers.allSatisfy({ $0.count == 2 }), numbers.map({ $0[0] }) == ["m", "t", "p"],
            let memory = Int(numbers[0][1]), let passes = Int(numbers[1][1]), let lanes = Int(numbers[2][1])
        else { return nil }
        self.init(memoryKiB: memory, passes: passes, lanes: lanes)
    }
}

/// The library's calls.
private enum Argon2 {
    struct Refusal: Error {
        let code: CInt
    }

    static func random(_ count: Int) -> [UInt8] {
        var generator = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) }
    }

    static func hash(_ password: [UInt8], cost: Argon2Cost) throws -> String {
        let salt = random(PasswordHashing.saltBytes)
        let passes = UInt32(cost.passes), memory = UInt32(cost.memoryKiB), lanes = UInt32(cost.lanes)
        let length = argon2_encodedlen(
            passes, memory, lanes, UInt32(PasswordHashing.saltBytes), UInt32(PasswordHashing.hashBytes), Argon2_id)
        var encoded = [CChar](repeating: 0, count: length)
        let code = argon2id_hash_encoded(
            passes, memory, lanes, password, password.count, salt, salt.count, PasswordHashing.hashBytes, &encoded, encoded.count)
        guard code == ARGON2_OK.rawValue else { throw Refusal(code: code) }
        return String(decoding: encoded.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func verify(_ password: [UInt8], against hash: String) -> Bool {
        argon2id_verify(hash, password, password.count) == ARGON2_OK.rawValue
    }
}
