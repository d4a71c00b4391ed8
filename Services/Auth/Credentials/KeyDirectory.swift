import Contracts
import Foundation
import ServiceKit

#if canImport(Glibc)
    import Glibc
#endif

/// The files of the signing keys, shared by all replicas of auth: one a key, sealed, in a directory that only auth can read.
///
/// A file says when its key was made and from when on it signs; both are part of what the seal protects. What a file's date on
/// the disk says means nothing: a restored or copied directory is as good as the first.
struct KeyDirectory: Sendable {
    /// Why there is no key to sign with, as a sentence for whoever starts auth.
    struct Unusable: Error, CustomStringConvertible {
        let description: String
    }

    /// What a file holds.
    private struct Sealed: Codable {
        let version: Int
        let kid: String
        let madeAt: Date
        let signsFrom: Date
        /// Base64 of the sealed PEM.
        let key: String

        var context: String { "signing key \(kid) \(Timestamp.text(madeAt)) \(Timestamp.text(signsFrom))" }
    }

    static let suffix = ".key"
    /// Keys of an earlier version of auth: plain PEM. They are sealed and removed when auth starts.
    static let plainSuffix = ".pem"

    let path: String
    let sealing: Sealing

    /// The names of the sealed keys, in the order in which they were made.
    var names: [String] { files(Self.suffix) }

    private func files(_ suffix: String) -> [String] {
        ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).filter { $0.hasSuffix(suffix) }.sorted()
    }

    // MARK: - One at a time

    /// Makes the directory where there is none, and keeps other processes out while `body` changes it.
    func locked<T>(_ body: () throws -> T) throws -> T {
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw Unusable(description: "the key directory \(path) cannot be made; set TRIONEX_AUTH_KEY_DIRECTORY")
        }
        let lock = Glibc.open(path + "/.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        guard lock >= 0 else { throw Unusable(description: "the key directory \(path) cannot be written to") }
        defer { close(lock) }
        while flock(lock, LOCK_EX) != 0 {
            guard errno == EINTR else { throw Unusable(description: "the key directory \(path) cannot be locked") }
        }
        return try body()
    }

    // MARK: - Reading

    /// Nil when the file has gone meanwhile. Throws `Unusable`, naming the file.
    func read(_ name: String) throws -> SigningKey? {
        let file = "\(path)/\(name)"
        guard let data = FileManager.default.contents(atPath: file) else {
            guard FileManager.default.fileExists(atPath: file) else { return nil }
            throw Unusable(description: "\(file) cannot be read")
        }
        guard let sealed = try? JSON.decode(Sealed.self, from: data), sealed.version == 1, let bytes = Data(base64Encoded: sealed.key)
        else { throw Unusable(description: "\(file) is no signing key") }
        guard let plain = try? sealing.open(bytes, context: sealed.context) else {
            throw Unusable(description: "\(file) cannot be opened: it was changed, or sealed with a key that TRIONEX_SEALING_KEY lacks")
        }
        guard
            let key = try? SigningKey(
                pem: String(decoding: plain, as: UTF8.self), madeAt: sealed.madeAt, signsFrom: sealed.signsFrom),
            key.kid == sealed.kid
        else { throw Unusable(description: "\(file) holds no RSA key of at least 2048 bits") }
        return key
    }

    // MARK: - Writing

    /// Seals a key into a file of its own. A key that is there already stays as it is.
    func write(_ key: SigningKey) throws {
        let time = Timestamp.text(key.madeAt).filter { $0.isNumber || $0 == "T" || $0 == "Z" }
        let name = "key-\(time)-\(key.kid.prefix(8))\(Self.suffix)"
        let unsealed = Sealed(version: 1, kid: key.kid, madeAt: key.madeAt, signsFrom: key.signsFrom, key: "")
        let bytes = try sealing.seal(Data(key.pem.utf8), context: unsealed.context)
        let sealed = Sealed(
            version: 1, kid: key.kid, madeAt: key.madeAt, signsFrom: key.signsFrom, key: bytes.base64EncodedString())
        try replace(name, with: try JSON.encode(sealed))
    }

    /// Written under another name first: nobody reads half a key.
    private func replace(_ name: String, with data: Data) throws {
        let draft = "\(path)/\(name).new"
        unlink(draft)
        let file = Glibc.open(draft, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0o600)
        guard file >= 0 else { throw Unusable(description: "no key can be written to \(path)") }
        let handle = FileHandle(fileDescriptor: file, closeOnDealloc: true)
        try handle.write(contentsOf: data)
        try handle.synchronize()
        try handle.close()
        guard rename(draft, "\(path)/\(name)") == 0 else { throw Unusable(description: "no key can be written to \(path)") }
    }

    func remove(_ name: String) { unlink("\(path)/\(name)") }

    // MARK: - Keys of an earlier version

    var hasPlainKeys: Bool { !files(Self.plainSuffix).isEmpty }

    /// Seals the plain keys and removes their files. Each signed from its making, but for `lead` seconds, as the earlier version had it.
    /// Its name says when it was made; of a file with another name its date must do.
    func sealPlainKeys(lead: TimeInterval) throws -> Int {
        let plain = files(Self.plainSuffix)
        for (index, name) in plain.enumerated() {
            let file = "\(path)/\(name)"
            guard let pem = try? String(contentsOfFile: file, encoding: .utf8),
                let made = Self.time(in: name)
                    ?? (try? FileManager.default.attributesOfItem(atPath: file)[.modificationDate] as? Date),
                let key = try? SigningKey(pem: pem, madeAt: made, signsFrom: index == 0 ? made : made.addingTimeInterval(lead))
            else { throw Unusable(description: "\(file) is not an RSA key of at least 2048 bits in PEM that can be read") }
            try write(key)
            remove(name)
        }
        return plain.count
    }

    /// `key-20260115T103000000Z.pem`.
    private static func time(in name: String) -> Date? {
        let digits = name.filter(\.isNumber)
        guard name.hasPrefix("key-"), digits.count == 17 else { return nil }
        func part(_ from: Int, _ count: Int) -> Substring { digits.dropFirst(from).prefix(count) }
        let date = "\(part(0, 4))-\(part(4, 2))-\(part(6, 2))", clock = "\(part(8, 2)):\(part(10, 2)):\(part(12, 2)).\(part(14, 3))"
        return Timestamp.date("\(date)T\(clock)Z")
    }
}
