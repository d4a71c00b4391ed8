import AuditChain
import Contracts
import Foundation
import ServiceKit

#if canImport(Glibc)
    import Glibc
#endif

/// The keys that sign checkpoints: in files, sealed, and not in the database that they vouch for.
///
/// The last by name signs; all are published, so that what an older one has signed stays good. Every replica is given the same directory.
struct AuditKeys: Sendable {
    /// Why nothing can be signed, as a sentence for whoever starts users.
    struct Unusable: Error, CustomStringConvertible {
        let description: String
    }

    let signing: AuditSigningKey
    let published: AuditKeySet

    private static let context = "audit signing key"

    /// Keys as they stand in a secret. Nil when one of them is none.
    static func read(_ text: String) -> AuditKeys? {
        let keys = text.split(separator: ",").map { part -> AuditSigningKey? in
            let bytes = Data(base64Encoded: part.trimmingCharacters(in: .whitespacesAndNewlines))
            return bytes.flatMap { try? AuditSigningKey(rawRepresentation: $0) }
        }
        guard let last = keys.last, let signing = last, !keys.contains(where: { $0 == nil }) else { return nil }
        return AuditKeys(signing: signing, published: AuditKeySet(keys.compactMap { $0?.publicKey }))
    }

    /// Reads the keys of a directory; makes the directory and a first key when there is none. A lock lets one of several processes make it.
    static func open(_ directory: String, sealing: Sealing, now: Date) throws -> AuditKeys {
        do {
            try FileManager.default.createDirectory(
                atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Unusable(description: "the directory \(directory) cannot be made; set TRIONEX_USERS_AUDIT_KEY_DIRECTORY")
        }
        var keys = try load(directory, sealing)
        if keys.isEmpty {
            let lock = Glibc.open(directory + "/.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
            guard lock >= 0 else { throw Unusable(description: "the directory \(directory) cannot be written to") }
            defer { close(lock) }
            flock(lock, LOCK_EX)
            keys = try load(directory, sealing)
            if keys.isEmpty { keys = [try add(to: directory, sealing, now)] }
        }
        guard let last = keys.last else { throw Unusable(description: "there is no key in \(directory)") }
        return AuditKeys(signing: last, published: AuditKeySet(keys.map(\.publicKey)))
    }

    private static func load(_ directory: String, _ sealing: Sealing) throws -> [AuditSigningKey] {
        let names = try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0.hasSuffix(".sealed") }.sorted()
        return try names.map { name in
            do {
                let sealed = try Data(contentsOf: URL(filePath: "\(directory)/\(name)"))
                return try AuditSigningKey(rawRepresentation: try sealing.open(sealed, context: context))
            } catch {
                throw Unusable(description: "the key \(directory)/\(name) cannot be opened with TRIONEX_SEALING_KEY")
            }
        }
    }

    private static func add(to directory: String, _ sealing: Sealing, _ now: Date) throws -> AuditSigningKey {
        let key = AuditSigningKey()
        let time = Timestamp.text(now).filter { $0.isNumber || $0 == "T" || $0 == "Z" }
        let path = "\(directory)/audit-\(time).sealed"
        // Written under another name first: nobody reads half a key.
        let draft = path + ".new"
        let sealed = try sealing.seal(key.rawRepresentation, context: context)
        guard FileManager.default.createFile(atPath: draft, contents: sealed, attributes: [.posixPermissions: 0o600]),
            rename(draft, path) == 0
        else { throw Unusable(description: "no key can be written to \(directory)") }
        return key
    }
}
