import Contracts
import Crypto
import Foundation

/// The sealed form of one file's content.
///
///     header   "TRXF", version 1, three zero bytes, chunk size (4 bytes, big-endian), salt (32 random bytes)
///     chunks   each: AES-256-GCM of up to 64 KiB, then its 16-byte tag; the last may be shorter, and an empty file has one empty chunk
///
/// Each file has a key of its own, HKDF-SHA256 of the organization's key over the salt; the nonce is the chunk's number. The
/// header, the organization, the file, the chunk's number and whether it is the last are authenticated with each chunk, so that
/// a changed, cut, reordered or swapped content is found at the chunk where it begins.
struct ContentCipher: Sendable {
    static let chunkBytes = 65_536
    static let tagBytes = 16
    static let headerBytes = 44
    private static let saltBytes = 32
    private static let magic: [UInt8] = [UInt8(ascii: "T"), UInt8(ascii: "R"), UInt8(ascii: "X"), UInt8(ascii: "F"), 1, 0, 0, 0]

    let header: Data
    private let key: SymmetricKey
    private let context: Data

    /// For content that is to be written.
    init(new content: ContentKey, tenantKey: SymmetricKey) {
        let salt = SymmetricKey(size: .init(bitCount: Self.saltBytes * 8)).withUnsafeBytes { Data($0) }
        self.init(header: Self.prefix + salt, content, tenantKey)
    }

    /// For content that was written before; throws `DamagedContent.unknownFormat` when the header is none of ours.
    init(header: Data, of content: ContentKey, tenantKey: SymmetricKey) throws(DamagedContent) {
        guard header.count == Self.headerBytes else { throw .truncated }
        guard header.prefix(Self.prefix.count) == Self.prefix else { throw .unknownFormat }
        self.init(header: header, content, tenantKey)
    }

    private init(header: Data, _ content: ContentKey, _ tenantKey: SymmetricKey) {
        self.header = header
        context = header + Self.bytes(content.tenant.uuid) + Self.bytes(content.file.uuid)
        key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: tenantKey, salt: header.suffix(Self.saltBytes), info: Data("trionex file content 1".utf8), outputByteCount: 32
        )
    }

    private static var prefix: Data { Data(magic) + withUnsafeBytes(of: UInt32(chunkBytes).bigEndian) { Data($0) } }

    private static func bytes(_ uuid: UUID) -> Data { withUnsafeBytes(of: uuid.uuid) { Data($0) } }

    /// How many chunks a content of `size` bytes has.
    static func chunks(of size: Int) -> Int { max(1, (size + chunkBytes - 1) / chunkBytes) }

    /// Where a chunk begins in the sealed form.
    static func offset(of chunk: Int) -> Int { headerBytes + chunk * (chunkBytes + tagBytes) }

    func seal(_ plain: some DataProtocol, chunk: Int, isLast: Bool) throws -> Data {
        let box = try AES.GCM.seal(plain, using: key, nonce: nonce(chunk), authenticating: authenticated(chunk, isLast))
        return box.ciphertext + box.tag
    }

    func open(_ sealed: Data, chunk: Int, isLast: Bool) throws -> Data {
        guard sealed.count >= Self.tagBytes else { throw DamagedContent.truncated }
        let box = try AES.GCM.SealedBox(
            nonce: nonce(chunk), ciphertext: sealed.dropLast(Self.tagBytes), tag: sealed.suffix(Self.tagBytes))
        do {
            return try AES.GCM.open(box, using: key, authenticating: authenticated(chunk, isLast))
        } catch {
            throw DamagedContent.notAuthentic
        }
    }

    private func nonce(_ chunk: Int) throws -> AES.GCM.Nonce {
        try AES.GCM.Nonce(data: [0, 0, 0, 0] + withUnsafeBytes(of: UInt64(chunk).bigEndian) { Array($0) })
    }

    private func authenticated(_ chunk: Int, _ isLast: Bool) -> Data {
        context + withUnsafeBytes(of: UInt64(chunk).bigEndian) { Data($0) } + [isLast ? 1 : 0]
    }
}
