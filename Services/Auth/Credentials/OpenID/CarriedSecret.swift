import Contracts
import Crypto
import Foundation
import ServiceKit

/// A secret that carries where it belongs: an organization and an id beside 256 random bits.
///
/// So it is looked up inside the organization, under row-level security like everything else; the database has its hash only.
struct CarriedSecret: Sendable {
    enum Kind: String, Sendable {
        /// Logs mask whatever begins with `trx_`.
        case code = "trx_ac_"
        case refreshToken = "trx_or_"
        case browser = "trx_bs_"
    }

    static let secretBytes = 32

    let kind: Kind
    let tenant: TenantID
    let id: UUID
    let text: String

    static func make(_ kind: Kind, tenant: TenantID, id: UUID) -> CarriedSecret {
        var bytes = Carried.bytes(tenant, id)
        SymmetricKey(size: .bits256).withUnsafeBytes { bytes.append(contentsOf: $0) }
        return CarriedSecret(kind: kind, tenant: tenant, id: id, text: kind.rawValue + Base64URL.encode(bytes))
    }

    private init(kind: Kind, tenant: TenantID, id: UUID, text: String) {
        self.kind = kind
        self.tenant = tenant
        self.id = id
        self.text = text
    }

    /// Nil when the text has not the form of one.
    init?(_ kind: Kind, _ text: String) {
        guard text.hasPrefix(kind.rawValue), text.utf8.count < 256,
            let (tenant, id) = Carried.read(text.dropFirst(kind.rawValue.count), more: Self.secretBytes)
        else { return nil }
        self.init(kind: kind, tenant: tenant, id: id, text: text)
    }

    /// SHA-256 of the text: all that is stored.
    var digest: Data { Data(SHA256.hash(data: Data(text.utf8))) }
}

/// `client_id` as clients show it: the organization and the client's id, in 43 characters. No secret.
struct ClientName: Sendable, Hashable {
    let tenant: TenantID
    let id: ClientID

    init(tenant: TenantID, id: ClientID) {
        self.tenant = tenant
        self.id = id
    }

    init?(_ text: String) {
        guard text.utf8.count == 43, let (tenant, id) = Carried.read(text[...], more: 0) else { return nil }
        self.init(tenant: tenant, id: ClientID(id))
    }

    var text: String { Base64URL.encode(Carried.bytes(tenant, id.uuid)) }
}

extension OAuthClient {
    /// What it calls itself.
    var clientID: String { ClientName(tenant: tenant, id: id).text }
}

/// A client's secret: 256 random bits, compared by their hash.
enum ClientSecret {
    static let prefix = "trx_cs_"

    static func make() -> String { prefix + SymmetricKey(size: .bits256).withUnsafeBytes { Base64URL.encode(Data($0)) } }

    static func digest(_ secret: String) -> Data { Data(SHA256.hash(data: Data(secret.utf8))) }

    /// Takes as long wherever the two differ, because hashes are compared as such.
    static func matches(_ presented: String, _ digest: Data?) -> Bool {
        guard let digest, presented.utf8.count < 256 else { return false }
        let other = self.digest(presented)
        guard other.count == digest.count else { return false }
        return zip(other, digest).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// Two ids in front of something.
private enum Carried {
    static func bytes(_ tenant: TenantID, _ id: UUID) -> Data {
        var bytes = Data()
        withUnsafeBytes(of: tenant.uuid.uuid) { bytes.append(contentsOf: $0) }
        withUnsafeBytes(of: id.uuid) { bytes.append(contentsOf: $0) }
        return bytes
    }

    static func read(_ text: Substring, more: Int) -> (TenantID, UUID)? {
        // The last sign of a base64 text has bits to spare: written anew it must be the same text.
        guard let bytes = Base64URL.decode(String(text)), bytes.count == 32 + more, Base64URL.encode(bytes) == text else { return nil }
        func uuid(_ offset: Int) -> UUID {
            bytes.withUnsafeBytes { UUID(uuid: $0.loadUnaligned(fromByteOffset: offset, as: uuid_t.self)) }
        }
        return (TenantID(uuid(0)), uuid(16))
    }
}
