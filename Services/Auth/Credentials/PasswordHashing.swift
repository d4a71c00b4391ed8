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

/// Argon2id, on threads of its own. Memory is wiped by the library.
struct PasswordHashing: Sendable {
    static let saltBytes = 16
    static let hashBytes = 32

    let cost: Argon2Cost
    private let threads: HashingThreads
    private let timer = Timer(label: "trionex_auth_password_hash_duration_seconds")
    /// A hash of nobody's password, of the current cost.
    private let nobodys: String

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
        let stored = hash ?? nobodys
        let matches = try await measured { Argon2.verify(password, against: stored) }
        return matches && hash != nil
    }

    /// A hash made when the settings were others is replaced at the next sign-in.
    func isOutdated(_ hash: String) -> Bool { !hash.hasPrefix(cost.prefix) }

    private func measured<T: Sendable>(_ work: @escaping @Sendable () -> T) async throws -> T {
        try await threads.run { [timer] in
            let start = ContinuousClock.now
            defer { timer.recordNanoseconds((ContinuousClock.now - start).nanoseconds) }
            return work()
        }
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
