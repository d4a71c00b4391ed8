import Contracts
import Crypto
import Foundation
import Postgres

/// Storage behind encryption: content goes in and comes out in the clear, and lies sealed.
struct Vault: Sendable {
    let storage: any ContentStorage
    let database: Database
    let master: MasterKey

    static let firstKeyVersion = 1

    /// Begins to take content, under the organization's newest key, which is made when it has none.
    func begin(_ file: FileID, as caller: Caller, allowance: StorageLimits.Allowance) async throws -> IncomingFile {
        let wrapped = try await currentKey(caller)
        let key = ContentKey(tenant: caller.tenant, file: file)
        let cipher = ContentCipher(
            new: key, tenantKey: try master.unwrap(wrapped.bytes, for: caller.tenant, version: wrapped.version))
        return IncomingFile(
            content: try await storage.begin(key), cipher: cipher, keyVersion: wrapped.version, allowance: allowance)
    }

    func open(_ sealed: FileStore.Sealed, of tenant: TenantID) async throws -> ContentReader {
        let key = ContentKey(tenant: tenant, file: sealed.file.id)
        let tenantKey = try master.unwrap(sealed.wrappedKey, for: tenant, version: sealed.keyVersion)
        let content = try await storage.open(key)
        let header = try await content.read(at: 0, count: ContentCipher.headerBytes)
        let cipher = try ContentCipher(header: header, of: key, tenantKey: tenantKey)
        return ContentReader(content: content, cipher: cipher, size: sealed.file.size)
    }

    func remove(_ file: FileID, of tenant: TenantID) async throws {
        try await storage.remove(ContentKey(tenant: tenant, file: file))
    }

    private func currentKey(_ caller: Caller) async throws -> TenantKeyStore.Wrapped {
        if let key = try await database.first(TenantKeyStore.current, as: caller) { return key }
        let fresh = TenantKeyStore.Wrapped(
            version: Self.firstKeyVersion,
            bytes: try master.wrap(MasterKey.newDataKey(), for: caller.tenant, version: Self.firstKeyVersion))
        return try await database.transaction(as: caller) { tx in try TenantKeyStore.add(fresh, in: tx) }
    }
}

/// Content on its way in: hashed, sealed chunk by chunk and written, with one chunk in memory at a time.
struct IncomingFile {
    private let content: any IncomingContent
    private let cipher: ContentCipher
    private let allowance: StorageLimits.Allowance
    private var pending = Data()
    private var chunk = 0
    private var hash = SHA256()
    private(set) var size = 0
    let keyVersion: Int

    init(content: any IncomingContent, cipher: ContentCipher, keyVersion: Int, allowance: StorageLimits.Allowance) {
        self.content = content
        self.cipher = cipher
        self.keyVersion = keyVersion
        self.allowance = allowance
        pending.reserveCapacity(ContentCipher.chunkBytes)
    }

    /// Refuses as soon as the content is larger than allowed.
    mutating func append(_ bytes: Data) async throws {
        size += bytes.count
        try allowance.check(size)
        hash.update(data: bytes)
        var rest = bytes[...]
        while !rest.isEmpty {
            // A full chunk waits until it is known that it is not the last.
            if pending.count == ContentCipher.chunkBytes { try await write(isLast: false) }
            let part = rest.prefix(ContentCipher.chunkBytes - pending.count)
            pending.append(contentsOf: part)
            rest = rest.dropFirst(part.count)
        }
    }

    /// Writes what is left and makes the content durable; returns its SHA-256 in lowercase hexadecimal.
    mutating func commit() async throws -> String {
        try await write(isLast: true)
        try await content.commit()
        return hash.finalize().map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }

    func abandon() async { await content.abandon() }

    private mutating func write(isLast: Bool) async throws {
        if chunk == 0 { try await content.append(cipher.header) }
        try await content.append(try cipher.seal(pending, chunk: chunk, isLast: isLast))
        chunk += 1
        pending.removeAll(keepingCapacity: true)
    }
}

/// Content on its way out, any part of it; only the chunks that the part touches are read.
struct ContentReader: Sendable {
    let content: any KeptContent
    let cipher: ContentCipher
    let size: Int

    /// The chunks that hold a range of bytes that is not empty.
    static func chunks(of range: Range<Int>) -> Range<Int> {
        range.lowerBound / ContentCipher.chunkBytes..<(range.upperBound - 1) / ContentCipher.chunkBytes + 1
    }

    /// One chunk in the clear. Throws `DamagedContent` rather than give anything but what was stored.
    func chunk(_ number: Int) async throws -> Data {
        let isLast = number == ContentCipher.chunks(of: size) - 1
        let plain = min(ContentCipher.chunkBytes, size - number * ContentCipher.chunkBytes)
        let sealed = try await content.read(at: ContentCipher.offset(of: number), count: plain + ContentCipher.tagBytes)
        guard sealed.count == plain + ContentCipher.tagBytes else { throw DamagedContent.truncated }
        return try cipher.open(sealed, chunk: number, isLast: isLast)
    }

    /// The part of a chunk that lies in a range of the whole.
    static func part(_ data: Data, of chunk: Int, in range: Range<Int>) -> Data {
        let start = chunk * ContentCipher.chunkBytes
        let wanted = range.clamped(to: start..<start + data.count)
        return data.dropFirst(wanted.lowerBound - start).prefix(wanted.count)
    }
}
