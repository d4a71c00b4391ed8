import Contracts
import Crypto
import Foundation
import Logging

#if canImport(Glibc)
    import Glibc
#endif

/// The key that wraps every organization's data keys (AES-256-GCM). It never leaves the process.
struct MasterKey: Sendable {
    static let byteCount = 32
    private let key: SymmetricKey

    init(_ key: SymmetricKey) { self.key = key }

    /// From the setting; without one, from a file beside the directory, which is made on the first start.
    init(_ setting: String?, orBeside directory: String, logger: Logger) throws {
        if let setting, let bytes = Self.bytes(setting) {
            self.init(SymmetricKey(data: bytes))
            return
        }
        let path = directory + ".key"
        let text = try Self.read(path) ?? Self.create(path)
        guard let bytes = Self.bytes(text) else { throw BadKeyFile(path: path) }
        logger.warning(
            "the master key of files lies beside them: fit for development only, set TRIONEX_FILES_MASTER_KEY",
            metadata: ["path": "\(path)"])
        self.init(SymmetricKey(data: bytes))
    }

    /// Nil unless the text is the base64 of exactly 32 bytes.
    static func bytes(_ text: String) -> Data? {
        let data = Data(base64Encoded: text.trimmingCharacters(in: .whitespacesAndNewlines))
        return data?.count == byteCount ? data : nil
    }

    struct BadKeyFile: Error, CustomStringConvertible {
        let path: String
        var description: String { "\(path) does not hold a master key, or cannot be read or written" }
    }

    /// A key under another master key, or a row that was changed or moved to another organization.
    struct CannotUnwrap: Error {}

    // MARK: - Data keys

    static func newDataKey() -> SymmetricKey { SymmetricKey(size: .bits256) }

    func wrap(_ dataKey: SymmetricKey, for tenant: TenantID, version: Int) throws -> Data {
        let plain = dataKey.withUnsafeBytes { Data($0) }
        let box = try AES.GCM.seal(plain, using: key, authenticating: Self.context(tenant, version))
        guard let combined = box.combined else { throw CannotUnwrap() }
        return combined
    }

    func unwrap(_ wrapped: Data, for tenant: TenantID, version: Int) throws -> SymmetricKey {
        guard let box = try? AES.GCM.SealedBox(combined: wrapped),
            let plain = try? AES.GCM.open(box, using: key, authenticating: Self.context(tenant, version))
        else { throw CannotUnwrap() }
        return SymmetricKey(data: plain)
    }

    private static func context(_ tenant: TenantID, _ version: Int) -> Data { Data("trionex files key \(tenant) \(version)".utf8) }

    // MARK: - The key file

    private static func read(_ path: String) throws -> String? {
        guard access(path, F_OK) == 0 else { return nil }
        guard let text = try? String(contentsOfFile: path, encoding: .utf8) else { throw BadKeyFile(path: path) }
        return text
    }

    /// Written under another name and linked, so that of two processes that start together one wins and both read the same key.
    private static func create(_ path: String) throws -> String {
        let text = newDataKey().withUnsafeBytes { Data($0).base64EncodedString() }
        let temporary = "\(path).\(getpid())-\(UInt32.random(in: 0...UInt32.max))"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw BadKeyFile(path: path) }
        defer {
            close(descriptor)
            unlink(temporary)
        }
        let written = Data(text.utf8).withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) }
        guard written == text.utf8.count, fsync(descriptor) == 0 else { throw BadKeyFile(path: path) }
        if link(temporary, path) == 0 { return text }
        guard errno == EEXIST, let other = try read(path) else { throw BadKeyFile(path: path) }
        return other
    }
}
