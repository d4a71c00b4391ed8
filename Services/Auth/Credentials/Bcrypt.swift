import CCrypt
import Foundation

/// bcrypt, for hashes that came with people from elsewhere. None is ever made here: the next sign-in replaces it.
enum Bcrypt {
    /// Work factors that are taken: less is worthless, more would hold up everybody else.
    static let costs = 4...14
    /// The algorithm sees no more of a password.
    static let maximumBytes = 72

    /// The work factor of `$2a$`, `$2b$` and `$2y$` hashes; nil for any other text.
    static func cost(of hash: String) -> Int? {
        let parts = hash.split(separator: "$", omittingEmptySubsequences: false)
        guard parts.count == 4, parts[0].isEmpty, ["2a", "2b", "2y"].contains(parts[1]), parts[2].utf8.count == 2,
            let cost = Int(parts[2]), parts[3].utf8.count == 53, parts[3].utf8.allSatisfy(isSaltCharacter)
        else { return nil }
        return cost
    }

    /// Whether the password is the one that was hashed. False for what is no bcrypt hash of an allowed cost.
    static func verify(_ password: [UInt8], against hash: String) -> Bool {
        // C would end the password at a NUL, and take whatever follows it for right.
        guard let cost = cost(of: hash), costs.contains(cost), !password.contains(0), let computed = crypt(password, setting: hash) else {
            return false
        }
        return equal(computed, Array(hash.utf8))
    }

    /// A setting that costs as much as verifying a hash of that cost does.
    static func decoy(cost: Int) -> String {
        let clamped = min(max(cost, costs.lowerBound), costs.upperBound)
        return "$2b$\(clamped < 10 ? "0" : "")\(clamped)$" + String(repeating: "e", count: 53)
    }

    private static func crypt(_ password: [UInt8], setting: String) -> [UInt8]? {
        // 32 kilobytes of the library's, with the password's schedule in them: wiped before they are given back.
        let size = MemoryLayout<crypt_data>.stride
        let scratch = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        scratch.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        defer {
            explicit_bzero(scratch, size)
            scratch.deallocate()
        }
        let data = scratch.bindMemory(to: crypt_data.self, capacity: 1)
        var phrase = password.map { CChar(bitPattern: $0) } + [0]
        defer { explicit_bzero(&phrase, phrase.count) }
        // Nil, or a text that begins with an asterisk, when it was refused.
        guard let answer = crypt_r(phrase, setting, data), answer[0] != CChar(bitPattern: UInt8(ascii: "*")) else { return nil }
        return Array(UnsafeRawBufferPointer(start: answer, count: strlen(answer)))
    }

    /// In the same time wherever they differ.
    private static func equal(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private static func isSaltCharacter(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "."), UInt8(ascii: "/"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"):
            true
        default: false
        }
    }
}
